//! The floor: a bare log in three processes over QUIC, written and synced by a majority before an append is answered.
//!
//! No consensus, no clock, no index, no checksums: what this machine takes for the bytes alone. A reference to measure
//! beside in the same run, not a bound, for it merges less than it could. `processes` starts and ends the nodes, `node`
//! is one, `log` its file, `quorum` what a majority holds, `wire` the bytes between them, `client` the load's side.

mod client;
mod log;
mod node;
mod processes;
mod quorum;
mod wire;

pub(crate) use client::FloorClient;
pub(crate) use node::{NodeOptions, run_node};
pub(crate) use processes::Floor;
