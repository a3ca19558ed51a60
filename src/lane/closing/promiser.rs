//! The sender's side: what this node promised to each peer, what was accepted, what is thereby published.
//!
//! Invariants: every shard that leads here is open or stands in one cohort; a time is published for a cohort only after those
//! who left it were taken out.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::rc::Rc;

use super::cohort::{Cohort, Likeness, quorum_of_each};
use super::peer_stream::PeerStream;
use crate::shard::{Promise, Standing};
use crate::simulation::{Limit, limit};
use crate::types::{Membership, NodeId, ReplicaId, ShardId, Timestamp};
use crate::wire::{ClosedAck, ClosedPublication, ClosedTick};

/// A shard whose publication lags the others' by more than this is named as an exception instead of
/// holding them back; a cohort that lags its promise by more is opened.
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

/// All promises of one lane.
#[derive(Debug)]
pub(in crate::lane) struct Promiser {
    me: NodeId,
    next_stream: u64,
    led: BTreeMap<ShardId, Led>,
    /// Shards that lead here and are looked at at every tick.
    open: BTreeSet<ShardId>,
    /// What was published of open ones.
    published: BTreeMap<ShardId, Timestamp>,
    cohorts: BTreeMap<Rc<Likeness>, Cohort>,
    home: BTreeMap<ShardId, Rc<Likeness>>,
    peers: BTreeMap<NodeId, PeerStream>,
    /// Peers with a replica of something that was published since they were last told.
    untold: BTreeSet<NodeId>,
    last_closed: Timestamp,
}

impl Promiser {
    /// `seed` names the streams of this run, so that a restarted sender's numbers are never taken for
    /// its earlier life's.
    pub(in crate::lane) fn new(me: NodeId, seed: u64) -> Self {
        Self {
            me,
            next_stream: seed,
            led: BTreeMap::new(),
            open: BTreeSet::new(),
            published: BTreeMap::new(),
            cohorts: BTreeMap::new(),
            home: BTreeMap::new(),
            peers: BTreeMap::new(),
            untold: BTreeSet::new(),
            last_closed: Timestamp::ZERO,
        }
    }

    /// A shard leads here: it is looked at at the next tick, unless it stands.
    pub(in crate::lane) fn note_leader(&mut self, shard: ShardId) {
        if !self.home.contains_key(&shard) {
            self.open.insert(shard);
        }
    }

    /// The shards to look at for a tick: those that lead, or did, and do not stand.
    pub(in crate::lane) fn open(&mut self) -> Vec<ShardId> {
        self.open_left();
        self.open.iter().copied().collect()
    }

    /// The members of cohorts whose publication no longer follows. Each has to leave.
    pub(in crate::lane) fn open_stalled(&mut self) -> Vec<ShardId> {
        let lag_max_ns = limit(Limit::PublicationLagNs, LAG_MAX_NS);
        let lags =
            |cohort: &Cohort| cohort.standing.promised().ns_since(cohort.standing.published()) > lag_max_ns;
        let stalled = self.cohorts.values().filter(|cohort| lags(cohort));
        let stalled: Vec<ShardId> = stalled.flat_map(|cohort| cohort.members.iter().copied()).collect();
        for shard in &stalled {
            self.take_out(*shard);
        }
        stalled
    }

    /// Notes what an open shard promises, `None` if it may promise nothing now.
    pub(in crate::lane) fn promise(&mut self, shard: ShardId, led: Option<Led>) {
        let Some(led) = led else {
            self.published.remove(&shard);
            if self.led.remove(&shard).is_some() {
                self.peers.values_mut().for_each(|peer| peer.unset(shard));
            }
            return;
        };
        if self.led.get(&shard) == Some(&led) {
            return;
        }
        if self.led.get(&shard).is_none_or(|known| known.promise != led.promise) {
            self.published.remove(&shard);
        }
        for node in led.nodes.values() {
            if *node != self.me && !self.peers.contains_key(node) {
                self.begin_stream(*node);
            }
        }
        for (node, peer) in &mut self.peers {
            if led.nodes.values().any(|on| on == node) {
                peer.set(shard, led.promise);
            } else {
                peer.unset(shard);
            }
        }
        self.led.insert(shard, led);
    }

