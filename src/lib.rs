//! Timberline: a sharded, replicated, time-ordered event log.
//!
//! The layers in reading order; docs/ARCHITECTURE.md has the table of who may import whom.

pub mod types;

#[cfg(feature = "storage")]
pub mod disk;

#[cfg(feature = "client")]
pub mod clock;
pub mod codec;
#[cfg(feature = "node")]
pub mod consensus;
#[cfg(feature = "client")]
pub mod merge;
#[cfg(feature = "client")]
pub mod routing;
#[cfg(feature = "cli")]
pub mod settings;

#[cfg(feature = "storage")]
pub mod segment;
#[cfg(feature = "node")]
pub mod shard;
#[cfg(feature = "client")]
pub mod wire;

#[cfg(feature = "storage")]
pub mod log;
#[cfg(feature = "client")]
pub mod transport;

#[cfg(feature = "node")]
pub mod lane;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "node")]
pub mod node;

#[cfg(feature = "cli")]
pub mod cli;
