//! The merge against a slow reference that looks at everything each time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Flow, Merge, Place};
use crate::types::{ShardId, Timestamp};

fn place(timestamp: u64, shard: u64) -> Place {
    Place { timestamp: Timestamp(timestamp), shard: ShardId(shard) }
}

fn merge_of(shards: u64) -> Merge<u64> {
    Merge::new((0..shards).map(|shard| (ShardId(shard), Timestamp::ZERO)), usize::MAX)
}

#[test]
fn a_record_waits_for_every_shard_that_could_still_be_earlier() {
    let mut merge = merge_of(3);
    merge.push(ShardId(1), Timestamp(10), 1, 0);
    assert!(merge.pop().is_none());
    merge.push(ShardId(2), Timestamp(12), 1, 0);
    assert!(merge.pop().is_none());
    merge.close(ShardId(0), Timestamp(9));
    assert!(merge.pop().is_none(), "shard 0 could still deliver (10, 0), which goes first");
    merge.close(ShardId(0), Timestamp(10));
    assert_eq!(merge.pop().unwrap().place, place(10, 1));
    assert!(merge.pop().is_none());
}

#[test]
fn at_one_timestamp_the_lower_shard_goes_first() {
    let mut merge = merge_of(2);
    merge.push(ShardId(1), Timestamp(5), 1, 0);
    merge.push(ShardId(0), Timestamp(5), 1, 0);
    assert_eq!(merge.pop().unwrap().place, place(5, 0));
    assert_eq!(merge.pop().unwrap().place, place(5, 1), "shard 0's own record closed it at 5");
}

#[test]
fn a_full_buffer_pauses_its_shard_until_half_of_it_left() {
    let mut merge = Merge::new([(ShardId(0), Timestamp::ZERO)], 4);
    let flows: Vec<Flow> = (1..=4).map(|t| merge.push(ShardId(0), Timestamp(t), 1, ())).collect();
    assert_eq!(flows, [Flow::Go, Flow::Go, Flow::Go, Flow::Pause]);
    let resumes: Vec<bool> = (0..4).map(|_| merge.pop().unwrap().resumes).collect();
    assert_eq!(resumes, [false, true, false, false]);
    assert!(!merge.is_paused(ShardId(0)));
}

#[test]
fn a_shard_closed_for_ever_holds_nobody_back() {
    let mut merge = merge_of(2);
    merge.push(ShardId(1), Timestamp(7), 1, 0);
    merge.close(ShardId(0), Timestamp::MAX);
    assert_eq!(merge.frontier(), Some(place(7, 1)));
    assert!(merge.pop().is_some());
    merge.close(ShardId(1), Timestamp::MAX);
    assert_eq!(merge.frontier(), None);
}

#[test]
#[should_panic(expected = "is closed at")]
fn a_record_at_or_below_its_shards_closed_timestamp_is_a_broken_promise() {
    let mut merge = merge_of(1);
    merge.close(ShardId(0), Timestamp(7));
    merge.push(ShardId(0), Timestamp(7), 1, 0);
}

/// What one shard's stream says next.
#[derive(Clone, Copy, Debug)]
enum News {
    Record(u64),
    Closed(u64),
}

/// Streams of records with closed timestamps in between, and the order in which they arrive.
fn arrivals() -> impl Strategy<Value = (usize, Vec<(usize, News)>)> {
    (1_usize..6).prop_flat_map(|shards| {
        let step = (0..shards, 0_u64..4, proptest::bool::weighted(0.6));
        proptest::collection::vec(step, 0..120).prop_map(move |steps| {
            let mut closed = vec![0_u64; shards];
            let news = steps.into_iter().map(|(shard, ahead, is_record)| {
                let least = closed[shard] + u64::from(is_record);
                closed[shard] = least + ahead;
                (shard, if is_record { News::Record(closed[shard]) } else { News::Closed(closed[shard]) })
            });
            (shards, news.collect())
        })
    })
}

/// All that arrived so far; knows by looking at everything what may come out.
#[derive(Default)]
struct Reference {
    records: Vec<Place>,
    closed: BTreeMap<u64, u64>,
}

impl Reference {
    fn hear(&mut self, shard: usize, news: News) {
        let closed = self.closed.get_mut(&(shard as u64)).unwrap();
        match news {
            News::Record(timestamp) => {
                *closed = timestamp;
                self.records.push(place(timestamp, shard as u64));
                self.records.sort_unstable();
            }
            News::Closed(timestamp) => *closed = timestamp,
        }
    }

    /// The records that no future arrival can come before.
    fn stable(&self) -> Vec<Place> {
        let may_come = self.closed.iter().map(|(shard, closed)| place(closed + 1, *shard)).min().unwrap();
        self.records.iter().copied().filter(|record| *record < may_come).collect()
    }
}

proptest! {
    #[test]
    fn output_is_at_every_moment_exactly_the_stable_start_of_the_canonical_order((shards, news) in arrivals()) {
        let mut merge = merge_of(shards as u64);
        let closed = (0..shards as u64).map(|shard| (shard, 0)).collect();
        let mut reference = Reference { closed, ..Reference::default() };
        let mut out = Vec::new();
        for (shard, news) in news {
            reference.hear(shard, news);
            match news {
                News::Record(t) => drop(merge.push(ShardId(shard as u64), Timestamp(t), 1, t)),
                News::Closed(t) => merge.close(ShardId(shard as u64), Timestamp(t)),
            }
            while let Some(popped) = merge.pop() {
                prop_assert_eq!(popped.place.timestamp.0, popped.item);
                out.push(popped.place);
            }
            prop_assert_eq!(&out, &reference.stable());
            let frontier = merge.frontier().unwrap();
            prop_assert!(out.iter().all(|place| *place < frontier));
        }
        for shard in 0..shards as u64 {
            merge.close(ShardId(shard), Timestamp::MAX);
        }
        out.extend(std::iter::from_fn(|| merge.pop()).map(|popped| popped.place));
        prop_assert_eq!(&out, &reference.records, "in the end all of it, once, in order");
        prop_assert_eq!(merge.frontier(), None);
    }

    #[test]
    fn a_buffer_never_holds_more_than_its_bound_and_one_record((shards, news) in arrivals(), limit in 1_usize..8) {
        let mut merge = Merge::new((0..shards as u64).map(|shard| (ShardId(shard), Timestamp::ZERO)), limit);
        let mut held = vec![0_usize; shards];
        for (shard, news) in news {
            let id = ShardId(shard as u64);
            match news {
                _ if merge.is_paused(id) => {}
                News::Record(t) => {
                    held[shard] += 1;
                    let flow = merge.push(id, Timestamp(t), 1, ());
                    prop_assert_eq!(flow == Flow::Pause, held[shard] >= limit);
                    prop_assert!(held[shard] <= limit);
                }
                News::Closed(t) => merge.close(id, Timestamp(t)),
            }
            while let Some(popped) = merge.pop() {
                held[popped.place.shard.0 as usize] -= 1;
            }
        }
        for (shard, count) in held.iter().enumerate() {
            prop_assert!(*count < limit || merge.is_paused(ShardId(shard as u64)));
        }
    }
}
