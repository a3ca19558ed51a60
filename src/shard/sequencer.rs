//! Timestamps for one leader's reign (TIME.md, rule 1).
//!
//! Knows nothing of the log. Invariants: what it gives strictly rises, lies above the floor and above
//! every promise it was told of, is never below `now.latest`, and never passes the entry guard.

use super::guard::EntryGuard;
use crate::clock::Reading;
use crate::simulation::{Bug, is_planted};
use crate::types::Timestamp;

/// A stamp would have to lie further ahead of the clock than followers accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AheadOfClock {
    pub(super) ahead_ns: u64,
    pub(super) max_ns: u64,
}

/// Gives out timestamps.
#[derive(Debug)]
pub(super) struct Sequencer {
    /// The last timestamp given, or promised to lie in the past.
    last: Timestamp,
}

impl Sequencer {
    /// Starts above `last`, the timestamp of the last entry in the *log* (committed or not), and above
    /// `floor`, what a quorum promised.
    pub(super) fn new(last: Timestamp, floor: Timestamp) -> Self {
        Self { last: last.max(floor) }
    }

    /// The first of `count` consecutive timestamps, without taking them: a refused proposal takes none.
    pub(super) fn peek(
        &self,
        count: u32,
        now: &Reading,
        guard: EntryGuard,
    ) -> Result<Timestamp, AheadOfClock> {
        assert!(count > 0, "an entry that is stamped takes a timestamp");
        let clock = if is_planted(Bug::AssignEarliest) { now.interval.earliest } else { now.interval.latest };
        let first = clock.max(self.last.next());
        let end = first.plus_ns(u64::from(count - 1));
        if guard.admits(end, now) {
            Ok(first)
        } else {
            let ahead_ns = end.ns_since(now.interval.latest);
            Err(AheadOfClock { ahead_ns, max_ns: guard.reach_ns() })
        }
    }

    /// Takes the timestamps up to `last`.
    pub(super) fn take(&mut self, last: Timestamp) {
        assert!(last > self.last, "timestamps rise");
        self.last = last;
    }

    /// Never again stamps at or below `closed` (C2).
    pub(super) fn promise(&mut self, closed: Timestamp) {
        self.last = self.last.max(closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::test_time::{EPS, at};

    const GUARD: EntryGuard = EntryGuard::new(EPS, 1_000);

    #[test]
    fn a_stamp_is_never_below_latest_last_or_floor() {
        let now = at(1_000_000);
        let latest = now.interval.latest;
        let ahead = latest.plus_ns(50);
        let stamp = |last, floor| Sequencer::new(last, floor).peek(1, &now, GUARD).unwrap();
        assert_eq!(stamp(Timestamp::ZERO, Timestamp::ZERO), latest);
        assert_eq!(stamp(ahead, Timestamp::ZERO), ahead.next());
        assert_eq!(stamp(Timestamp::ZERO, ahead), ahead.next());
    }

    #[test]
    fn a_batch_takes_one_timestamp_per_record_and_the_next_starts_after_it() {
        let now = at(1_000_000);
        let mut sequencer = Sequencer::new(Timestamp::ZERO, Timestamp::ZERO);
        let first = sequencer.peek(10, &now, GUARD).unwrap();
        sequencer.take(first.plus_ns(9));
        assert_eq!(sequencer.peek(1, &now, GUARD).unwrap(), first.plus_ns(10));
    }

    #[test]
    fn a_promise_raises_the_next_stamp_even_if_the_clock_falls_behind() {
        let mut sequencer = Sequencer::new(Timestamp::ZERO, Timestamp::ZERO);
        let promised = at(1_000_000).interval.latest;
        sequencer.promise(promised);
        assert!(sequencer.peek(1, &at(999_000), GUARD).unwrap() > promised);
    }

    #[test]
    fn nothing_is_stamped_beyond_the_entry_guard() {
        let now = at(1_000_000);
        let edge = now.interval.latest.plus_ns(6 * EPS + 1_000);
        let below = Sequencer::new(edge.minus_ns(1), Timestamp::ZERO);
        assert_eq!(below.peek(1, &now, GUARD), Ok(edge));
        assert!(below.peek(2, &now, GUARD).is_err(), "the last record counts, not the first");
        assert!(Sequencer::new(edge, Timestamp::ZERO).peek(1, &now, GUARD).is_err());
    }
}
