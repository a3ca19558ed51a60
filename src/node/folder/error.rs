//! Why a data folder cannot be used.

use crate::disk;
use crate::types::{ClusterId, NodeId};

/// A data folder was refused. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the data folder belongs to node {found_node} of cluster {found_cluster}, not to node {node} of cluster {cluster}: \
         correct node.data_dir, node.id or cluster.id"
    )]
    Foreign { found_cluster: String, found_node: u64, cluster: ClusterId, node: NodeId },
    #[error(
        "the data folder holds {entry} but no node file, so it is not this node's: choose an empty folder for \
         node.data_dir, or restore the file `node`"
    )]
    NotEmpty { entry: String },
    #[error(
        "the data folder was made for the initial nodes {found}, and cluster.initial_nodes names {wanted}: these \
         never change once a cluster runs (addresses may)"
    )]
    OtherNodes { found: String, wanted: String },
    #[error(
        "{file} in the data folder is damaged at line {line} ({problem}): restore it from a backup; the node does \
         not start, because it could forget what it promised"
    )]
    Damaged { file: &'static str, line: usize, problem: &'static str },
    #[error(transparent)]
    Disk(#[from] disk::Error),
}
