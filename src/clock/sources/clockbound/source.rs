//! Samples from ClockBound's segment.
//!
//! Invariants: only what the daemon wrote after this node looked first, and well after the last disturbance, is believed, so
//! a file left over from another boot, or from before a sleep, never is; a sample's age counts from the daemon's as-of.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::segment::{SEGMENT_BYTES, Segment, Status, is_settled, parse};
use crate::clock::shared_page;
use crate::clock::source::{Sample, SourceError, TimeSource};
use crate::clock::ticks::RawTime;

/// A daemon that was preempted in the middle of a write may take so long; after that it is dead.
const WRITING_NS_MAX: u64 = 100_000_000;
/// As-of is read from this machine's clock before it is written: further ahead, it is another's.
const AHEAD_NS_MAX: u64 = 1_000_000_000;
/// The daemon repeats what chronyd says, which does not notice a jump before it measures again: two polls of 16 s.
const QUIET_NS: u64 = 32_000_000_000;

/// Where the segment is, and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockBoundOptions {
    pub path: PathBuf,
    /// A daemon that lets its bound grow slower than this is refused. Parts per billion.
    pub drift_ppb_min: u64,
}

impl Default for ClockBoundOptions {
    /// The daemon's own path, and 10 ppm: less is no crystal's.
    fn default() -> Self {
        Self { path: PathBuf::from("/var/run/clockbound/shm0"), drift_ppb_min: 10_000 }
    }
}

#[derive(Debug, Default)]
struct Memory {
    /// The newest message that was believed, and the sample it made.
    last: Option<(Segment, Sample)>,
    number: u64,
    /// When the file was last read whole, by `CLOCK_BOOTTIME`.
    whole_at_boot_ns: u64,
    /// Messages from before this `CLOCK_MONOTONIC` are not believed.
    believed_from_ns: Option<u64>,
}

/// The bound that a ClockBound daemon publishes.
#[derive(Debug)]
pub struct ClockBound {
    options: ClockBoundOptions,
    memory: Mutex<Memory>,
}

impl ClockBound {
    pub fn new(options: ClockBoundOptions) -> Self {
        Self { options, memory: Mutex::default() }
    }

    fn unreadable(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::unreadable(format!("ClockBound's segment {}: {what}", self.options.path.display()))
    }

    fn unsynchronised(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::unsynchronised(format!("ClockBound's segment {}: {what}", self.options.path.display()))
    }

    fn cannot_read(&self, error: &io::Error) -> SourceError {
        let todo = match error.kind() {
            io::ErrorKind::NotFound => {
                "start the ClockBound daemon (release 2), or set clock.clockbound_path"
            }
            io::ErrorKind::PermissionDenied => "let this process read it",
            _ => "clock.clockbound_path is to be the file that the ClockBound daemon writes",
        };
        self.unreadable(format_args!("{error}; {todo}"))
    }

    /// Whether a message may be used at all, now.
    fn judge(&self, segment: &Segment, now: RawTime, believed_from_ns: u64) -> Result<(), SourceError> {
        let as_of_ns = segment.as_of_monotonic_ns;
        if as_of_ns > now.monotonic_ns.saturating_add(AHEAD_NS_MAX) {
            let ahead_ms = (as_of_ns - now.monotonic_ns) / 1_000_000;
            return Err(self.unreadable(format_args!(
                "as-of lies {ahead_ms} ms ahead of CLOCK_MONOTONIC: it was written in another boot, or in another time \
                 namespace; restart the daemon here"
            )));
        }
        if now.monotonic_ns >= segment.void_after_monotonic_ns {
            let since_ms = (now.monotonic_ns - segment.void_after_monotonic_ns) / 1_000_000;
            return Err(self.unsynchronised(format_args!(
                "it is stale, void for {since_ms} ms: the daemon has stopped writing; see `systemctl status clockbound`"
            )));
        }
        match segment.status {
            Status::Synchronized | Status::FreeRunning => {}
            status @ (Status::Unknown | Status::Disrupted) => {
                return Err(self.unsynchronised(format_args!(
                    "status {status:?}, expected Synchronized or FreeRunning: chronyd is not synchronised, or not heard by \
                     the daemon, or the machine was moved; see `chronyc tracking` and `systemctl status clockbound`"
                )));
            }
        }
        let (drift_ppb, drift_ppb_min) = (segment.drift_ppb, self.options.drift_ppb_min);
        if drift_ppb < drift_ppb_min {
            return Err(self.unsynchronised(format_args!(
                "a drift of {drift_ppb} ppb, expected at least {drift_ppb_min}: start the daemon with `--max-drift-rate 50`, or \
                 set clock.clockbound_drift_ppb_min if this oscillator is that good"
            )));
        }
        if as_of_ns < believed_from_ns {
            return Err(self.unsynchronised(format_args!(
                "it was written {} ms before it is believed, which is when this node looked first, or {} s after a jump of the \
                 clock; a daemon that runs writes every second: see `systemctl status clockbound`",
                (believed_from_ns - as_of_ns).div_ceil(1_000_000),
                QUIET_NS / 1_000_000_000,
            )));
        }
        Ok(())
    }
}

impl TimeSource for ClockBound {
    fn name(&self) -> String {
        "clockbound".to_owned()
    }

    fn sample(&self, now: RawTime) -> Result<Sample, SourceError> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let believed_from_ns = *memory.believed_from_ns.get_or_insert(now.monotonic_ns);
        let page = shared_page::read::<SEGMENT_BYTES>(&self.options.path, is_settled);
        let Some(page) = page.map_err(|error| self.cannot_read(&error))? else {
            let writing_ns = now.boot_ns.saturating_sub(memory.whole_at_boot_ns);
            return match memory.last {
                Some((segment, sample)) if writing_ns <= WRITING_NS_MAX => {
                    self.judge(&segment, now, believed_from_ns).map(|()| sample)
                }
                _ => Err(self.unreadable(
                    "torn, its generation stays odd: the daemon died while it wrote, or is starting; restart it if this lasts",
                )),
            };
        };
        memory.whole_at_boot_ns = now.boot_ns;
        let segment = parse(page.bytes()).map_err(|what| self.unreadable(what))?;
        self.judge(&segment, now, believed_from_ns)?;
        if let Some((last, sample)) = memory.last
            && last == segment
        {
            return Ok(sample);
        }
        memory.number += 1;
        // No sleep lies between as-of and now, or it would not be believed: both clocks ran alike.
        let age_ns = now.monotonic_ns.saturating_sub(segment.as_of_monotonic_ns);
        let at_boot_ns = now.boot_ns.saturating_sub(age_ns);
        let sample = Sample::measured(memory.number, at_boot_ns, segment.bound_ns, segment.drift_ppb);
        memory.last = Some((segment, sample));
        Ok(sample)
    }

    fn disturbed(&self, now: RawTime) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.last = None;
        memory.believed_from_ns = Some(now.monotonic_ns.saturating_add(QUIET_NS));
    }
}
