//! Who uses the cluster: producers, readers of one shard, readers of everything, readers by consistency level.
//!
//! They know what a client library knows: nodes to ask, answers and silence. Invariants: a producer notes an append
//! before it sends it, and its outcome once; a reader's subscription is unbroken or gets a new number.

mod crowd;
mod fresh;
mod merged;
mod producer;
mod reader;

pub(crate) use crowd::Crowd;
