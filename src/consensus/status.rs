//! Where a group stands, for its owner to read.

use raft::StateRole;

use super::Group;
use super::convert::{membership_of, replica_of};
use super::reader::LogReader;
use crate::types::{Index, Membership, ReplicaId, Term};

/// What a replica does in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Follower,
    /// Asks whether an election could be won, without disturbing a living leader.
    PreCandidate,
    Candidate,
    Leader,
}

/// One replica's view of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub role: Role,
    pub term: Term,
    pub leader: Option<ReplicaId>,
    /// The log's last index, including entries not yet taken for writing.
    pub last: Index,
    /// What a quorum holds durably, as far as known here. A leader may count followers alone, before its own
    /// sync.
    pub committed: Index,
    /// How far this replica's own log is known to be durable.
    pub persisted: Index,
    /// Whom a leader is handing over to.
    pub transferring: Option<ReplicaId>,
    pub membership: Membership,
}

fn role_of(state: StateRole) -> Role {
    match state {
        StateRole::Follower => Role::Follower,
        StateRole::PreCandidate => Role::PreCandidate,
        StateRole::Candidate => Role::Candidate,
        StateRole::Leader => Role::Leader,
    }
}

impl<L: LogReader> Group<L> {
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        Status {
            role: self.role(),
            term: self.term(),
            leader: self.leader(),
            last: self.last(),
            committed: self.committed(),
            persisted: Index(raft.raft_log.persisted),
            transferring: raft.lead_transferee.and_then(replica_of),
            membership: membership_of(&raft.prs().conf().to_conf_state()),
        }
    }

    // Parts of `status` for those who ask often: these allocate nothing.

    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    pub fn role(&self) -> Role {
        role_of(self.raw.raft.state)
    }

    pub fn term(&self) -> Term {
        Term(self.raw.raft.term)
    }

    pub fn leader(&self) -> Option<ReplicaId> {
        replica_of(self.raw.raft.leader_id)
    }

    pub fn last(&self) -> Index {
        Index(self.raw.raft.raft_log.last_index())
    }

    pub fn committed(&self) -> Index {
        Index(self.raw.raft.raft_log.committed)
    }

    /// How far the leader knows `peer`'s log to match its own; `None` unless this replica leads and `peer` belongs
    /// to the group.
    pub fn peer_matched(&self, peer: ReplicaId) -> Option<Index> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return None;
        }
        raft.prs().get(peer.0).map(|progress| Index(progress.matched))
    }
}
