//! Stand-ins for what a client talks to: a cluster of nodes over real QUIC on the loopback, with one
//! shared model of shards behind them in place of replication. Tests only.
//!
//! The nodes answer as `wire::client` says, and assert what a client must keep to: hello first, bodies that match
//! their CRC and count, ids of its own.

mod cluster;
mod frames;
mod session;
mod shards;

pub(super) use cluster::Cluster;
pub(super) use frames::{frames_of, keyed_frames_of, mark_at, padded_frames_of};
pub(super) use shards::{Fault, topic_name};
