//! The sender's side: what this node promised to each peer, what was accepted, what is thereby published.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::shard::Promise;
use crate::simulation::{Limit, limit};
use crate::types::{Membership, NodeId, ReplicaId, ShardId, Timestamp};
use crate::wire::{ClosedAck, ClosedPublication, ClosedTick, ShardPromise};

/// Ticks whose acknowledgement is still awaited, per peer; older ones are forgotten.
const AWAITED_TICKS_MAX: u64 = 64;
/// A shard whose publication lags the others' by more than this is named as an exception instead of
/// holding them back.
const LAG_MAX_NS: u64 = 500_000_000;

/// A shard that this node leads at a tick, and what it promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lane) struct Led {
    pub(in crate::lane) promise: Promise,
    pub(in crate::lane) membership: Membership,
    /// The leader's own replica.
    pub(in crate::lane) own: ReplicaId,
    /// Where the replicas are.
    pub(in crate::lane) nodes: BTreeMap<ReplicaId, NodeId>,
}

impl Led {
    /// Whether the leader is a quorum by itself.
    pub(in crate::lane) fn is_alone(&self) -> bool {
        self.membership.voters == [self.own] && self.membership.outgoing.is_empty()
    }
}

/// All promises of one lane.
#[derive(Debug)]
pub(in crate::lane) struct Promiser {
    me: NodeId,
    next_stream: u64,
    led: BTreeMap<ShardId, Led>,
    published: BTreeMap<ShardId, Timestamp>,
    peers: BTreeMap<NodeId, PeerStream>,
}

#[derive(Debug)]
struct PeerStream {
    stream: u64,
    sequence: u64,
    /// Each member's promise and the tick that set it so.
    set: BTreeMap<ShardId, (Promise, u64)>,
    awaited: VecDeque<(u64, Timestamp)>,
    accepted_sequence: u64,
    accepted: Timestamp,
    except: BTreeSet<ShardId>,
    told: Timestamp,
    whole: bool,
}

impl Promiser {
    /// `seed` names the streams of this run, so that a restarted sender's numbers are never taken for
    /// its earlier life's.
    pub(in crate::lane) fn new(me: NodeId, seed: u64) -> Self {
        let (led, published, peers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { me, next_stream: seed, led, published, peers }
    }

    /// Closes the past of all `led` shards at `closed`: one tick for every peer that replicates one.
    pub(in crate::lane) fn tick(
        &mut self,
        closed: Timestamp,
        led: BTreeMap<ShardId, Led>,
    ) -> Vec<(NodeId, ClosedTick)> {
        let unchanged =
            |shard: &ShardId| self.led.get(shard).map(|l| l.promise) == led.get(shard).map(|l| l.promise);
        self.published.retain(|shard, _| unchanged(shard));
        let mut sets: BTreeMap<NodeId, BTreeMap<ShardId, Promise>> = BTreeMap::new();
        for (shard, leader) in &led {
            for node in leader.nodes.values().filter(|node| **node != self.me) {
                sets.entry(*node).or_default().insert(*shard, leader.promise);
            }
        }
        self.led = led;
        for node in sets.keys() {
            if !self.peers.contains_key(node) {
                let fresh = PeerStream::new(self.draw_stream());
                self.peers.insert(*node, fresh);
            }
        }
        let mut ticks = Vec::new();
        for (node, peer) in &mut self.peers {
            let wanted = sets.remove(node).unwrap_or_default();
            if wanted.is_empty() && peer.set.is_empty() {
                continue;
            }
            ticks.push((*node, peer.tick(closed, &wanted)));
        }
        ticks
    }

    /// Takes a peer's acknowledgement. Answers the led shards whose promise a quorum has now accepted, the
    /// leader itself not yet counted, with the time accepted.
    pub(in crate::lane) fn acknowledge(
        &mut self,
        from: NodeId,
        ack: &ClosedAck,
    ) -> Vec<(ShardId, Promise, Timestamp)> {
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.stream == ack.stream) else {
            return Vec::new();
        };
        if ack.restart {
            let fresh = PeerStream::new(self.draw_stream());
            self.peers.insert(from, fresh);
            return Vec::new();
        }
        if !peer.accept(ack) {
            return Vec::new();
        }
        let accepted =
            |shard: &ShardId, node: NodeId| self.peers.get(&node).and_then(|p| p.accepted_of(*shard));
        self.led
            .iter()
            .filter_map(|(shard, led)| {
                let closed = quorum_accepted(led, self.me, |node| accepted(shard, node))?;
                let news = self.published.get(shard).is_none_or(|published| *published < closed);
                news.then_some((*shard, led.promise, closed))
            })
            .collect()
    }