    /// It leads here no longer.
    pub(in crate::lane) fn forget(&mut self, shard: ShardId) {
        self.promise(shard, None);
        self.open.remove(&shard);
    }

    /// Closes the past of all led shards at `closed`, which the open ones have promised: one tick for every peer that
    /// replicates one.
    pub(in crate::lane) fn tick(&mut self, closed: Timestamp) -> Vec<(NodeId, ClosedTick)> {
        self.last_closed = closed;
        self.cohorts.values().for_each(|cohort| cohort.standing.promise(closed));
        let ticks = self.peers.iter_mut().filter_map(|(node, peer)| Some((*node, peer.tick(closed)?)));
        ticks.collect()
    }

    /// Takes a peer's acknowledgement. Answers the shards that have to leave; `None` if it brought no news.
    pub(in crate::lane) fn acknowledge(&mut self, from: NodeId, ack: &ClosedAck) -> Option<Vec<ShardId>> {
        let peer = self.peers.get_mut(&from).filter(|peer| peer.stream == ack.stream)?;
        if ack.restart {
            self.begin_stream(from);
            return None;
        }
        if !peer.accept(ack) {
            return None;
        }
        let counted = |shard: &ShardId| self.home.get(shard).is_some_and(|home| home.counts(from));
        let excepted: Vec<ShardId> = ack.except.iter().map(|shard| ShardId(*shard)).filter(counted).collect();
        for shard in &excepted {
            self.take_out(*shard);
        }
        Some(excepted)
    }

    /// Publishes for all that stand what quorums have accepted by now; whether that is more than before. After an
    /// acknowledgement only what `heard` counts for can have moved: a node of a hundred gets thousands of them a second.
    pub(in crate::lane) fn publish_standing(&mut self, heard: Option<NodeId>) -> bool {
        self.open_left();
        let mut moved = false;
        let may_move = |likeness: &Likeness| heard.is_none_or(|heard| likeness.counts(heard));
        for (likeness, cohort) in self.cohorts.iter().filter(|(likeness, _)| may_move(likeness)) {
            let accepted = |node| self.peers.get(&node).map_or(Timestamp::ZERO, PeerStream::accepted);
            let Some(closed) = likeness.quorum_accepted(self.me, accepted) else { continue };
            // Of a voter that is a quorum by itself.
            let closed = closed.min(cohort.standing.promised());
            if closed > cohort.standing.published() {
                moved = true;
                cohort.standing.publish(closed);
                self.untold.extend(likeness.nodes());
            }
        }
        moved
    }

    /// The open shards whose promise a quorum has now accepted, the leader itself not yet counted, with the time accepted.
    pub(in crate::lane) fn accepted(&self) -> Vec<(ShardId, Promise, Timestamp)> {
        let open = self.open.iter().filter_map(|shard| Some((*shard, self.led.get(shard)?)));
        let accepted = open.filter_map(|(shard, led)| {
            let closed = self.quorum_accepted(shard, led)?.min(self.last_closed);
            let news = self.published.get(&shard).is_none_or(|published| *published < closed);
            news.then_some((shard, led.promise, closed))
        });
        accepted.collect()
    }

    /// Notes that the leader of an open shard accepted too: the promise is a fact from now on.
    pub(in crate::lane) fn publish(&mut self, shard: ShardId, closed: Timestamp) {
        let published = self.published.entry(shard).or_default();
        *published = (*published).max(closed);
        if let Some(led) = self.led.get(&shard) {
            self.untold.extend(led.nodes.values());
        }
    }

    /// Whether the quorum of a shard's promise was counted by this configuration. Another one may have come into force since.
    pub(in crate::lane) fn counts_by(&self, shard: ShardId, membership: &Membership) -> bool {
        self.led.get(&shard).is_some_and(|led| led.membership == *membership)
    }

