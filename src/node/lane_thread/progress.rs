//! What the lane's thread tells the rest of the node of the system topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::metadata::View;
use crate::types::{Offset, ShardId};

/// How far the system topic is folded here, and how far its consequences are done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) view: Arc<View>,
    /// What every system record below this asks of this node is done: its shards are made and opened.
    pub(crate) settled: Offset,
    /// Shards that should be on this node and that it did not open, each with the reason.
    pub(crate) lost: Arc<BTreeMap<ShardId, String>>,
}
