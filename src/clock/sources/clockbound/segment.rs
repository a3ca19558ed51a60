//! The 80 bytes of ClockBound's shared memory, version 2, in the processor's byte order:
//!
//! ```text
//!   0  u32 x 2  magic 0x414D5A4E 0x43420200     40  i64  void-after, nanoseconds of the second
//!   8  u32      bytes of the segment            48  i64  bound, nanoseconds
//!  12  u16      version                         56  u64  disruption marker
//!  14  u16      generation, odd while written   64  u32  drift, parts per billion
//!  16  i64      as-of, seconds                  68  i32  status
//!  24  i64      as-of, nanoseconds of the second    72  u8 clock disruption support, 7 bytes of padding
//!  32  i64      void-after, seconds
//! ```
//!
//! Times are of `CLOCK_MONOTONIC_COARSE`: `CLOCK_MONOTONIC` as of the kernel's last tick, so never later than it.

use crate::clock::shared_page::array;

pub(super) const SEGMENT_BYTES: usize = 80;
pub(super) const MAGIC: [u32; 2] = [0x414D_5A4E, 0x4342_0200];
pub(super) const VERSION: u16 = 2;
const HEADER_BYTES: usize = 16;
const GENERATION_AT: usize = 14;
const DRIFT_PPB_END: u32 = 1_000_000_000;

/// What the daemon says of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Unknown,
    Synchronized,
    FreeRunning,
    Disrupted,
}

/// One message of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The bound held at this `CLOCK_MONOTONIC`.
    pub(super) as_of_monotonic_ns: u64,
    pub(super) void_after_monotonic_ns: u64,
    pub(super) bound_ns: u64,
    pub(super) drift_ppb: u64,
    pub(super) status: Status,
}

/// Whether no write had begun when these bytes were read. What is too short to tell never settles by waiting.
pub(super) fn is_settled(bytes: &[u8]) -> bool {
    bytes.len() < HEADER_BYTES || u16::from_ne_bytes(array(bytes, GENERATION_AT)) % 2 == 0
}

/// Reads a segment; `Err` says what was found, what was expected and what to do.
pub(super) fn parse(bytes: &[u8]) -> Result<Segment, String> {
    let truncated =
        || format!("{} bytes, expected {SEGMENT_BYTES}: it is truncated or not yet written", bytes.len());
    if bytes.len() < HEADER_BYTES {
        return Err(truncated());
    }
    let word = |at| u32::from_ne_bytes(array(bytes, at));
    let half = |at| u16::from_ne_bytes(array(bytes, at));
    let magic = [word(0), word(4)];
    if magic != MAGIC {
        let [a, b] = magic;
        let [c, d] = MAGIC;
        return Err(format!(
            "magic {a:#010x} {b:#010x}, expected {c:#010x} {d:#010x}: not a ClockBound segment"
        ));
    }
    let version = half(12);
    if version != VERSION {
        return Err(format!("version {version}, expected {VERSION}: run a ClockBound daemon of release 2"));
    }
    if half(GENERATION_AT) == 0 {
        return Err("generation 0: the daemon has not written it yet".to_owned());
    }
    if bytes.len() < SEGMENT_BYTES || (word(8) as usize) < SEGMENT_BYTES {
        return Err(truncated());
    }
    let drift_ppb = word(64);
    if drift_ppb >= DRIFT_PPB_END {
        return Err(format!("a drift of {drift_ppb} ppb, expected less than {DRIFT_PPB_END}"));
    }
    let bound = i64::from_ne_bytes(array(bytes, 48));
    Ok(Segment {
        as_of_monotonic_ns: moment(bytes, 16, "as-of")?,
        void_after_monotonic_ns: moment(bytes, 32, "void-after")?,
        bound_ns: u64::try_from(bound)
            .map_err(|_| format!("a bound of {bound} ns, expected none below 0"))?,
        drift_ppb: drift_ppb.into(),
        status: status(i32::from_ne_bytes(array(bytes, 68)))?,
    })
}

fn moment(bytes: &[u8], at: usize, name: &str) -> Result<u64, String> {
    let seconds = i64::from_ne_bytes(array(bytes, at));
    let nanos = i64::from_ne_bytes(array(bytes, at + 8));
    let malformed = || format!("{name} is {seconds} s and {nanos} ns, expected a moment since boot");
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(malformed());
    }
    let seconds_ns = u64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1_000_000_000));
    seconds_ns.and_then(|ns| ns.checked_add(nanos.cast_unsigned())).ok_or_else(malformed)
}

fn status(code: i32) -> Result<Status, String> {
    Ok(match code {
        0 => Status::Unknown,
        1 => Status::Synchronized,
        2 => Status::FreeRunning,
        3 => Status::Disrupted,
        _ => return Err(format!("status {code}, expected 0 to 3")),
    })
}
