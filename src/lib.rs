//! Timberline: a sharded, replicated, time-ordered event log.
//!
//! The layers in reading order; docs/ARCHITECTURE.md has the table of who may import whom.

pub mod simulation;
pub mod types;

#[cfg(feature = "storage")]
pub mod disk;

#[cfg(any(feature = "client", feature = "lane"))]
pub mod clock;
pub mod codec;
#[cfg(feature = "lane")]
pub mod consensus;
pub mod merge;
#[cfg(feature = "client")]
pub mod routing;
#[cfg(feature = "cli")]
pub mod settings;

#[cfg(feature = "storage")]
pub mod segment;
#[cfg(feature = "lane")]
pub mod shard;
#[cfg(any(feature = "client", feature = "lane"))]
pub mod wire;

#[cfg(feature = "storage")]
pub mod log;
#[cfg(feature = "client")]
pub mod transport;

#[cfg(feature = "lane")]
pub mod lane;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "node")]
pub mod node;

#[cfg(feature = "cli")]
pub mod cli;
