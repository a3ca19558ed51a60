//! What this replica promised and what was published: the closed past of an idle shard (C3, C4, C5).
//!
//! Knows nothing of who leads. Invariants: `max_promised` is a maximum, never overwritten; a published pair
//! serves only after its index was released here; what readers were told never goes back.

use std::cell::Cell;
use std::rc::Rc;

use super::standing::{Place, Standing};
use crate::clock::Reading;
use crate::simulation::{Bug, is_planted};
use crate::types::{Index, ShardId, Term, Timestamp};

/// While a published time still lies ahead of the clock, readers are told of the part that has passed in steps
/// of this: with a narrow clock one word per publication, with a wide one no standstill.
const STEP_NS: u64 = 20_000_000;

/// A leader's word: every record stamped at or below the promised time that can ever commit has an index
/// of at most `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    pub term: Term,
    pub index: Index,
}

/// A published pair: a quorum accepted the promise, so it is a fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Published {
    closed: Timestamp,
    index: Index,
}

/// One replica's side of closed timestamps.
#[derive(Debug, Default)]
pub(super) struct Promises {
    max_promised: Timestamp,
    /// The published pair with the largest time whose index is released here.
    settled: Timestamp,
    /// The newest published pair that still waits for its index.
    waiting: Option<Published>,
    /// The highest time any reader was told.
    told: Cell<Timestamp>,
    /// Where promises and publications are looked up while nothing changes here.
    place: Option<Place>,
}

impl Promises {
    /// The largest time this replica accepted a promise for since it started.
    pub(super) fn max_promised(&self) -> Timestamp {
        self.place.as_ref().map_or(self.max_promised, |place| self.max_promised.max(place.accepted()))
    }

    /// From here on promises and publications are looked up in `standing`. The caller has seen that nothing waits.
    pub(super) fn stand(&mut self, shard: ShardId, standing: &Rc<Standing>, leads: bool) {
        self.leave();
        self.place = Some(Place::new(shard, standing, leads));
    }

    /// Looks nothing up any more, and keeps what stood there; the time promised, if anything was looked up.
    pub(super) fn leave(&mut self) -> Option<Timestamp> {
        let place = self.place.take()?;
        if is_planted(Bug::ForgetStanding) {
            return None;
        }
        self.max_promised = self.max_promised.max(place.accepted());
        self.settled = self.settled.max(place.published());
        Some(place.promised())
    }

    pub(super) fn stands(&self) -> bool {
        self.place.is_some()
    }

    fn settled(&self) -> Timestamp {
        self.place.as_ref().map_or(self.settled, |place| self.settled.max(place.published()))
    }

    /// Accepts a promise; the caller has checked term, clock and guard.
    pub(super) fn accept(&mut self, closed: Timestamp) {
        self.max_promised = self.max_promised.max(closed);
    }

    /// Takes a publication. A pair replaces one with a smaller time whole; the two are never mixed.
    pub(super) fn publish(&mut self, closed: Timestamp, index: Index, released: Index) {
        let newer = closed > self.settled() && self.waiting.is_none_or(|waiting| closed > waiting.closed);
        if newer {
            self.waiting = Some(Published { closed, index });
            self.settle(released);
        }
    }

    /// Looks whether what waits may serve, now that `released` is.
    pub(super) fn settle(&mut self, released: Index) {
        if let Some(waiting) = self.waiting.take_if(|waiting| waiting.index <= released) {
            self.settled = self.settled.max(waiting.closed);
        }
    }

    /// The highest time readers may take as closed, given that of the last released entry (C1).
    pub(super) fn closed(&self, last_released: Timestamp, now: Option<&Reading>) -> Timestamp {
        let mut closed = self.told.get().max(last_released);
        if let Some(now) = now {
            let settled = self.settled();
            let passed = settled.min(now.past.minus_ns(1));
            if passed == settled || passed.ns_since(closed) >= STEP_NS {
                closed = closed.max(passed);
            }
        }
        self.told.set(closed);
        closed
    }

    /// The time `earliest` must pass so that all that is settled is closed.
    pub(super) fn wake_after(&self) -> Option<Timestamp> {
        let settled = self.settled();
        (settled > self.told.get()).then_some(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::test_time::{EPS, at};

    #[test]
    fn an_older_promise_never_lowers_what_was_promised() {
        let mut promises = Promises::default();
        promises.accept(Timestamp(20));
        promises.accept(Timestamp(10));
        assert_eq!(promises.max_promised(), Timestamp(20));
    }

    #[test]
    fn a_promise_serves_nobody_before_it_is_published() {
        let mut promises = Promises::default();
        promises.accept(Timestamp(500));
        assert_eq!(promises.closed(Timestamp(7), Some(&at(1_000_000))), Timestamp(7));
    }

    #[test]
    fn a_published_time_serves_only_once_its_index_is_released() {
        let mut promises = Promises::default();
        promises.publish(Timestamp(500), Index(3), Index(2));
        assert_eq!(promises.closed(Timestamp(7), Some(&at(1_000_000))), Timestamp(7));
        promises.settle(Index(3));
        assert_eq!(promises.closed(Timestamp(7), Some(&at(1_000_000))), Timestamp(500));
    }

    #[test]
    fn a_published_time_serves_only_what_earliest_has_passed() {
        let mut promises = Promises::default();
        promises.publish(Timestamp(50_000_000), Index(3), Index(3));
        assert_eq!(promises.closed(Timestamp(7), Some(&at(10_000_000))), Timestamp(7), "less than a step");
        let told = promises.closed(Timestamp(7), Some(&at(40_000_000)));
        assert_eq!(told, Timestamp(40_000_000 - EPS - 1), "a step of what has passed");
        assert_eq!(promises.wake_after(), Some(Timestamp(50_000_000)));
        let told = promises.closed(Timestamp(7), Some(&at(50_000_001 + EPS)));
        assert_eq!(told, Timestamp(50_000_000));
        assert_eq!(promises.wake_after(), None);
    }

    #[test]
    fn pairs_are_replaced_whole_and_old_notices_change_nothing() {
        let mut promises = Promises::default();
        promises.publish(Timestamp(500), Index(3), Index(0));
        promises.publish(Timestamp(400), Index(1), Index(1));
        assert_eq!(promises.closed(Timestamp(0), Some(&at(1_000_000))), Timestamp(0), "400 is not newer");
        promises.publish(Timestamp(600), Index(4), Index(1));
        promises.settle(Index(3));
        assert_eq!(promises.closed(Timestamp(0), Some(&at(1_000_000))), Timestamp(0), "600 needs index 4");
        promises.settle(Index(4));
        assert_eq!(promises.closed(Timestamp(0), Some(&at(1_000_000))), Timestamp(600));
    }

    #[test]
    fn closed_never_goes_back_and_stands_still_without_a_clock() {
        let mut promises = Promises::default();
        promises.publish(Timestamp(50_000_000), Index(0), Index(0));
        let told = promises.closed(Timestamp(0), Some(&at(40_000_000)));
        assert!(told > Timestamp(0));
        assert_eq!(promises.closed(Timestamp(0), Some(&at(30_000_000))), told);
        assert_eq!(promises.closed(Timestamp(0), None), told);
    }
}
