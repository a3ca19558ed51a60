//! `adjtimex(2)` with no mode set: a question, which needs no privilege.

use std::io;

/// The kernel's account of its clock. What `maxerror` is worth depends on the daemon that writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelClock {
    /// The daemon's bound, to which the kernel adds 500 ppm until it is written again. Microseconds.
    pub maxerror_us: i64,
    /// What the kernel still has to correct. Nanoseconds.
    pub offset_ns: i64,
    /// Nobody synchronises the clock, or it was set by hand since.
    pub is_unsynchronised: bool,
    /// A leap second is to be inserted, or deleted, at the end of the day.
    pub leap_insert: bool,
    pub leap_delete: bool,
}

/// Asks the kernel.
pub fn read() -> io::Result<KernelClock> {
    // SAFETY: `timex` is a plain C structure of integers, for which zeros are valid values.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole, writable `timex` of our own; with `modes` at 0 the kernel only fills it in.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let has = |flag: libc::c_int| timex.status & flag != 0;
    let unit_ns = if has(libc::STA_NANO) { 1 } else { 1_000 };
    Ok(KernelClock {
        maxerror_us: timex.maxerror,
        offset_ns: timex.offset.saturating_mul(unit_ns),
        is_unsynchronised: has(libc::STA_UNSYNC) || state == libc::TIME_ERROR,
        leap_insert: has(libc::STA_INS),
        leap_delete: has(libc::STA_DEL),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_and_nothing_is_set() {
        let first = read().unwrap();
        let second = read().unwrap();
        assert!(first.maxerror_us >= 0);
        assert_eq!(first.is_unsynchronised, second.is_unsynchronised);
        assert!(!(first.leap_insert && first.leap_delete));
    }
}
