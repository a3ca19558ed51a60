//! What stands in Timberline's files, without a node: lists, dumps, verifies, compares, repairs, measures.
//!
//! Reading order: `scan` (walks any bytes as a segment), `folder` (a shard's files and the part each plays), `finding`
//! (what can be wrong), `verify`, `mending` (repair), `history` (order), `measure`, then one file a command in
//! `commands`. Knows nothing of the network, of raft or of a running node. Invariants: no input is ever written to; no
//! input, however hostile, makes it panic or allocate what no proved length asks for.

pub mod finding;
pub mod folder;
pub mod mending;
pub mod scan;
pub mod verify;

mod commands;
mod failure;
mod frames;
mod history;
mod marks;
mod measure;
mod moment;
mod naming;
mod output;
mod progress;

pub use commands::run;
pub use failure::Failure;