    /// Notes that the leader accepted too: the promise is a fact from now on.
    pub(in crate::lane) fn publish(&mut self, shard: ShardId, closed: Timestamp) {
        let published = self.published.entry(shard).or_default();
        *published = (*published).max(closed);
    }

    /// Publications that some peer has not been told yet.
    pub(in crate::lane) fn publications(&mut self) -> Vec<(NodeId, ClosedPublication)> {
        let mut news = Vec::new();
        for (node, peer) in &mut self.peers {
            let times = peer.set.keys().filter_map(|shard| self.published.get(shard).copied());
            let Some(best) = times.clone().max() else { continue };
            let Some(closed) =
                times.filter(|t| best.ns_since(*t) <= limit(Limit::PublicationLagNs, LAG_MAX_NS)).min()
            else {
                continue;
            };
            if closed <= peer.told {
                continue;
            }
            peer.told = closed;
            let lagging = |shard: &&ShardId| self.published.get(shard).is_none_or(|t| *t < closed);
            let except = peer.set.keys().filter(lagging).map(|shard| shard.0).collect();
            let (stream, sequence) = (peer.stream, peer.sequence);
            news.push((*node, ClosedPublication { stream, sequence, closed_ns: closed.0, except }));
        }
        news
    }

    fn draw_stream(&mut self) -> u64 {
        self.next_stream = self.next_stream.wrapping_add(1);
        self.next_stream
    }
}

impl PeerStream {
    fn new(stream: u64) -> Self {
        Self {
            stream,
            sequence: 0,
            set: BTreeMap::new(),
            awaited: VecDeque::new(),
            accepted_sequence: 0,
            accepted: Timestamp::ZERO,
            except: BTreeSet::new(),
            told: Timestamp::ZERO,
            whole: true,
        }
    }

    fn tick(&mut self, closed: Timestamp, wanted: &BTreeMap<ShardId, Promise>) -> ClosedTick {
        self.sequence += 1;
        let sequence = self.sequence;
        let unset: Vec<u64> = self.set.keys().filter(|s| !wanted.contains_key(s)).map(|s| s.0).collect();
        self.set.retain(|shard, _| wanted.contains_key(shard));
        let mut set = Vec::new();
        for (shard, promise) in wanted {
            if self.set.get(shard).is_some_and(|(known, _)| known == promise) {
                continue;
            }
            self.set.insert(*shard, (*promise, sequence));
            set.push(ShardPromise { shard: shard.0, term: promise.term.0, index: promise.index.0 });
        }
        if self.awaited.len() as u64 == limit(Limit::AwaitedTicks, AWAITED_TICKS_MAX) {
            self.awaited.pop_front();
        }
        self.awaited.push_back((sequence, closed));
        let whole = std::mem::take(&mut self.whole);
        ClosedTick { stream: self.stream, sequence, whole, closed_ns: closed.0, set, unset }
    }

    /// Whether the acknowledgement brought news.
    fn accept(&mut self, ack: &ClosedAck) -> bool {
        let Some((_, closed)) = self.awaited.iter().find(|(sequence, _)| *sequence == ack.sequence) else {
            return false;
        };
        self.accepted_sequence = ack.sequence;
        self.accepted = *closed;
        self.except = ack.except.iter().map(|shard| ShardId(*shard)).collect();
        self.awaited.retain(|(sequence, _)| *sequence > ack.sequence);
        true
    }

    fn accepted_of(&self, shard: ShardId) -> Option<Timestamp> {
        let (_, since) = self.set.get(&shard)?;
        let stands = *since <= self.accepted_sequence && !self.except.contains(&shard);
        stands.then_some(self.accepted)
    }
}

