//! Why a cluster for tests did not start.

use std::io;
use std::path::PathBuf;

use crate::{node, transport};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot prepare {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("no free port on the loopback: {source}")]
    Port { source: io::Error },
    #[error("cannot make certificates: {0}")]
    Certificates(#[from] transport::Error),
    #[error(transparent)]
    Node(#[from] node::Error),
    #[error("the nodes do not serve after {waited_s} s; RUST_LOG=warn with a subscriber tells why")]
    NotReady { waited_s: u64 },
    #[error("there is no node {node}: this cluster has {nodes}, numbered from 1")]
    NoSuchNode { node: crate::types::NodeId, nodes: usize },
    #[error("{nodes} nodes: name at least one, and no more than nine")]
    Nodes { nodes: u64 },
}
