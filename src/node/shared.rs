//! What all parts of a running node share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::groups::Coordinators;
use super::lane_thread::LaneHandle;
use super::metadata::View;
use super::metrics::Metrics;
use super::options::Limits;
use crate::clock::Clock;
use crate::transport::Mesh;
use crate::types::{ClusterId, NodeId, ReplicaId, ShardId};

/// A running node, as its sessions and tasks see it.
pub(crate) struct NodeShared {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// The initial nodes and where they listen, this one included.
    pub(crate) addresses: BTreeMap<NodeId, String>,
    pub(crate) lane: LaneHandle,
    pub(crate) clock: Arc<Clock>,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) closed_tick: Duration,
    /// The node hands its leaderships over and takes no more appends.
    pub(crate) draining: AtomicBool,
    /// Held while this node changes the system topic: its plans do not cross each other.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) groups: Coordinators,
}

impl NodeShared {
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.lane.progress().borrow().view)
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.addresses.keys().copied().collect()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The node that holds a replica of a shard.
    pub(crate) fn node_of(&self, shard: ShardId, replica: ReplicaId) -> Option<NodeId> {
        if shard == ShardId::SYSTEM {
            return Some(NodeId(replica.0));
        }
        let view = self.view();
        let (_, shard) = view.shard(shard)?;
        shard.replicas.iter().find(|placed| placed.replica == replica).map(|placed| placed.node)
    }
}
