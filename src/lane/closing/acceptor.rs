//! The receiver's side: what each peer has promised, and what of it a quorum accepted.
//!
//! Invariant: a member that stands has accepted every tick since it began to, and nothing was published for it that it was
//! excepted from.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::shard::{Promise, Standing};
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
    members: BTreeMap<ShardId, Member>,
    /// The members that every tick is offered to one by one.
    open: BTreeSet<ShardId>,
    standing: Rc<Standing>,
    /// Ticks of Raft since a tick of this set was applied.
    silent_ticks: u32,
    /// A publication that overtook the tick it names.
    early: Option<ClosedPublication>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    promise: Promise,
    /// The tick that set this member as it is.
    since: u64,
    /// While it is open: the last tick was accepted for it.
    accepted: bool,
}

/// What a tick asks of this node.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::lane) enum Applied {
    /// Let those that changed leave, offer each promise to its shard, then acknowledge with those that were refused.
    Offer { closed: Timestamp, changed: Vec<ShardId> },
    /// Changes were missed: let those leave that they may concern, and answer this.
    Restart { ack: ClosedAck, lost: Vec<ShardId> },
    /// An old tick, delivered late: nothing to do.
    Stale,
}

/// What a publication means here.
#[derive(Debug)]
pub(in crate::lane) struct Told {
    /// For those that stand, once the excepted ones have left.
    pub(in crate::lane) standing: Rc<Standing>,
    /// Those that stood and are excepted: each has to leave.
    pub(in crate::lane) excepted: Vec<ShardId>,
    /// The open ones that it closes, each with its promise, and whether that was accepted by the last tick.
    pub(in crate::lane) open: Vec<(ShardId, Promise, bool)>,
}

impl Acceptor {
    /// Applies a tick's changes, if they follow on.
    pub(in crate::lane) fn apply(&mut self, from: NodeId, tick: &ClosedTick) -> Applied {
        let mut changed = Vec::new();
        if tick.whole {
            let fresh = PeerSet::new(tick.stream);
            let old = self.peers.insert(from, fresh);
            changed.extend(old.into_iter().flat_map(|old| old.members.into_keys()));
        }
        let known = self.peers.get_mut(&from).filter(|set| set.stream == tick.stream);
        let Some(set) = known else { return Applied::Restart { ack: restart(tick), lost: Vec::new() } };
        if !tick.whole && tick.sequence <= set.sequence {
            return Applied::Stale;
        }
        if !tick.whole && tick.sequence != set.sequence + 1 {
            let lost = self.peers.remove(&from).map(|set| set.members.into_keys().collect());
            return Applied::Restart { ack: restart(tick), lost: lost.unwrap_or_default() };
        }
        set.sequence = tick.sequence;
        set.silent_ticks = 0;
        for shard in tick.unset.iter().copied().map(ShardId) {
            set.members.remove(&shard);
            set.open.remove(&shard);
            changed.push(shard);
        }
        for member in &tick.set {
            let promise = Promise { term: Term(member.term), index: Index(member.index) };
            let (shard, since) = (ShardId(member.shard), tick.sequence);
            set.members.insert(shard, Member { promise, since, accepted: false });
            set.open.insert(shard);
            changed.push(shard);
        }
        Applied::Offer { closed: Timestamp(tick.closed_ns), changed }
    }

    /// The members to offer the last tick to one by one: those that do not stand.
    pub(in crate::lane) fn open(&mut self, from: NodeId) -> Vec<(ShardId, Promise)> {
        let Some(set) = self.peers.get_mut(&from) else { return Vec::new() };
        set.open_left();
        set.open.iter().map(|shard| (*shard, set.members[shard].promise)).collect()
    }

