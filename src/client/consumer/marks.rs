//! The stretches of a topic of which a reader has learned that their order is not guaranteed.
//!
//! Knows nothing of how marks arrive. Invariant: few ranges a shard are kept, and a timestamp that a mark covered stays covered: ranges
//! that meet are one, and where there are too many the two nearest become one.

use std::collections::BTreeMap;

use crate::types::{OrderMark, ShardId, Timestamp};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    ranges: BTreeMap<ShardId, BTreeMap<Timestamp, Timestamp>>,
}

impl Marks {
    /// Whether no mark was seen.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a mark seen so far says that the order of this shard's record against other shards is not guaranteed.
    pub fn covers(&self, shard: ShardId, timestamp: Timestamp) -> bool {
        let begun = self.ranges.get(&shard).and_then(|ranges| ranges.range(..=timestamp).next_back());
        begun.is_some_and(|(_, until)| timestamp <= *until)
    }

    /// Every marked range: its shard, its first timestamp and its last.
    pub fn ranges(&self) -> impl Iterator<Item = (ShardId, Timestamp, Timestamp)> {
        self.ranges
            .iter()
            .flat_map(|(shard, ranges)| ranges.iter().map(move |(from, until)| (*shard, *from, *until)))
    }

    pub(super) fn add(&mut self, marked: Marked) {
        let ranges = self.ranges.entry(marked.shard).or_default();
        let (mut from, mut until) = (marked.mark.from, marked.mark.until);
        while let Some((first, last)) = ranges.range(..=until.next()).next_back().map(|(f, l)| (*f, *l))
            && last.next() >= from
        {
            ranges.remove(&first);
            (from, until) = (from.min(first), until.max(last));
        }
        ranges.insert(from, until);
        if ranges.len() > RANGES_MAX {
            join_nearest(ranges);
        }
    }
}

fn join_nearest(ranges: &mut BTreeMap<Timestamp, Timestamp>) {
    let pairs = ranges.iter().zip(ranges.iter().skip(1));
    let nearest = pairs.min_by_key(|((_, until), (from, _))| from.ns_since(**until));
    if let Some((first, second)) = nearest.map(|((first, _), (second, _))| (*first, *second))
        && let Some(until) = ranges.remove(&second)
    {
        ranges.insert(first, until);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{MarkReason, NodeId};

    fn marked(from: u64, until: u64) -> Marked {
        let (from, until) = (Timestamp(from), Timestamp(until));
        let mark = OrderMark { node: NodeId(1), from, until, off_by_ns: 0, reason: MarkReason::NoMajority };
        Marked { shard: ShardId(1), timestamp: until.next(), mark }
    }

    proptest! {
        #[test]
        fn exactly_what_some_mark_covers_is_covered(ranges in prop::collection::vec((0_u64..200, 0_u64..20), 0..40)) {
            let mut marks = Marks::default();
            for (from, width) in &ranges {
                marks.add(marked(*from, from + width));
            }
            for at in 0..230 {
                let expected = ranges.iter().any(|(from, width)| (*from..=from + width).contains(&at));
                prop_assert_eq!(marks.covers(ShardId(1), Timestamp(at)), expected, "{}", at);
                prop_assert!(!marks.covers(ShardId(2), Timestamp(at)));
            }
        }
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