    /// A shard just published at `closed` rests: where it stands from now on. `None` if it must stay open.
    pub(in crate::lane) fn stand(&mut self, shard: ShardId, closed: Timestamp) -> Option<Rc<Standing>> {
        let led = self.led.get(&shard)?;
        let at = self.peers.iter().filter(|(_, peer)| peer.accepted_of(shard).is_some());
        let likeness = Rc::new(Likeness::of(led, at.map(|(node, _)| *node).collect()));
        let cohort = self.cohorts.entry(Rc::clone(&likeness)).or_default();
        // What was published for the others must hold for this one.
        if cohort.standing.published() > closed {
            return None;
        }
        if cohort.members.is_empty() {
            cohort.standing.publish(closed);
        }
        cohort.standing.promise(self.last_closed);
        cohort.members.insert(shard);
        self.home.insert(shard, likeness);
        self.open.remove(&shard);
        self.published.remove(&shard);
        Some(Rc::clone(&cohort.standing))
    }

    /// Publications that some peer has not been told yet.
    pub(in crate::lane) fn publications(&mut self) -> Vec<(NodeId, ClosedPublication)> {
        let mut news = Vec::new();
        for node in &mem::take(&mut self.untold) {
            let Some(peer) = self.peers.get_mut(node) else { continue };
            let cohorts = self.cohorts.iter().filter(|(likeness, _)| likeness.is_on(*node));
            let cohorts: Vec<&Cohort> = cohorts.map(|(_, cohort)| cohort).collect();
            let open = self.open.iter().filter(|shard| peer.holds(**shard));
            let open: Vec<_> = open.map(|shard| (*shard, self.published.get(shard).copied())).collect();
            let standing = cohorts.iter().map(|cohort| cohort.standing.published());
            let times: Vec<Timestamp> = standing.chain(open.iter().filter_map(|(_, time)| *time)).collect();
            let Some(best) = times.iter().max() else { continue };
            let near =
                |time: &&Timestamp| best.ns_since(**time) <= limit(Limit::PublicationLagNs, LAG_MAX_NS);
            let Some(closed) = times.iter().filter(near).min().copied() else { continue };
            if closed <= peer.told {
                continue;
            }
            peer.told = closed;
            let lagging = open.iter().filter(|(_, time)| time.is_none_or(|time| time < closed));
            let lagging = lagging.map(|(shard, _)| shard.0);
            let behind = cohorts.iter().filter(|cohort| cohort.standing.published() < closed);
            let except = lagging.chain(behind.flat_map(|cohort| cohort.members.iter().map(|shard| shard.0)));
            let (stream, sequence, except) = (peer.stream, peer.sequence, except.collect());
            news.push((*node, ClosedPublication { stream, sequence, closed_ns: closed.0, except }));
        }
        news
    }

    /// Those who left a cohort by themselves are open again.
    fn open_left(&mut self) {
        let left = self.cohorts.iter().flat_map(|(likeness, cohort)| {
            cohort.standing.take_left().into_iter().map(|shard| (Rc::clone(likeness), shard))
        });
        for (likeness, shard) in left.collect::<Vec<_>>() {
            if self.home.get(&shard) == Some(&likeness) {
                self.take_out(shard);
            }
        }
        self.cohorts.retain(|_, cohort| !cohort.members.is_empty());
    }

    fn take_out(&mut self, shard: ShardId) {
        let Some(likeness) = self.home.remove(&shard) else { return };
        if let Some(cohort) = self.cohorts.get_mut(&likeness) {
            cohort.members.remove(&shard);
            self.published.insert(shard, cohort.standing.published());
        }
        self.open.insert(shard);
    }

    fn begin_stream(&mut self, node: NodeId) {
        self.next_stream = self.next_stream.wrapping_add(1);
        let mut fresh = PeerStream::new(self.next_stream);
        for (shard, led) in &self.led {
            if led.nodes.values().any(|on| *on == node) {
                fresh.set(*shard, led.promise);
            }
        }
        self.peers.insert(node, fresh);
    }

    /// The latest time that a quorum of each voter set has accepted, the leader's own voice taken as given.
    fn quorum_accepted(&self, shard: ShardId, led: &Led) -> Option<Timestamp> {
        let accepted = |node: &NodeId| self.peers.get(node).and_then(|peer| peer.accepted_of(shard));
        let Membership { voters, outgoing, .. } = &led.membership;
        quorum_of_each(voters, outgoing, |voter| match led.nodes.get(voter) {
            _ if *voter == led.own => Timestamp::MAX,
            Some(node) if *node != self.me => accepted(node).unwrap_or_default(),
            _ => Timestamp::ZERO,
        })
    }
}
