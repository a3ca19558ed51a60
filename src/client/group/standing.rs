//! What a member holds, as the coordinator said it last.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::types::{ShardId, Timestamp, TopicName};
use crate::wire::GroupStandingBody;

/// A member's standing. Answers may overtake each other: the newest generation counts, and within one the furthest positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) generation: u64,
    pub(super) held: BTreeMap<ShardId, Held>,
    /// Until when it can be counted on.
    pub(super) valid_until: Instant,
    pub(super) beat_every: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) topic: TopicName,
    /// The first timestamp that was not read.
    pub(super) next: Timestamp,
    pub(super) is_wanted: bool,
}

impl Standing {
    /// An answer to what was sent at `sent`; `None` if it names no topics' names.
    pub(super) fn of(body: &GroupStandingBody, sent: Instant, session_timeout: Duration) -> Option<Self> {
        let held = body.held.iter().map(|held| {
            let topic = held.topic.parse().ok()?;
            let next = Timestamp(held.next_ns);
            Some((ShardId(held.shard), Held { topic, next, is_wanted: held.is_wanted }))
        });
        Some(Self {
            generation: body.generation,
            held: held.collect::<Option<_>>()?,
            valid_until: sent + session_timeout,
            beat_every: Duration::from_millis(body.beat_every_ms.into()),
        })
    }

    /// Takes another answer in; whether that changes what is held.
    pub(super) fn learn(&mut self, other: Self) -> bool {
        if other.generation < self.generation {
            return false;
        }
        let is_newer = other.generation > self.generation;
        let valid_until = self.valid_until.max(other.valid_until);
        if is_newer {
            *self = other;
        } else {
            for (shard, held) in &mut self.held {
                held.next = held.next.max(other.held.get(shard).map_or(Timestamp::ZERO, |held| held.next));
            }
        }
        self.valid_until = valid_until;
        is_newer
    }

    /// What others wait for.
    pub(super) fn wanted(&self) -> Vec<ShardId> {
        self.held.iter().filter(|(_, held)| held.is_wanted).map(|(shard, _)| *shard).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(generation: u64, next: u64, valid_ms: u64, base: Instant) -> Standing {
        let held = Held { topic: "t".parse().unwrap(), next: Timestamp(next), is_wanted: false };
        Standing {
            generation,
            held: BTreeMap::from([(ShardId(1), held)]),
            valid_until: base + Duration::from_millis(valid_ms),
            beat_every: Duration::from_millis(240),
        }
    }

    #[test]
    fn of_answers_that_overtake_each_other_the_newest_generation_and_the_furthest_position_count() {
        let base = Instant::now();
        let mut known = standing(5, 70, 500, base);
        assert!(!known.learn(standing(4, 90, 900, base)), "older");
        assert_eq!(known, standing(5, 70, 500, base), "and confirms nothing");
        assert!(!known.learn(standing(5, 60, 800, base)));
        assert_eq!(known, standing(5, 70, 800, base));
        assert!(known.learn(standing(6, 65, 700, base)));
        assert_eq!(known, standing(6, 65, 800, base));
    }
}
