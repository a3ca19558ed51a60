//! What the kernel says of a process: the CPU time it has used, and its memory.

use std::fs;
use std::io;
use std::time::Duration;

/// Linux counts the CPU times that it shows in hundredths of a second, whatever it counts in itself.
const TICK: Duration = Duration::from_millis(10);

/// A look at a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// User and system time, all its threads.
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
    /// Of what is resident, what no file backs: a node's maps of its segments are left out.
    pub(super) anonymous_bytes: u64,
    /// The most that was ever resident.
    pub(super) peak_bytes: u64,
}

/// Reads `/proc/PID/stat` and `/proc/PID/status`.
pub(super) fn usage(pid: u32) -> io::Result<Usage> {
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what} is missing"));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let bytes = |field: &str| size(&status, field).ok_or_else(|| malformed(field));
    Ok(Usage {
        cpu: cpu(&stat).ok_or_else(|| malformed("utime"))?,
        resident_bytes: bytes("VmRSS:")?,
        anonymous_bytes: bytes("RssAnon:")?,
        peak_bytes: bytes("VmHWM:")?,
    })
}

/// CPU time of this process, as far as it can be read.
pub(crate) fn cpu_of_this_process() -> Duration {
    fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu(&stat)).unwrap_or_default()
}

/// Fields 14 and 15 of `stat`. The second is the program's name in brackets, which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

/// A field of `status` in kB.
fn size(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_found_whatever_the_program_is_called() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 99 0 0 0 150 25 0 0 20 0 4 0 1 2 3";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1_750)));
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!((size(status, "VmHWM:"), size(status, "VmRSS:")), (Some(2 << 20), Some(1 << 20)));
        assert_eq!((cpu("nonsense"), size(status, "VmSwap:")), (None, None));
    }

    #[test]
    fn this_process_is_there_and_a_process_that_is_not_is_an_error() {
        let own = usage(std::process::id()).unwrap();
        assert!(own.resident_bytes > 0 && own.peak_bytes >= own.resident_bytes / 2, "{own:?}");
        assert!(usage(u32::MAX).is_err());
    }
}
