//! When a group needs no ticks for a while, and what takes their place meanwhile.
//!
//! A group to which nothing happens ticks only to say that nothing happens. Whoever hears of its leader in another way may leave
//! that out ("hibernate regions" of `TiKV`, "quiescence" of `CockroachDB`): nothing here decides when. Invariant: what is said here
//! of a leader is only what its own heartbeat would say.

use raft::StateRole;

use super::Group;
use super::reader::LogReader;
use crate::types::{ReplicaId, Term};

impl<L: LogReader> Group<L> {
    /// Whether ticks have nothing to bring about: a leader has told all others all that it has and how far it is committed, those
    /// aside that are `away`; a follower knows its leader. Nobody else rests.
    pub fn is_at_rest(&self, away: impl Fn(ReplicaId) -> bool) -> bool {
        let raft = &self.raw.raft;
        match raft.state {
            StateRole::Follower => raft.leader_id != raft::INVALID_ID,
            StateRole::Leader => {
                let last = raft.raft_log.last_index();
                let told = raft.prs().iter().all(|(id, progress)| {
                    let knows_all = progress.matched == last && progress.committed_index == last;
                    knows_all || *id == raft.id || away(ReplicaId(*id))
                });
                told && raft.raft_log.committed == last && raft.lead_transferee.is_none()
            }
            StateRole::PreCandidate | StateRole::Candidate => false,
        }
    }

    /// `leader` leads in `term`, now: as if by an empty heartbeat, but only for a follower that heard of this leader from itself.
    /// Whether it is one: nothing else tells a replica that starts what it must be told.
    pub fn hear_leader(&mut self, leader: ReplicaId, term: Term) -> bool {
        let raft = &mut self.raw.raft;
        let follows = raft.state == StateRole::Follower && raft.leader_id == leader.0 && raft.term == term.0;
        if follows {
            raft.election_elapsed = 0;
        }
        follows
    }

    /// So many ticks have passed since the leader was last heard of.
    pub fn miss_leader(&mut self, ticks: u32) {
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Follower {
            raft.election_elapsed = raft.election_elapsed.max(ticks as usize);
        }
    }
}
