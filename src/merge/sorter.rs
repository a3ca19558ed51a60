//! The merge itself.
//!
//! Every open shard has one entry in a min-heap: a lower bound of the next place it can fill. The bound
//! is the head of its buffer, or, with an empty buffer, the place right after all it is closed at. Bounds
//! only rise, so the heap is corrected lazily: the top entry is compared with its shard's true bound and
//! sunk if it lags. A top entry that is a head may leave; one that is not names the shard waited for.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::simulation::{Bug, is_planted};
use crate::types::{ShardId, Timestamp};

/// A place in the total order of everything: by timestamp, then by shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub timestamp: Timestamp,
    pub shard: ShardId,
}

/// Whether a shard's stream should be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Go,
    /// The buffer is full: read no more of this shard until a pop `resumes` it.
    Pause,
}

/// What `Merge::pop` hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Popped<T> {
    pub place: Place,
    pub item: T,
    /// This pop made room in a paused shard's buffer: read it on.
    pub resumes: bool,
}

struct Buffered<T> {
    timestamp: Timestamp,
    bytes: usize,
    item: T,
}

struct Lane<T> {
    shard: ShardId,
    buffer: VecDeque<Buffered<T>>,
    buffered_bytes: usize,
    paused: bool,
    /// Nothing at or below this can come any more.
    closed: Timestamp,
}

impl<T> Lane<T> {
    /// The least place this shard can still fill; `None` if it is closed for ever and empty.
    fn bound(&self) -> Option<Place> {
        let timestamp = match self.buffer.front() {
            Some(head) => head.timestamp,
            None if self.closed == Timestamp::MAX => return None,
            None => self.closed.next(),
        };
        Some(Place { timestamp, shard: self.shard })
    }
}

/// Merges shards' records into the canonical order.
///
/// A record leaves once every other shard has a later head or is closed past it. `T` is whatever the caller carries.
pub struct Merge<T> {
    lanes: Vec<Lane<T>>,
    by_shard: BTreeMap<ShardId, usize>,
    /// One entry per shard that is not closed for ever: a bound that may lag, and the lane's place.
    heap: BinaryHeap<Reverse<(Place, usize)>>,
    shard_bytes_max: usize,
}

impl<T> Merge<T> {
    /// A merge of `shards`, each with the timestamp it is closed at: everything at or below it is known or not wanted.
    /// A shard's buffer pauses it at `shard_bytes_max` bytes.
    pub fn new(shards: impl IntoIterator<Item = (ShardId, Timestamp)>, shard_bytes_max: usize) -> Self {
        let mut merge =
            Self { lanes: Vec::new(), by_shard: BTreeMap::new(), heap: BinaryHeap::new(), shard_bytes_max };
        for (shard, closed) in shards {
            let lane = Lane { shard, buffer: VecDeque::new(), buffered_bytes: 0, paused: false, closed };
            let at = merge.lanes.len();
            merge.heap.extend(lane.bound().map(|bound| Reverse((bound, at))));
            merge.lanes.push(lane);
            assert!(merge.by_shard.insert(shard, at).is_none(), "shard {shard} is merged once");
        }
        merge
    }

    /// Takes the next record of a shard, which counts for `bytes` in its buffer.
    ///
    /// # Panics
    /// If the record is stamped at or below what its shard was closed at: a broken promise, which the
    /// caller must catch at the edge (see `closed`).
    pub fn push(&mut self, shard: ShardId, timestamp: Timestamp, bytes: usize, item: T) -> Flow {
        let shard_bytes_max = self.shard_bytes_max;
        let lane = self.lane(shard);
        assert!(
            timestamp > lane.closed,
            "shard {shard} delivers {timestamp} but is closed at {}",
            lane.closed
        );
        lane.closed = timestamp;
        lane.buffered_bytes += bytes;
        lane.buffer.push_back(Buffered { timestamp, bytes, item });
        lane.paused |= lane.buffered_bytes >= shard_bytes_max;
        if lane.paused { Flow::Pause } else { Flow::Go }
    }

    /// Learns that everything of `shard` stamped at or below `closed` was pushed. Older news changes nothing;
    /// `Timestamp::MAX` says that nothing will come at all.
    pub fn close(&mut self, shard: ShardId, closed: Timestamp) {
        let lane = self.lane(shard);
        lane.closed = lane.closed.max(closed);
    }

    /// The timestamp up to which all of `shard` was pushed: its next record must be stamped later.
    pub fn closed(&self, shard: ShardId) -> Timestamp {
        self.lanes[self.by_shard[&shard]].closed
    }

    /// Whether `shard` is to be paused.
    pub fn is_paused(&self, shard: ShardId) -> bool {
        self.lanes[self.by_shard[&shard]].paused
    }

    /// The next record of the canonical order, or `None` while a shard could still deliver an earlier one.
    pub fn pop(&mut self) -> Option<Popped<T>> {
        self.settle();
        let mut top = self.heap.peek_mut()?;
        let Reverse((place, at)) = *top;
        let lane = &mut self.lanes[at];
        let head = lane.buffer.pop_front()?;
        lane.buffered_bytes -= head.bytes;
        let resumes = lane.paused && lane.buffered_bytes <= self.shard_bytes_max / 2;
        lane.paused &= !resumes;
        match lane.bound() {
            Some(bound) => *top = Reverse((bound, at)),
            None => drop(PeekMut::pop(top)),
        }
        Some(Popped { place, item: head.item, resumes })
    }

    /// The least place that can still come out: everything before it has. `None` if nothing more can come.
    pub fn frontier(&mut self) -> Option<Place> {
        self.settle();
        self.heap.peek().map(|Reverse((place, _))| *place)
    }

    /// Whether nothing stamped at or below `until` can come out any more; without one, whether nothing can at all.
    pub fn is_over(&mut self, until: Option<Timestamp>) -> bool {
        let is_past = |next: Timestamp| until.is_some_and(|until| next > until);
        if is_planted(Bug::EndWhenOneShardIsClosed) {
            return self.lanes.iter().any(|lane| lane.bound().is_none_or(|next| is_past(next.timestamp)));
        }
        self.frontier().is_none_or(|next| is_past(next.timestamp))
    }

    /// Sinks entries that lag until the top one tells its shard's true bound.
    fn settle(&mut self) {
        while let Some(mut top) = self.heap.peek_mut() {
            let Reverse((known, at)) = *top;
            match self.lanes[at].bound() {
                Some(bound) if bound == known => return,
                Some(bound) => *top = Reverse((bound, at)),
                None => drop(PeekMut::pop(top)),
            }
        }
    }

    fn lane(&mut self, shard: ShardId) -> &mut Lane<T> {
        &mut self.lanes[self.by_shard[&shard]]
    }
}
