//! What applications use: producers, consumers, and questions about topics and nodes.
//!
//! Knows nothing of Raft, of files or of how a node decides: it speaks `wire::client` over `transport`
//! and believes nothing it can prove itself. Invariants: a batch is reported `NotApplied` only when it
//! certainly was not; a consumer's records come without gap or repeat across failovers; every buffer is
//! bounded, and a full one makes the producer wait or pauses a stream.

mod backoff;
mod beside;
pub mod blocking;
mod connections;
mod consumer;
mod core;
mod error;
mod fates;
mod fresh;
#[cfg(test)]
mod freshness_tests;
mod group;
mod handle;
mod producer;
mod pulse;
mod rows;
mod session;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod topic;

pub use crate::clock::Level;
pub use crate::routing::{EmptyKeyRange, KeyRange};
pub use consumer::{
    Consumed, Consumer, ConsumerOptions, Cursor, InvalidCursor, Item, Marked, Marks, OnTrimmed, Order,
    Skipped, Start, Until,
};
pub use error::{Error, Kind, Outcome, Refusal};
pub use fresh::{Cut, Now};
pub use group::{
    GroupConsumer, GroupInfo, GroupMember, GroupOptions, GroupPlace, GroupStart, GroupSummary, Lag,
};
pub use handle::{Client, ClientOptions, CreateTopic, Partitioning};
pub use producer::{
    AppendFailure, BatchReport, Delivered, Delivery, OnReport, OnTerms, Producer, ProducerOptions,
};
pub use rows::{
    ClockAnswer, ClockDoubtInfo, ClockInfo, ClockPeerInfo, ClockRefusalInfo, ClusterInfo, NodeInfo,
    NodeShards, ReplicaStatus,
};
pub use topic::{ReplicaInfo, ShardInfo, Topic};
