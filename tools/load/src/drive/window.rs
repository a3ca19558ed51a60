//! When a run begins, from when on and until when it counts.

use std::time::Duration;

use tokio::time::Instant;

/// The times of one run. The warm-up comes first and is not measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) began: Instant,
    pub(crate) counts_from: Instant,
    pub(crate) ends: Instant,
}

impl Window {
    /// A window that begins now.
    pub(crate) fn open(warmup: Duration, duration: Duration) -> Self {
        let began = Instant::now();
        Self { began, counts_from: began + warmup, ends: began + warmup + duration }
    }

    pub(crate) fn measures(&self, at: Instant) -> bool {
        self.counts_from <= at && at < self.ends
    }

    /// What was due in the window and is answered before this was kept up with: within a hundredth of the window after its
    /// end, for an append that is due last takes its time too, and within 100 ms of a short one.
    pub(super) fn in_time_until(&self) -> Instant {
        self.ends + (self.duration() / 100).max(Duration::from_millis(100))
    }

    pub(crate) fn duration(&self) -> Duration {
        self.ends - self.counts_from
    }

    /// A time as nanoseconds since the run began: what a record carries to tell its reader when it was due.
    pub(crate) fn to_ns(self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.began).as_nanos()).unwrap_or(i64::MAX)
    }

    /// The time that [`Self::to_ns`] told.
    pub(crate) fn at_ns(self, ns: i64) -> Instant {
        self.began + Duration::from_nanos(ns.unsigned_abs())
    }
}
