//! The records of the system topic: each is the value of one record.
//!
//! They name everything they change, placements included: folding one needs no decision. Fields are only
//! ever added.

use bytes::Bytes;
use prost::Message;

/// One change.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SystemRecord {
    #[prost(oneof = "SystemChange", tags = "1, 2, 3")]
    pub change: Option<SystemChange>,
}

#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum SystemChange {
    #[prost(message, tag = "1")]
    CreateTopic(CreateTopic),
    #[prost(message, tag = "2")]
    DeleteTopic(DeleteTopic),
    #[prost(message, tag = "3")]
    RegisterNode(RegisterNode),
}

/// A topic with all of its shards, in key order.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateTopic {
    #[prost(uint64, tag = "1")]
    pub topic: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(bool, tag = "3")]
    pub range_partitioned: bool,
    /// 0 disk, 1 memory.
    #[prost(uint32, tag = "4")]
    pub durability: u32,
    #[prost(message, repeated, tag = "5")]
    pub shards: Vec<CreateShard>,
    /// Records may go once they are older; 0 keeps them.
    #[prost(uint64, tag = "6")]
    pub retention_ns: u64,
    /// A shard's oldest records may go while the rest holds as much; 0 keeps them.
    #[prost(uint64, tag = "7")]
    pub retention_bytes: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateShard {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(fixed64, tag = "2")]
    pub hash_start: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub key_start: Bytes,
    /// The preferred leader first.
    #[prost(message, repeated, tag = "4")]
    pub replicas: Vec<PlaceReplica>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PlaceReplica {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(uint64, tag = "2")]
    pub replica: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeleteTopic {
    #[prost(uint64, tag = "1")]
    pub topic: u64,
}

/// A node and where it listens; a later record for the same node moves it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RegisterNode {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(string, tag = "2")]
    pub address: String,
}

impl SystemRecord {
    pub fn new(change: SystemChange) -> Self {
        Self { change: Some(change) }
    }

    /// A record's value as a change; `None` if it is none.
    pub fn decoded(value: &[u8]) -> Option<Self> {
        Self::decode(value).ok()
    }

    /// The record's value.
    pub fn encoded(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}
