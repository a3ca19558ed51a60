//! A cluster for the tests of applications: real nodes in this process, with nothing to set up.
//!
//! No mock: the code that runs is the node's, over QUIC on the loopback, with files in a temporary folder. Knows nothing of
//! what an application tests.

mod cluster;
mod error;
mod folder;

pub use cluster::{Cluster, ClusterOptions};
pub use error::Error;
