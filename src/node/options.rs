//! What a node is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::{ClockOptions, SourceOptions};
use crate::transport::PacketTime;
use crate::types::{ClusterId, NodeId};

/// Everything a node needs to know before it starts. The ticks and the clock's `eps_max` must be equal on
/// all nodes of a cluster.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    pub node: NodeId,
    pub cluster: ClusterId,
    /// Where to listen (UDP), for nodes and clients alike. Port 0 lets the system choose.
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub certs_dir: PathBuf,
    /// All initial nodes with their `host:port`, this one included.
    pub peers: Vec<(NodeId, String)>,
    /// Where to serve `/metrics` and `/ready` over HTTP; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    pub clock: ClockOptions,
    /// Where this machine's time and its error come from.
    pub clock_source: SourceOptions,
    /// Faults to inject into the clock, for tests; `{node}` in the path becomes the node's id.
    pub clock_inject_file: Option<PathBuf>,
    pub replication: ReplicationOptions,
    pub first_segment_bytes: u64,
    pub segment_bytes_max: u64,
    pub sync_threads: usize,
    /// How fast sealed segments are read again to find damage; 0: never.
    pub scrub_bytes_per_second: u64,
    pub limits: Limits,
    /// How long `shutdown` may take to hand leaderships over.
    pub drain_timeout: Duration,
}

/// How often replicas speak and how soon they stop waiting.
#[derive(Clone, Debug)]
pub struct ReplicationOptions {
    pub raft_tick: Duration,
    pub heartbeat_ticks: u32,
    pub election_ticks_min: u32,
    pub election_ticks_max: u32,
    pub closed_tick: Duration,
    /// The last part of each of a lane's waits that is spun rather than slept, at most [`SPIN_MAX`](super::SPIN_MAX).
    pub wait_spin: Duration,
    /// Nothing is exposed here before a majority of the nodes' clocks have passed it, not only this one's.
    pub quorum_wait: bool,
}

impl Default for ReplicationOptions {
    fn default() -> Self {
        Self {
            raft_tick: Duration::from_millis(30),
            heartbeat_ticks: 2,
            election_ticks_min: 10,
            election_ticks_max: 20,
            closed_tick: Duration::from_millis(20),
            wait_spin: Duration::ZERO,
            quorum_wait: false,
        }
    }
}

/// Bounds of what a node takes on.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Client connections at one time.
    pub connections: usize,
    pub streams_per_connection: u32,
    /// Requests a stream may have unanswered; one more is answered `Busy`.
    pub requests_per_stream: usize,
    /// Reads that a connection may have held over all its streams: subscriptions, and questions that wait for a shard to be
    /// closed; one more is answered `Busy`.
    pub reads_per_connection: usize,
    /// What a packet may take from its first byte to its last.
    pub packet_time: PacketTime,
    /// Appends a shard may have unanswered.
    pub unanswered_per_shard: usize,
    /// Bytes of batches and messages that may wait for the lane.
    pub queue_bytes: usize,
    /// Bytes of frames in one delivery of a subscription.
    pub subscription_bytes: usize,
    /// Replicas this cluster places on one node.
    pub shards: usize,
    /// What each shard of the topic of groups keeps, the same on all nodes: every group is written whole within a quarter of it.
    pub groups_kept_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            streams_per_connection: 256,
            requests_per_stream: 256,
            reads_per_connection: 1024,
            packet_time: PacketTime::default(),
            unanswered_per_shard: 1024,
            queue_bytes: 64 << 20,
            subscription_bytes: 1 << 20,
            shards: 5000,
            groups_kept_bytes: 64 << 20,
        }
    }
}

/// The largest node id: higher numbers name replicas.
pub(crate) const NODE_ID_MAX: u64 = super::metadata::FIRST_REPLICA - 1;

impl NodeOptions {
    /// The inject file of this node.
    pub(crate) fn inject_file(&self) -> Option<PathBuf> {
        let path = self.clock_inject_file.as_ref()?;
        Some(PathBuf::from(path.to_string_lossy().replace("{node}", &self.node.to_string())))
    }

    /// The initial nodes, rising. `Err` says what is wrong with the options.
    pub(crate) fn check(&self) -> Result<Vec<NodeId>, String> {
        let mut nodes: Vec<NodeId> = self.peers.iter().map(|(node, _)| *node).collect();
        nodes.sort_unstable();
        if nodes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("cluster.initial_nodes names a node twice".to_owned());
        }
        if nodes.iter().any(|node| node.0 == 0 || node.0 > NODE_ID_MAX) {
            return Err(format!("node ids go from 1 to {NODE_ID_MAX}"));
        }
        if !nodes.contains(&self.node) {
            return Err(format!(
                "node {} is not among cluster.initial_nodes; joining a running cluster is not built yet",
                self.node
            ));
        }
        let ticks = &self.replication;
        if ticks.election_ticks_min >= ticks.election_ticks_max
            || ticks.heartbeat_ticks >= ticks.election_ticks_min
        {
            return Err("election timeouts need a range, above the heartbeat".to_owned());
        }
        if self.sync_threads == 0 {
            return Err("storage.sync_threads is at least 1".to_owned());
        }
        Ok(nodes)
    }
}
