//! A replica that rests is not ticked, until something happens to it.
//!
//! Thousands of shards that nobody appends to would spend their time on ticks and heartbeats. Their leader's node closes their
//! past at every tick of its own anyway, and a replica that stands (`standing`) is part of that: it is told so often enough that
//! its leader lives, and its leader that a quorum does. Knows nothing of nodes and of how they are heard: the caller says when a
//! replica may rest, and rouses it when that is over. Invariants: only a replica that stands, owes nothing and is neither fenced, full nor retired rests;
//! whatever is said to it or asked of it rouses it.

use super::replica::Shard;
use crate::consensus::{Message, MessageKind};
use crate::types::{ReplicaId, Term};

/// Ticks since a replica was last roused, or that it needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Awake { ticks: u32 },
    Resting,
}

impl Default for Rest {
    fn default() -> Self {
        Self::Awake { ticks: 0 }
    }
}

impl Rest {
    /// Something happened.
    pub(super) fn end(&mut self) {
        if *self == Self::Resting {
            *self = Self::default();
        }
    }

    /// It was ticked.
    pub(super) fn tick(&mut self) {
        self.end();
        if let Self::Awake { ticks } = self {
            *ticks = ticks.saturating_add(1);
        }
    }

    /// Whatever it said before, it has to say anew.
    fn begin_anew(&mut self) {
        *self = Self::default();
    }

    /// A message came. The answer to a heartbeat changes nothing that a resting leader counts on; what it does bring to light, a
    /// follower that lacks something, shows in what the leader then sends.
    pub(super) fn hear(&mut self, message: &Message) {
        if message.kind != MessageKind::HeartbeatAnswer {
            self.begin_anew();
        }
    }
}

impl Shard {
    /// Whether it needs no ticks.
    pub fn rests(&self) -> bool {
        self.rest == Rest::Resting
    }

    /// Lets it rest, if it has nothing to do. A leader waits for followers that it has not told all, but for those that are `away`;
    /// and one that was roused says first that it lives, for whoever roused it may need to hear so.
    pub fn rest(&mut self, away: impl Fn(ReplicaId) -> bool) {
        let said = match self.rest {
            Rest::Resting => return,
            Rest::Awake { ticks } => !self.is_leader() || ticks > self.options.heartbeat_ticks,
        };
        let owes_nothing = self.is_idle()
            && self.outstanding.is_empty()
            && self.orphans_for.is_none()
            && self.fence.is_none()
            && !self.retired
            && !self.full;
        if said && owes_nothing && self.stands() && self.group.is_at_rest(away) {
            self.rest = Rest::Resting;
        }
    }

    /// The node of its leader is heard. That tells one that stands as much as a promise of its own would.
    pub fn note_heard(&mut self) {
        if self.stands()
            && let Some(leader) = self.group.leader()
        {
            self.group.hear_leader(leader, self.term);
        }
    }

    /// The node of `leader` said that it leads in `term`. Whether this replica follows that leader, and has heard so from itself.
    pub fn hear_leader(&mut self, leader: ReplicaId, term: Term) -> bool {
        self.failure.is_none() && self.group.hear_leader(leader, term)
    }

    /// Its leader's node, or whom it leads, has to be thought of again: that node was last heard of `ticks` ago.
    pub fn rouse(&mut self, ticks: u32) {
        self.rest.begin_anew();
        self.group.miss_leader(ticks);
    }
}
