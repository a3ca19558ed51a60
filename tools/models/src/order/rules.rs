//! Assign and expose as TIME's rules 1 and 2 state them, and what each mutant makes of them.

use timberline::types::Timestamp;

use super::clock::{Reading, readings};
use super::model::{Mutant, Order};
use super::state::{Place, Set, Shard, State};

impl Order {
    /// The readings an owner may stamp with.
    pub(super) fn stamping(&self, now: Timestamp) -> impl Iterator<Item = Reading> {
        let stale = if self.is(Mutant::StaleNow) { 2 } else { 0 };
        (0..=stale).flat_map(move |age| readings(now.minus_ns(age), self.uncertainty))
    }

    /// Rule 1.
    pub(super) fn assign(&self, state: &State, append: usize, reading: Reading) -> Place {
        let now = match self.mutant {
            Some(Mutant::AssignEarliest) => reading.earliest,
            Some(Mutant::AssignMidpoint) => reading.midpoint(),
            _ => reading.latest,
        };
        let first = now.max(state.last(state.appends[append].shard).next());
        Place { first, last: first.plus_ns(self.batch - 1), committed: false }
    }

    /// Rule 2, for an acknowledgement.
    pub(super) fn may_acknowledge(&self, place: Place, earliest: Timestamp) -> bool {
        place.committed && (self.is(Mutant::SkipWait) || self.is_past(place, earliest))
    }

    /// Rule 2, for readers.
    pub(super) fn readable(&self, state: &State, shard: Shard, earliest: Timestamp) -> Set {
        let ungated = self.is(Mutant::SkipWait) || self.is(Mutant::GateOnlyAcks);
        let open = |place: Place| place.committed && (ungated || self.is_past(place, earliest));
        let seen = state.placed(shard).filter(|(_, place)| open(*place));
        seen.fold(0, |set, (n, _)| set | 1 << n)
    }

    /// A shard's answer to a merged read at `at`, if it can give one.
    pub(super) fn merge(
        &self,
        state: &State,
        shard: Shard,
        at: Timestamp,
        earliest: Timestamp,
    ) -> Option<Set> {
        let is_past = earliest > at || self.is(Mutant::SkipWait);
        let asked = state.placed(shard).filter(|(_, place)| place.first <= at);
        let answer = asked.fold(0, |set, (n, _)| set | 1 << n);
        let readable = self.readable(state, shard, earliest);
        (is_past && answer & !readable == 0).then_some(answer)
    }

    fn is_past(&self, place: Place, earliest: Timestamp) -> bool {
        let stamp = if self.is(Mutant::ExposeByFirst) { place.first } else { place.last };
        earliest > stamp
    }
}
