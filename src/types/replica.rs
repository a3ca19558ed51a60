//! Who replicates a shard, and what each replica must never forget.

use super::{Index, ReplicaId, Term};

/// The replicas of a shard. `outgoing` is non-empty only inside a joint configuration; a replica in `learners` and
/// `outgoing` votes until the configuration is left, and is a learner from there on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    pub voters: Vec<ReplicaId>,
    pub learners: Vec<ReplicaId>,
    pub outgoing: Vec<ReplicaId>,
}

/// What a replica must remember across restarts before it answers: its term, whom it voted for in it,
/// and how far it knew the log committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    pub term: Term,
    pub voted_for: Option<ReplicaId>,
    pub committed: Index,
}
