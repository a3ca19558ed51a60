//! Why a shard cannot be opened or made on this node.

use crate::types::{NodeId, ShardId};
use crate::{consensus, log, shard};

/// A shard's replica could not be made, opened or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("shard {shard} has no replica on node {node}")]
    NotPlaced { shard: ShardId, node: NodeId },
    #[error("shard {shard} is open already")]
    Open { shard: ShardId },
    #[error("shard {shard}: {source}")]
    Log { shard: ShardId, source: log::Error },
    #[error("shard {shard}: {source}")]
    Shard { shard: ShardId, source: shard::Error },
    #[error("shard {shard}: {source}")]
    Disk { shard: ShardId, source: crate::disk::Error },
    #[error("shard {shard}: {source}")]
    Read { shard: ShardId, source: consensus::ReadError },
}
