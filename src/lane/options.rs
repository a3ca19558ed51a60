//! What a lane is told when it starts, and what it is told of each shard.

use std::ops::Range;
use std::time::Duration;

use crate::clock::AgreementOptions;
use crate::log::LogOptions;
use crate::types::{ClusterId, Durability, Membership, NodeId, ReplicaId, Retention, ShardId, TopicId};

/// One lane's settings. The tick lengths and `eps_max_ns` must be equal on all nodes of a cluster.
#[derive(Clone, Debug)]
pub struct LaneOptions {
    pub node: NodeId,
    pub cluster: ClusterId,
    pub log: LogOptions,
    /// Length of one Raft tick.
    pub raft_tick: Duration,
    /// Election timeouts are drawn from this range of ticks.
    pub election_ticks: Range<u32>,
    pub heartbeat_ticks: u32,
    /// How often the past of all led shards is closed.
    pub closed_tick: Duration,
    /// The widest clock uncertainty with which this cluster works.
    pub eps_max_ns: u64,
    /// How its clock is held against the other nodes'.
    pub agreement: AgreementOptions,
    /// Appends a shard may have unanswered before it answers `Busy`.
    pub unanswered_max: usize,
    pub scrub: ScrubOptions,
    /// Seeds everything random: election timeouts and stream numbers.
    pub seed: u64,
}

impl LaneOptions {
    /// Ticks of Raft without one that closes the past, after which a node counts as silent; well below every election timeout.
    /// `None` if the past is closed too rarely to tell.
    pub(super) fn silence_ticks(&self) -> Option<u32> {
        let ticks = self.election_ticks.start / 2;
        (3 * self.closed_tick <= ticks * self.raft_tick).then_some(ticks)
    }
}

/// How sealed segments are read again to find damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubOptions {
    /// 0: never.
    pub bytes_per_second: u64,
    /// Between two passes over everything.
    pub rest: Duration,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        Self { bytes_per_second: 16 << 20, rest: Duration::from_secs(60) }
    }
}

/// One shard of which this node holds a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSpec {
    pub shard: ShardId,
    pub topic: TopicId,
    pub durability: Durability,
    /// What its log keeps.
    pub retention: Retention,
    /// Its replicas at creation; the first is the preferred leader.
    pub replicas: Vec<Placement>,
    /// Hand out committed frames as they come, from the log's first on: for the system topic, which
    /// nodes fold before it is released.
    pub follow_committed: bool,
}

/// A replica and the node that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub replica: ReplicaId,
    pub node: NodeId,
}

impl ShardSpec {
    pub fn replica_on(&self, node: NodeId) -> Option<ReplicaId> {
        self.replicas.iter().find(|placed| placed.node == node).map(|placed| placed.replica)
    }

    pub fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        self.replicas.iter().find(|placed| placed.replica == replica).map(|placed| placed.node)
    }

    /// The membership with which the shard's log begins.
    pub fn genesis_membership(&self) -> Membership {
        let voters = self.replicas.iter().map(|placed| placed.replica).collect();
        Membership { voters, ..Membership::default() }
    }
}
