//! When the appends of an open loop are due: evenly spaced, from the rate alone.
//!
//! Knows no clock and no answer: the n-th append is due at the same time whatever became of those before it, so that a
//! stall counts for all that were due in it (Tene's *coordinated omission* is leaving those out).

use std::num::NonZeroU64;
use std::time::Duration;

/// Appends of `batch_records` records each, `records_per_second` in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    records_per_second: NonZeroU64,
    batch_records: u32,
}

const SECOND_NS: u128 = 1_000_000_000;

impl Schedule {
    pub(crate) fn new(records_per_second: NonZeroU64, batch_records: u32) -> Self {
        Self { records_per_second, batch_records }
    }

    /// When the n-th append is due, from the start on. Not a sum of rounded intervals: it does not drift.
    pub(crate) fn due(self, n: u64) -> Duration {
        let records = u128::from(n) * u128::from(self.batch_records);
        let ns = records * SECOND_NS / u128::from(self.records_per_second.get());
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// How many appends are due before `elapsed`.
    pub(crate) fn due_before(self, elapsed: Duration) -> u64 {
        let per_second = u128::from(self.records_per_second.get());
        let step = SECOND_NS * u128::from(self.batch_records);
        // The n-th is due before `elapsed` if n * step / per_second, rounded down, is less.
        u64::try_from((elapsed.as_nanos() * per_second).div_ceil(step)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(records_per_second: u64, batch_records: u32) -> Schedule {
        Schedule::new(NonZeroU64::new(records_per_second).unwrap(), batch_records)
    }

    #[test]
    fn appends_are_evenly_spaced_and_as_many_a_second_as_the_rate_says() {
        let schedule = schedule(3_000, 100);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(30), Duration::from_secs(1));
        assert_eq!(schedule.due(1), Duration::from_nanos(33_333_333));
        assert_eq!(schedule.due(30 * 3_600 * 24), Duration::from_hours(24), "it does not drift");
    }

    #[test]
    fn an_append_counts_as_due_from_the_nanosecond_after_its_time_on() {
        for (rate, batch) in [(3_000, 100), (7, 1), (1_000_003, 3), (1, 1)] {
            let schedule = schedule(rate, batch);
            for n in [0, 1, 2, 29, 30, 1_000] {
                let due = schedule.due(n);
                assert!(schedule.due_before(due) <= n, "{rate}/{batch}: {n} is not due before its time");
                assert!(schedule.due_before(due + Duration::from_nanos(2)) > n, "{rate}/{batch}: {n} is due");
            }
        }
    }
}
