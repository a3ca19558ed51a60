//! Answers to questions about the cluster, typed.

use tokio::time::Instant;

use crate::types::{NodeId, Offset, ShardId, Term, Timestamp};
use crate::wire;

use super::Error;

/// The cluster as one of its nodes sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    pub cluster: String,
    /// The node that answered.
    pub seen_by: NodeId,
    pub nodes: Vec<NodeInfo>,
}

/// One node, as another sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    pub node: NodeId,
    pub address: String,
    pub connected: bool,
    pub shards_led: u32,
    pub replicas: u32,
}

/// A node's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockInfo {
    pub node: NodeId,
    /// `trusted`, `suspended` or `fenced`.
    pub state: String,
    pub source: String,
    pub uncertainty_ns: u64,
    pub age_ns: u64,
    pub drift_ppb: u64,
    pub earliest: Timestamp,
    pub latest: Timestamp,
    pub peers: Vec<ClockPeerInfo>,
    /// One sentence with the evidence, when fenced.
    pub reason: String,
    /// A leap second at the end of the day: `none`, `insert`, `delete` or `unknown`.
    pub leap: String,
    pub refused: Vec<ClockRefusalInfo>,
    /// A clock less certain than this is fenced.
    pub eps_max_ns: u64,
    /// The source does not know the time: the interval is none that it stands for.
    pub is_unknown: bool,
    /// The jump noticed last, in words, and when.
    pub last_step: Option<(String, Timestamp)>,
    /// Clocks, its own perhaps, that it knows to be wrong, or to have been a while ago.
    pub doubts: Vec<ClockDoubtInfo>,
}

/// A clock that a node knows to be wrong, and which of its timestamps are in doubt for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockDoubtInfo {
    pub node: NodeId,
    pub from: Timestamp,
    pub until: Timestamp,
    /// How far it missed the majority at most; 0 without one.
    pub off_by_ns: u64,
    /// `outvoted` or `no_majority`.
    pub reason: String,
    /// The reason in words.
    pub why: String,
    /// The clock does not agree again yet.
    pub is_open: bool,
}

/// What one node said of its clock. It looked at it between the two moments.
#[derive(Clone, Debug)]
pub struct ClockAnswer {
    pub node: NodeId,
    pub asked: Instant,
    pub arrived: Instant,
    pub clock: Result<ClockInfo, Error>,
}

/// A source of time that a node does not use, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockRefusalInfo {
    pub source: String,
    pub reason: String,
}

/// What a node knows of a peer's clock against its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockPeerInfo {
    pub node: NodeId,
    pub offset_low_ns: i64,
    pub offset_high_ns: i64,
    pub rtt_ns: u64,
    pub verdict: String,
    /// Half the width of the interval that the peer stated last.
    pub uncertainty_ns: u64,
}

/// What one node said of its replicas of a topic.
#[derive(Clone, Debug)]
pub struct NodeShards {
    pub node: NodeId,
    pub shards: Result<Vec<ReplicaStatus>, Error>,
}

/// One replica's positions, each the first offset that is not yet there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    pub shard: ShardId,
    pub leader: Option<NodeId>,
    pub term: Term,
    pub appended: Offset,
    pub synced: Offset,
    pub committed: Offset,
    pub released: Offset,
    pub trimmed: Offset,
    pub closed: Timestamp,
    /// The disk has no room: appends are refused, reads go on.
    pub disk_full: bool,
    /// Why the replica does not work; `None` while it does.
    pub failure: Option<String>,
}

impl From<wire::ClusterBody> for ClusterInfo {
    fn from(body: wire::ClusterBody) -> Self {
        let node = |node: wire::NodeBody| NodeInfo {
            node: NodeId(node.node),
            address: node.address,
            connected: node.connected,
            shards_led: node.shards_led,
            replicas: node.replicas,
        };
        Self {
            cluster: body.cluster,
            seen_by: NodeId(body.node),
            nodes: body.nodes.into_iter().map(node).collect(),
        }
    }
}

impl From<wire::ClockBody> for ClockInfo {
    fn from(body: wire::ClockBody) -> Self {
        let peer = |peer: wire::ClockPeer| ClockPeerInfo {
            node: NodeId(peer.node),
            offset_low_ns: peer.offset_low_ns,
            offset_high_ns: peer.offset_high_ns,
            rtt_ns: peer.rtt_ns,
            verdict: peer.verdict,
            uncertainty_ns: peer.uncertainty_ns,
        };
        let refusal =
            |refusal: wire::ClockRefusal| ClockRefusalInfo { source: refusal.source, reason: refusal.reason };
        let doubt = |doubt: wire::ClockDoubt| ClockDoubtInfo {
            node: NodeId(doubt.node),
            from: Timestamp(doubt.from_timestamp_ns),
            until: Timestamp(doubt.until_timestamp_ns),
            off_by_ns: doubt.off_by_ns,
            reason: doubt.reason,
            why: doubt.why,
            is_open: doubt.is_open,
        };
        Self {
            node: NodeId(body.node),
            state: body.state,
            source: body.source,
            uncertainty_ns: body.uncertainty_ns,
            age_ns: body.age_ns,
            drift_ppb: body.drift_ppb,
            earliest: Timestamp(body.earliest_ns),
            latest: Timestamp(body.latest_ns),
            peers: body.peers.into_iter().map(peer).collect(),
            reason: body.reason,
            leap: body.leap,
            refused: body.refused.into_iter().map(refusal).collect(),
            eps_max_ns: body.eps_max_ns,
            is_unknown: body.is_unknown,
            doubts: body.doubts.into_iter().map(doubt).collect(),
            last_step: (!body.last_step.is_empty()).then_some((body.last_step, Timestamp(body.last_step_ns))),
        }
    }
}

impl From<wire::ShardStatusBody> for ReplicaStatus {
    fn from(body: wire::ShardStatusBody) -> Self {
        Self {
            shard: ShardId(body.shard),
            leader: (body.leader != 0).then_some(NodeId(body.leader)),
            term: Term(body.term),
            appended: Offset(body.appended),
            synced: Offset(body.synced),
            committed: Offset(body.committed),
            released: Offset(body.released),
            trimmed: Offset(body.trimmed),
            closed: Timestamp(body.closed_ns),
            disk_full: body.disk_full,
            failure: (!body.failure.is_empty()).then_some(body.failure),
        }
    }
}
