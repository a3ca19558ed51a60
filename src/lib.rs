//! Timberline: a sharded, replicated, time-ordered event log.
//!
//! The layers in reading order; docs/ARCHITECTURE.md has the table of who may import whom. What is denied to the cores
//! (OS clocks, chance without a seed, threads, file IO) stands in clippy.toml.

#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod simulation;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod types;

#[cfg(feature = "storage")]
pub mod disk;

#[cfg(any(feature = "client", feature = "lane"))]
pub mod timex;

#[cfg(any(feature = "client", feature = "lane"))]
pub mod clock;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod codec;
#[cfg(feature = "lane")]
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod consensus;
#[cfg(feature = "lane")]
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod group;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod merge;
#[cfg(feature = "client")]
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod routing;
#[cfg(feature = "cli")]
pub mod settings;

#[cfg(feature = "storage")]
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod segment;
#[cfg(feature = "lane")]
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod shard;
#[cfg(any(feature = "client", feature = "lane"))]
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod wire;

#[cfg(feature = "storage")]
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod log;
#[cfg(feature = "client")]
pub mod transport;

#[cfg(feature = "lane")]
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod lane;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "node")]
pub mod node;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "testing")]
pub mod testing;
