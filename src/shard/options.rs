//! What a shard is told when it is opened.

use crate::types::{ClusterId, Durability, ReplicaId, ShardId};

/// Settings of one replica of one shard. Ticks are the caller's calls of `Shard::tick`.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    pub cluster: ClusterId,
    pub shard: ShardId,
    pub replica: ReplicaId,
    pub durability: Durability,
    /// The widest uncertainty a clock may have and be used; one setting of the whole cluster, the largest
    /// ever in force.
    pub eps_max_ns: u64,
    /// How far stamps may run ahead of the clock beyond `6 eps_max`, because a leader assigned more than one
    /// timestamp per nanosecond of its own time.
    pub backlog_allowance_ns: u64,
    pub election_ticks_min: u32,
    pub election_ticks_max: u32,
    pub heartbeat_ticks: u32,
    /// The most replication messages to one peer that may be unanswered.
    pub in_flight_messages_max: usize,
    /// The most entry bytes one replication message carries.
    pub message_bytes_max: u64,
    /// The most appends that may be unanswered.
    pub unanswered_max: usize,
    /// Seeds the election timeouts.
    pub seed: u64,
    /// This replica ran before this start, so it may have made promises that it no longer knows (C7).
    pub forgotten: bool,
}