    /// Notes for which open members the tick was accepted, and accepts it for all that stand. Gives the refused ones.
    pub(in crate::lane) fn accept(
        &mut self,
        from: NodeId,
        closed: Timestamp,
        offered: &[(ShardId, bool)],
    ) -> Vec<u64> {
        let Some(set) = self.peers.get_mut(&from) else { return Vec::new() };
        set.standing.promise(closed);
        for (shard, accepted) in offered {
            if let Some(member) = set.members.get_mut(shard) {
                member.accepted = *accepted;
            }
        }
        offered.iter().filter(|(_, accepted)| !accepted).map(|(shard, _)| shard.0).collect()
    }

    /// The last tick is accepted for none: this node's clock allows it not.
    pub(in crate::lane) fn refuse(&mut self, from: NodeId) {
        if let Some(set) = self.peers.get_mut(&from) {
            set.members.values_mut().for_each(|member| member.accepted = false);
        }
    }

    /// The publication that waited for the tick just applied.
    pub(in crate::lane) fn take_early(&mut self, from: NodeId) -> Option<ClosedPublication> {
        let set = self.peers.get_mut(&from)?;
        let sequence = set.sequence;
        set.early.take_if(|early| early.sequence <= sequence)
    }

    /// Whom a publication closes. One that names a tick still to come is kept for it.
    pub(in crate::lane) fn published(
        &mut self,
        from: NodeId,
        publication: &ClosedPublication,
    ) -> Option<Told> {
        let set = self.peers.get_mut(&from).filter(|set| set.stream == publication.stream)?;
        // A set that has not come as far may still hold a member's earlier index.
        if set.sequence < publication.sequence {
            set.early = Some(publication.clone());
            return None;
        }
        set.open_left();
        let except: BTreeSet<ShardId> = publication.except.iter().copied().map(ShardId).collect();
        let stood = |shard: &&ShardId| set.members.contains_key(*shard) && !set.open.contains(*shard);
        let excepted: Vec<ShardId> = except.iter().filter(stood).copied().collect();
        let closes =
            |shard: &&ShardId| set.members[*shard].since <= publication.sequence && !except.contains(*shard);
        let open = set.open.iter().filter(closes);
        let open = open.map(|shard| (*shard, set.members[shard].promise, set.members[shard].accepted));
        let open = open.collect();
        for shard in &excepted {
            set.reopen(*shard);
        }
        Some(Told { standing: Rc::clone(&set.standing), excepted, open })
    }

    /// A tick of Raft has passed. Gives the members whose leader's node has just now been silent for `ticks_max` of them.
    pub(in crate::lane) fn count_silence(&mut self, ticks_max: u32) -> Vec<ShardId> {
        let mut silenced = Vec::new();
        for set in self.peers.values_mut() {
            set.silent_ticks = set.silent_ticks.saturating_add(1);
            if set.silent_ticks == ticks_max {
                silenced.extend(set.members.keys().copied());
            }
        }
        silenced
    }

    /// Whether the ticks of `node` have come within the last `ticks_max` of Raft's.
    pub(in crate::lane) fn hears(&self, node: NodeId, ticks_max: u32) -> bool {
        self.peers.get(&node).is_some_and(|set| set.silent_ticks < ticks_max)
    }

    /// An open member begins to stand.
    pub(in crate::lane) fn note_standing(&mut self, from: NodeId, shard: ShardId) {
        if let Some(set) = self.peers.get_mut(&from) {
            set.open.remove(&shard);
        }
    }
}

impl PeerSet {
    fn new(stream: u64) -> Self {
        Self {
            stream,
            sequence: 0,
            members: BTreeMap::new(),
            open: BTreeSet::new(),
            standing: Rc::default(),
            silent_ticks: 0,
            early: None,
        }
    }

    /// Those who left by themselves are open again.
    fn open_left(&mut self) {
        for shard in self.standing.take_left() {
            self.reopen(shard);
        }
    }

    fn reopen(&mut self, shard: ShardId) {
        if let Some(member) = self.members.get_mut(&shard) {
            member.accepted = false;
            self.open.insert(shard);
        }
    }
}

fn restart(tick: &ClosedTick) -> ClosedAck {
    ClosedAck { stream: tick.stream, sequence: 0, except: Vec::new(), restart: true }
}
