//! The receiver's side: what each peer has promised, and what of it a quorum accepted.

use std::collections::BTreeMap;

use crate::shard::Promise;
use crate::types::{Index, NodeId, ShardId, Term, Timestamp};
use crate::wire::{ClosedAck, ClosedPublication, ClosedTick};

/// The sets of all peers that lead shards replicated here.
#[derive(Debug, Default)]
pub(in crate::lane) struct Acceptor {
    peers: BTreeMap<NodeId, PeerSet>,
}

#[derive(Debug)]
struct PeerSet {
    stream: u64,
    sequence: u64,
    shards: BTreeMap<ShardId, Member>,
    /// A publication that overtook the tick it names.
    early: Option<ClosedPublication>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    promise: Promise,
    /// The tick that set this member as it is.
    since: u64,
}

/// What a tick asks of this node.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::lane) enum Applied {
    /// Offer each promise to its shard, then acknowledge with those that were refused.
    Offer { closed: Timestamp, promises: Vec<(ShardId, Promise)> },
    /// Changes were missed: answer this.
    Restart(ClosedAck),
    /// An old tick, delivered late: nothing to do.
    Stale,
}

impl Acceptor {
    /// Applies a tick's changes, if they follow on.
    pub(in crate::lane) fn apply(&mut self, from: NodeId, tick: &ClosedTick) -> Applied {
        if tick.whole {
            let fresh = PeerSet { stream: tick.stream, sequence: 0, shards: BTreeMap::new(), early: None };
            self.peers.insert(from, fresh);
        }
        let known = self.peers.get_mut(&from).filter(|set| set.stream == tick.stream);
        let Some(set) = known else { return Applied::Restart(restart(tick)) };
        if !tick.whole && tick.sequence <= set.sequence {
            return Applied::Stale;
        }
        if !tick.whole && tick.sequence != set.sequence + 1 {
            self.peers.remove(&from);
            return Applied::Restart(restart(tick));
        }
        set.sequence = tick.sequence;
        for shard in &tick.unset {
            set.shards.remove(&ShardId(*shard));
        }
        for member in &tick.set {
            let promise = Promise { term: Term(member.term), index: Index(member.index) };
            set.shards.insert(ShardId(member.shard), Member { promise, since: tick.sequence });
        }
        let promises = set.shards.iter().map(|(shard, member)| (*shard, member.promise)).collect();
        Applied::Offer { closed: Timestamp(tick.closed_ns), promises }
    }

    /// The publication that waited for the tick just applied.
    pub(in crate::lane) fn take_early(&mut self, from: NodeId) -> Option<ClosedPublication> {
        let set = self.peers.get_mut(&from)?;
        let sequence = set.sequence;
        set.early.take_if(|early| early.sequence <= sequence)
    }

    /// The shards that a publication closes, with the index each must have released. One that names a tick
    /// still to come is kept for it.
    pub(in crate::lane) fn published(
        &mut self,
        from: NodeId,
        publication: &ClosedPublication,
    ) -> Vec<(ShardId, Index)> {
        let Some(set) = self.peers.get_mut(&from).filter(|set| set.stream == publication.stream) else {
            return Vec::new();
        };
        // A set that has not come as far may still hold a member's earlier index.
        if set.sequence < publication.sequence {
            set.early = Some(publication.clone());
            return Vec::new();
        }
        set.shards
            .iter()
            .filter(|(shard, member)| {
                member.since <= publication.sequence && !publication.except.contains(&shard.0)
            })
            .map(|(shard, member)| (*shard, member.promise.index))
            .collect()
    }
}

fn restart(tick: &ClosedTick) -> ClosedAck {
    ClosedAck { stream: tick.stream, sequence: 0, except: Vec::new(), restart: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ShardPromise;

    const PEER: NodeId = NodeId(2);

    fn tick(sequence: u64, whole: bool, set: &[(u64, u64)]) -> ClosedTick {
        let set = set.iter().map(|&(shard, index)| ShardPromise { shard, term: 1, index }).collect();
        ClosedTick { stream: 9, sequence, whole, closed_ns: 100 * sequence, set, unset: vec![] }
    }

    fn publication(sequence: u64, except: &[u64]) -> ClosedPublication {
        ClosedPublication { stream: 9, sequence, closed_ns: 1, except: except.to_vec() }
    }

    #[test]
    fn a_missed_tick_is_answered_with_a_wish_to_restart_and_publishes_nothing_more() {
        let mut acceptor = Acceptor::default();
        assert!(matches!(acceptor.apply(PEER, &tick(1, true, &[(5, 3)])), Applied::Offer { .. }));
        assert!(matches!(acceptor.apply(PEER, &tick(3, false, &[])), Applied::Restart(_)));
        assert!(acceptor.published(PEER, &publication(3, &[])).is_empty());
        assert!(matches!(acceptor.apply(PEER, &tick(4, false, &[])), Applied::Restart(_)));
    }

    #[test]
    fn an_unchanged_shard_is_promised_again_by_every_tick() {
        let mut acceptor = Acceptor::default();
        acceptor.apply(PEER, &tick(1, true, &[(5, 3)]));
        let Applied::Offer { closed, promises } = acceptor.apply(PEER, &tick(2, false, &[])) else {
            panic!("tick 2 follows tick 1")
        };
        assert_eq!(closed, Timestamp(200));
        assert_eq!(promises, vec![(ShardId(5), Promise { term: Term(1), index: Index(3) })]);
    }

    #[test]
    fn a_publication_leaves_out_excepted_shards_and_those_changed_after_it() {
        let mut acceptor = Acceptor::default();
        acceptor.apply(PEER, &tick(1, true, &[(5, 3), (6, 8), (7, 1)]));
        acceptor.apply(PEER, &tick(2, false, &[(6, 9)]));
        assert_eq!(acceptor.published(PEER, &publication(1, &[7])), vec![(ShardId(5), Index(3))]);
    }

    #[test]
    fn a_publication_that_overtakes_its_tick_waits_for_it() {
        let mut acceptor = Acceptor::default();
        acceptor.apply(PEER, &tick(1, true, &[(5, 3)]));
        assert!(acceptor.published(PEER, &publication(2, &[])).is_empty());
        assert_eq!(acceptor.take_early(PEER), None);
        acceptor.apply(PEER, &tick(2, false, &[(5, 4)]));
        let early = acceptor.take_early(PEER).expect("it waited for tick 2");
        assert_eq!(acceptor.published(PEER, &early), vec![(ShardId(5), Index(4))]);
    }
}