/// The latest time that a quorum of each voter set has accepted, the leader's own voice taken as given.
fn quorum_accepted(
    led: &Led,
    me: NodeId,
    accepted: impl Fn(NodeId) -> Option<Timestamp>,
) -> Option<Timestamp> {
    let of_set = |voters: &[ReplicaId]| -> Option<Timestamp> {
        let mut times: Vec<Timestamp> = voters
            .iter()
            .map(|voter| match led.nodes.get(voter) {
                _ if *voter == led.own => Timestamp::MAX,
                Some(node) if *node != me => accepted(*node).unwrap_or_default(),
                _ => Timestamp::ZERO,
            })
            .collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(voters.len() / 2).copied().filter(|time| *time > Timestamp::ZERO)
    };
    let incoming = of_set(&led.membership.voters)?;
    if led.membership.outgoing.is_empty() {
        return Some(incoming);
    }
    Some(incoming.min(of_set(&led.membership.outgoing)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Index, Term};

    const SHARD: ShardId = ShardId(4);

    fn led(index: u64, nodes: u64) -> BTreeMap<ShardId, Led> {
        let voters: Vec<ReplicaId> = (1..=nodes).map(ReplicaId).collect();
        let led = Led {
            promise: Promise { term: Term(1), index: Index(index) },
            membership: Membership { voters, ..Membership::default() },
            own: ReplicaId(1),
            nodes: (1..=nodes).map(|n| (ReplicaId(n), NodeId(n))).collect(),
        };
        BTreeMap::from([(SHARD, led)])
    }

    fn ack(tick: &ClosedTick, except: &[u64]) -> ClosedAck {
        ClosedAck { stream: tick.stream, sequence: tick.sequence, except: except.to_vec(), restart: false }
    }

    #[test]
    fn nothing_is_published_before_a_quorum_accepted() {
        let mut promiser = Promiser::new(NodeId(1), 7);
        let ticks = promiser.tick(Timestamp(100), led(3, 5));
        assert_eq!(ticks.len(), 4);
        assert!(promiser.acknowledge(NodeId(2), &ack(&ticks[0].1, &[])).is_empty());
        let accepted = promiser.acknowledge(NodeId(3), &ack(&ticks[1].1, &[]));
        assert_eq!(accepted.len(), 1);
        assert_eq!(accepted[0].2, Timestamp(100));
    }

    #[test]
    fn a_lone_voter_needs_nobody_and_is_not_asked() {
        let mut promiser = Promiser::new(NodeId(1), 7);
        assert!(promiser.tick(Timestamp(100), led(3, 1)).is_empty());
    }

    #[test]
    fn an_excepted_shard_does_not_count_as_accepted() {
        let mut promiser = Promiser::new(NodeId(1), 7);
        let ticks = promiser.tick(Timestamp(100), led(3, 3));
        assert!(promiser.acknowledge(NodeId(2), &ack(&ticks[0].1, &[SHARD.0])).is_empty());
    }

    #[test]
    fn an_acceptance_of_the_old_index_does_not_publish_the_new_one() {
        let mut promiser = Promiser::new(NodeId(1), 7);
        let old = promiser.tick(Timestamp(100), led(3, 3));
        promiser.tick(Timestamp(200), led(4, 3));
        assert!(promiser.acknowledge(NodeId(2), &ack(&old[0].1, &[])).is_empty());
    }

    #[test]
    fn an_unchanged_shard_costs_no_change() {
        let mut promiser = Promiser::new(NodeId(1), 7);
        let first = promiser.tick(Timestamp(100), led(3, 3));
        assert!(first[0].1.whole);
        let second = promiser.tick(Timestamp(200), led(3, 3));
        assert!(second[0].1.set.is_empty() && second[0].1.unset.is_empty() && !second[0].1.whole);
    }

    #[test]
    fn a_restart_begins_a_new_stream_with_the_whole_set() {
        let mut promiser = Promiser::new(NodeId(1), 7);
        let first = promiser.tick(Timestamp(100), led(3, 3));
        let restart = ClosedAck { restart: true, ..ack(&first[0].1, &[]) };
        promiser.acknowledge(NodeId(2), &restart);
        let second = promiser.tick(Timestamp(200), led(3, 3));
        assert!(second[0].1.whole);
        assert_ne!(second[0].1.stream, first[0].1.stream);
        assert_eq!(second[0].1.set.len(), 1);
    }

    #[test]
    fn each_peer_is_told_a_publication_once() {
        let mut promiser = Promiser::new(NodeId(1), 7);
        let ticks = promiser.tick(Timestamp(100), led(3, 3));
        promiser.acknowledge(NodeId(2), &ack(&ticks[0].1, &[]));
        promiser.publish(SHARD, Timestamp(100));
        assert_eq!(promiser.publications().len(), 2);
        assert!(promiser.publications().is_empty());
    }
}
