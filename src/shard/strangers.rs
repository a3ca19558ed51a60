//! Producers that a leader refused because its shard may have forgotten them: what it can tell of each when that one comes again.
//!
//! Without this a producer would have to come back, with the floor that it was told, before 256 others appended, and where many
//! others append all the time some never would. Knows nothing of batches. Lives as long as a reign: a leader's log only grows,
//! and only by the leader's own hand.
//!
//! Invariant: no frame of a stranger, in the epoch that was refused or a newer one, stands in this leader's log above what is noted of
//! it: it was so by the table when that was noted, and the note goes with the next frame of that producer.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{ProducerId, Timestamp};

/// The most strangers that are noted; beyond that the one with the lowest note goes, and is asked to come once more.
const STRANGERS_MAX: usize = 4096;

/// By producer, above which timestamp the log holds nothing of it.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    above: BTreeMap<ProducerId, Timestamp>,
    lowest: BTreeSet<(Timestamp, ProducerId)>,
}

impl Strangers {
    /// Notes that nothing of `producer` stands above `horizon`; gives what is noted of it, now or since an earlier time.
    pub(super) fn note(&mut self, producer: ProducerId, horizon: Timestamp) -> Timestamp {
        if let Some(above) = self.above.get(&producer) {
            return *above;
        }
        if self.above.len() >= STRANGERS_MAX
            && let Some((_, lowest)) = self.lowest.pop_first()
        {
            self.above.remove(&lowest);
        }
        self.above.insert(producer, horizon);
        self.lowest.insert((horizon, producer));
        horizon
    }

    /// The floor of a batch, given the log's last timestamp: with a floor at or above what is noted of its producer, the batch
    /// stands nowhere in the log, so that if it ever stands there, it will stand above all that is there now.
    pub(super) fn raise(&self, producer: ProducerId, floor: Timestamp, last: Timestamp) -> Timestamp {
        let is_proved = self.above.get(&producer).is_some_and(|above| *above <= floor);
        if is_proved { floor.max(last) } else { floor }
    }

    /// A frame of `producer` enters the log.
    pub(super) fn forget(&mut self, producer: ProducerId) {
        if let Some(above) = self.above.remove(&producer) {
            self.lowest.remove(&(above, producer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ProducerId = ProducerId(1);

    #[test]
    fn a_floor_at_the_first_note_is_enough_however_far_the_log_has_come() {
        let mut strangers = Strangers::default();
        assert_eq!(strangers.raise(ONE, Timestamp(50), Timestamp(90)), Timestamp(50));
        assert_eq!(strangers.note(ONE, Timestamp(50)), Timestamp(50));
        assert_eq!(strangers.note(ONE, Timestamp(80)), Timestamp(50), "the first note stays");
        assert_eq!(strangers.raise(ONE, Timestamp(49), Timestamp(90)), Timestamp(49));
        assert_eq!(strangers.raise(ONE, Timestamp(50), Timestamp(90)), Timestamp(90));
        strangers.forget(ONE);
        assert_eq!(strangers.raise(ONE, Timestamp(50), Timestamp(90)), Timestamp(50), "it is in the log now");
    }

    #[test]
    fn strangers_are_bounded_and_the_lowest_note_goes_first() {
        let mut strangers = Strangers::default();
        let many = STRANGERS_MAX as u64 + 1;
        for id in 1..=many {
            strangers.note(ProducerId(id), Timestamp(id));
        }
        assert_eq!((strangers.above.len(), strangers.lowest.len()), (STRANGERS_MAX, STRANGERS_MAX));
        assert_eq!(strangers.raise(ONE, Timestamp(1), Timestamp(many)), Timestamp(1));
        assert_eq!(strangers.raise(ProducerId(2), Timestamp(2), Timestamp(many)), Timestamp(many));
    }
}
