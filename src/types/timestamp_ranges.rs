//! Timestamps, as the ranges that cover them.
//!
//! Knows nothing of why they are covered. Invariant: ranges neither overlap nor touch; a timestamp once covered stays covered.

use std::collections::BTreeMap;

use super::Timestamp;

/// A set of timestamps. It grows only; whoever adds without end bounds it by [`Self::join_nearest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimestampRanges {
    /// The first of each range, and its last.
    ranges: BTreeMap<Timestamp, Timestamp>,
}

impl TimestampRanges {
    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub fn covers(&self, timestamp: Timestamp) -> bool {
        self.around(timestamp).is_some()
    }

    /// The range that covers a timestamp: its first and its last.
    pub fn around(&self, timestamp: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let (from, until) = self.ranges.range(..=timestamp).next_back()?;
        (timestamp <= *until).then_some((*from, *until))
    }

    /// How many timestamps from `first` to `last`, both included, are covered.
    pub fn count_within(&self, first: Timestamp, last: Timestamp) -> u64 {
        let begun = self.ranges.range(..=last).rev().take_while(|(_, until)| **until >= first);
        begun.map(|(from, until)| (*until).min(last).ns_since((*from).max(first)) + 1).sum()
    }

    /// Each range: its first timestamp and its last.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        self.ranges.iter().map(|(from, until)| (*from, *until))
    }

    /// Covers `from` to `until`, both included. Ranges that meet become one.
    pub fn add(&mut self, mut from: Timestamp, mut until: Timestamp) {
        while let Some((first, last)) = self.ranges.range(..=until.next()).next_back().map(|(f, l)| (*f, *l))
            && last.next() >= from
        {
            self.ranges.remove(&first);
            (from, until) = (from.min(first), until.max(last));
        }
        self.ranges.insert(from, until);
    }

    /// Makes one of the two ranges with the least between them.
    pub fn join_nearest(&mut self) {
        let pairs = self.ranges.iter().zip(self.ranges.iter().skip(1));
        let nearest = pairs.min_by_key(|((_, until), (from, _))| from.ns_since(**until));
        if let Some((first, second)) = nearest.map(|((first, _), (second, _))| (*first, *second))
            && let Some(until) = self.ranges.remove(&second)
        {
            self.ranges.insert(first, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exactly_what_was_added_is_covered_and_counted_once(
            added in prop::collection::vec((0_u64..200, 0_u64..20), 0..40),
            (first, width) in (0_u64..230, 0_u64..230),
        ) {
            let mut ranges = TimestampRanges::default();
            for (from, width) in &added {
                ranges.add(Timestamp(*from), Timestamp(from + width));
            }
            let expected = |at: &u64| added.iter().any(|(from, width)| (*from..=from + width).contains(at));
            for at in 0..230 {
                prop_assert_eq!(ranges.covers(Timestamp(at)), expected(&at), "{}", at);
            }
            let last = first + width;
            let counted = ranges.count_within(Timestamp(first), Timestamp(last));
            prop_assert_eq!(counted, (first..=last).filter(expected).count() as u64);
            let ends: Vec<_> = ranges.iter().collect();
            prop_assert!(ends.windows(2).all(|pair| pair[0].1.next() < pair[1].0), "{:?}", ends);
        }
    }

    #[test]
    fn the_nearest_ranges_are_joined_and_nothing_that_was_covered_is_forgotten() {
        let mut ranges = TimestampRanges::default();
        for at in [1, 10, 13, 30] {
            ranges.add(Timestamp(at), Timestamp(at));
        }
        ranges.join_nearest();
        assert!(ranges.iter().eq([(1, 1), (10, 13), (30, 30)].map(|(f, u)| (Timestamp(f), Timestamp(u)))));
    }
}
