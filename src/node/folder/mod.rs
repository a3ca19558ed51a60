//! What a node's data folder remembers besides its shards: whose it is, whom it met, what it hosts.
//!
//! Knows nothing of what is in a shard. Small text files, each replaced whole, atomically and durably.
//! Invariants: a folder of another cluster or node is refused and left untouched; the boot counter rises
//! durably before the node speaks; a replica that was once opened here is never made again blank.

mod error;
mod identity;
mod peers;
mod registry;
#[cfg(test)]
mod tests;

pub use error::Error;
pub(crate) use identity::{NodeFolder, Owner};
pub(crate) use peers::RememberedPeers;
pub(crate) use registry::{Fate, Registry};
