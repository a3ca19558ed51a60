//! The records of the topic of groups: each is the value of one record. What they do is `group`'s.
//!
//! Fields are only ever added.

use bytes::Bytes;
use prost::Message;

/// One change of one group.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupLogRecord {
    #[prost(string, tag = "1")]
    pub group: String,
    #[prost(oneof = "GroupChange", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub change: Option<GroupChange>,
}

#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum GroupChange {
    #[prost(message, tag = "2")]
    Joined(GroupJoined),
    /// The member.
    #[prost(fixed64, tag = "3")]
    Left(u64),
    #[prost(message, tag = "4")]
    Committed(GroupCommitted),
    #[prost(message, tag = "5")]
    Taken(GroupTaken),
    /// Nanoseconds.
    #[prost(fixed64, tag = "6")]
    Reset(u64),
    #[prost(bool, tag = "7")]
    Deleted(bool),
    #[prost(message, tag = "8")]
    Whole(GroupWhole),
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupJoined {
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(uint32, tag = "3")]
    pub session_timeout_ms: u32,
    #[prost(message, repeated, tag = "4")]
    pub topics: Vec<GroupTopic>,
    #[prost(fixed64, tag = "5")]
    pub from_ns: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupTopic {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint64, repeated, tag = "2")]
    pub shards: Vec<u64>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupCommitted {
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    #[prost(message, optional, tag = "3")]
    pub read: Option<super::ReadPlace>,
    #[prost(uint64, repeated, tag = "4")]
    pub yields: Vec<u64>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupTaken {
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    #[prost(uint64, tag = "2")]
    pub generation: u64,
}

/// A group as it was before the record at `at`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupWhole {
    #[prost(uint64, tag = "1")]
    pub at: u64,
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    #[prost(message, repeated, tag = "3")]
    pub topics: Vec<GroupTopic>,
    #[prost(message, repeated, tag = "4")]
    pub members: Vec<WholeMember>,
    #[prost(message, repeated, tag = "5")]
    pub places: Vec<WholePlace>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WholeMember {
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(uint32, tag = "3")]
    pub session_timeout_ms: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WholePlace {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    /// 0 for nobody.
    #[prost(fixed64, tag = "2")]
    pub owner: u64,
    #[prost(uint64, tag = "3")]
    pub since: u64,
    /// 0 for nobody.
    #[prost(fixed64, tag = "4")]
    pub wanted_by: u64,
    #[prost(uint64, tag = "5")]
    pub wanted_since: u64,
    #[prost(fixed64, tag = "6")]
    pub next_ns: u64,
}

impl GroupLogRecord {
    /// A record's value as a change; `None` if it is none.
    pub fn decoded(value: &[u8]) -> Option<Self> {
        Self::decode(value).ok()
    }

    /// The record's value.
    pub fn encoded(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}
