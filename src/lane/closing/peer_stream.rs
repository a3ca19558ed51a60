//! What one peer is told: the set of shards that it replicates and this node leads, change by numbered change.
//!
//! Knows nothing of quorums. Invariants: each change has a number, and each number is sent once; only what stood unchanged at
//! the tick that was acknowledged counts as accepted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::shard::Promise;
use crate::simulation::{Limit, limit};
use crate::types::{ShardId, Timestamp};
use crate::wire::{ClosedAck, ClosedTick, ShardPromise};

/// Ticks whose acknowledgement is still awaited, per peer; older ones are forgotten.
const AWAITED_TICKS_MAX: u64 = 64;

#[derive(Debug)]
pub(super) struct PeerStream {
    pub(super) stream: u64,
    pub(super) sequence: u64,
    /// Each member's promise and the tick that set it so.
    members: BTreeMap<ShardId, (Promise, u64)>,
    /// Members that the next tick sets.
    changed: BTreeSet<ShardId>,
    removed: BTreeSet<ShardId>,
    awaited: VecDeque<(u64, Timestamp)>,
    accepted_sequence: u64,
    accepted: Timestamp,
    except: BTreeSet<ShardId>,
    pub(super) told: Timestamp,
    whole: bool,
}

impl PeerStream {
    pub(super) fn new(stream: u64) -> Self {
        Self {
            stream,
            sequence: 0,
            members: BTreeMap::new(),
            changed: BTreeSet::new(),
            removed: BTreeSet::new(),
            awaited: VecDeque::new(),
            accepted_sequence: 0,
            accepted: Timestamp::ZERO,
            except: BTreeSet::new(),
            told: Timestamp::ZERO,
            whole: true,
        }
    }

    pub(super) fn holds(&self, shard: ShardId) -> bool {
        self.members.contains_key(&shard)
    }

    /// The next tick sets this member, unless it is set so already.
    pub(super) fn set(&mut self, shard: ShardId, promise: Promise) {
        if self.members.get(&shard).is_none_or(|(known, _)| *known != promise) {
            self.members.insert(shard, (promise, self.sequence + 1));
            self.changed.insert(shard);
            self.removed.remove(&shard);
        }
    }

    pub(super) fn unset(&mut self, shard: ShardId) {
        if self.members.remove(&shard).is_some() {
            self.changed.remove(&shard);
            self.removed.insert(shard);
        }
    }

    /// The next tick; `None` if there is nothing to promise, nor to take back.
    pub(super) fn tick(&mut self, closed: Timestamp) -> Option<ClosedTick> {
        if self.members.is_empty() && self.removed.is_empty() {
            return None;
        }
        self.sequence += 1;
        let unset = std::mem::take(&mut self.removed).into_iter().map(|shard| shard.0).collect();
        let changed = std::mem::take(&mut self.changed).into_iter();
        let set = changed.map(|shard| {
            let (promise, _) = self.members[&shard];
            ShardPromise { shard: shard.0, term: promise.term.0, index: promise.index.0 }
        });
        let set = set.collect();
        if self.awaited.len() as u64 == limit(Limit::AwaitedTicks, AWAITED_TICKS_MAX) {
            self.awaited.pop_front();
        }
        self.awaited.push_back((self.sequence, closed));
        let whole = std::mem::take(&mut self.whole);
        Some(ClosedTick {
            stream: self.stream,
            sequence: self.sequence,
            whole,
            closed_ns: closed.0,
            set,
            unset,
        })
    }

    /// Whether the acknowledgement brought news.
    pub(super) fn accept(&mut self, ack: &ClosedAck) -> bool {
        let Some((_, closed)) = self.awaited.iter().find(|(sequence, _)| *sequence == ack.sequence) else {
            return false;
        };
        self.accepted_sequence = ack.sequence;
        self.accepted = *closed;
        self.except = ack.except.iter().map(|shard| ShardId(*shard)).collect();
        self.awaited.retain(|(sequence, _)| *sequence > ack.sequence);
        true
    }

    /// The latest time accepted for every member that stood unchanged, the excepted ones aside; zero if none was.
    pub(super) fn accepted(&self) -> Timestamp {
        self.accepted
    }

    pub(super) fn accepted_of(&self, shard: ShardId) -> Option<Timestamp> {
        let (_, since) = self.members.get(&shard)?;
        let stands = *since <= self.accepted_sequence && !self.except.contains(&shard);
        stands.then_some(self.accepted)
    }
}
