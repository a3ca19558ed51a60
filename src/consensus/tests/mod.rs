//! The laws of a group, told by several of them in one thread over an in-memory log and a message router.

mod chaos;
mod elections;
mod manifests;
mod membership;
mod network;
mod nonsense;
mod persistence;
mod refusals;
mod replication;
