//! Why a node did not start.

use std::net::SocketAddr;

use super::folder;
use crate::types::NodeId;
use crate::{disk, transport};

/// A node could not start. Nothing of it runs on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the settings do not fit together: {0}")]
    Options(String),
    #[error("node {node}: {source}")]
    Folder { node: NodeId, source: folder::Error },
    #[error("node {node}: {source}")]
    Disk { node: NodeId, source: disk::Error },
    #[error("node {node}: {source}")]
    Transport { node: NodeId, source: transport::Error },
    #[error("cannot serve metrics on {address} (TCP): {source}; choose another metrics.listen")]
    MetricsListen { address: SocketAddr, source: std::io::Error },
    #[error("node {node} cannot open its replica of the system topic: {reason}")]
    SystemShard { node: NodeId, reason: String },
    #[error("node {node} cannot start a thread: {source}")]
    Thread { node: NodeId, source: std::io::Error },
}
