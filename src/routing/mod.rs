//! Where things belong: a key's shard, and a shard's nodes. Pure functions that client and node share.
//!
//! Knows nothing of connections, leaders in office or of what a topic is called. Invariants: a topic's
//! shards split the whole key space without gap or overlap, so every key has exactly one shard; placement
//! depends on its arguments alone, so all nodes place a shard alike.

mod key_range;
mod partition;
mod placement;

pub use key_range::{EmptyKeyRange, KeyRange};
pub use partition::{Error, Partition, Router, hash_key, hash_start};
pub use placement::{PlacementError, place};
