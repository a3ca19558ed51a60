//! The stretches of a topic of which a reader has learned that their order is not guaranteed.
//!
//! Knows nothing of how marks arrive. Invariant: few ranges a shard are kept, and a timestamp that a mark covered stays covered: ranges
//! that meet are one, and where there are too many the two nearest become one.

use std::collections::BTreeMap;

use crate::types::{OrderMark, ShardId, Timestamp, TimestampRanges};

/// Ranges kept of one shard.
const RANGES_MAX: usize = 256;

/// A mark, and its own place in its shard and in time: behind everything that it can concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    pub shard: ShardId,
    pub timestamp: Timestamp,
    pub mark: OrderMark,
}

/// Which timestamps are marked, by shard.
///
/// ```
/// use timberline::client::{Consumed, Consumer};
///
/// /// The records read so far whose place against other shards' records may be wrong.
/// fn doubtful<'a>(consumer: &Consumer, read: &'a [Consumed]) -> Vec<&'a Consumed> {
///     read.iter().filter(|one| consumer.marks().covers(one.shard, one.timestamp)).collect()
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    ranges: BTreeMap<ShardId, TimestampRanges>,
}

impl Marks {
    /// Whether no mark was seen.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a mark seen so far says that the order of this shard's record against other shards is not guaranteed.
    pub fn covers(&self, shard: ShardId, timestamp: Timestamp) -> bool {
        self.ranges.get(&shard).is_some_and(|ranges| ranges.covers(timestamp))
    }

    /// Every marked range: its shard, its first timestamp and its last.
    pub fn ranges(&self) -> impl Iterator<Item = (ShardId, Timestamp, Timestamp)> {
        self.ranges
            .iter()
            .flat_map(|(shard, ranges)| ranges.iter().map(move |(from, until)| (*shard, from, until)))
    }

    pub(super) fn add(&mut self, marked: Marked) {
        let ranges = self.ranges.entry(marked.shard).or_default();
        ranges.add(marked.mark.from, marked.mark.until);
        if ranges.len() > RANGES_MAX {
            ranges.join_nearest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{MarkReason, NodeId};

    fn marked(from: u64, until: u64) -> Marked {
        let (from, until) = (Timestamp(from), Timestamp(until));
        let mark = OrderMark { node: NodeId(1), from, until, off_by_ns: 0, reason: MarkReason::NoMajority };
        Marked { shard: ShardId(1), timestamp: until.next(), mark }
    }

    #[test]
    fn a_mark_covers_timestamps_of_its_own_shard_alone() {
        let mut marks = Marks::default();
        assert!(marks.is_empty());
        marks.add(marked(3, 5));
        let covered: Vec<_> = (0..9).filter(|at| marks.covers(ShardId(1), Timestamp(*at))).collect();
        assert_eq!(covered, [3, 4, 5]);
        assert!((0..9).all(|at| !marks.covers(ShardId(2), Timestamp(at))));
        assert!(marks.ranges().eq([(ShardId(1), Timestamp(3), Timestamp(5))]));
    }

    #[test]
    fn ranges_stay_few_and_nothing_that_was_covered_is_forgotten() {
        let mut marks = Marks::default();
        for at in 0..2000 {
            marks.add(marked(at * at, at * at));
        }
        assert!(marks.ranges().count() <= RANGES_MAX);
        assert!((0..2000).all(|at| marks.covers(ShardId(1), Timestamp(at * at))));
        assert!(!marks.covers(ShardId(1), Timestamp(2000 * 2000 - 1)));
    }
}
