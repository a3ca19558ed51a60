//! Who uses the cluster: producers, readers of one shard, of everything, by consistency level; a group and its coordinators.
//!
//! They know what a client library knows: nodes to ask, answers and silence. Invariants: a producer notes an append
//! before it sends it, and its outcome once; a reader's subscription is unbroken or gets a new number.

mod coordinator;
mod crowd;
mod fresh;
mod letters;
mod member;
mod merged;
mod producer;
mod reader;

pub(crate) use crowd::Crowd;
