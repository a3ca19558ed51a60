//! Client to node: consumer groups. One message joins, commits, yields, leaves and tells that a member lives.
//!
//! A node that does not know these requests answers `Invalid`.

/// What a member has to say; answered by `GroupStanding`. One with nothing in it but who speaks says that the member lives.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupBeatBody {
    #[prost(string, tag = "1")]
    pub group: String,
    /// Drawn by the member for this membership; not 0.
    #[prost(fixed64, tag = "2")]
    pub member: u64,
    /// The generation of the standing that `read` and `yields` speak of: they count for shards held since then. 0 joins.
    #[prost(uint64, tag = "3")]
    pub generation: u64,
    /// Joining: what is read, the same for all members.
    #[prost(string, repeated, tag = "4")]
    pub topics: Vec<String>,
    /// Joining: where shards are begun that the group has no position in.
    #[prost(fixed64, tag = "5")]
    pub from_ns: u64,
    /// Everything of the shards held was read up to here.
    #[prost(message, optional, tag = "6")]
    pub read: Option<ReadPlace>,
    /// Shards that are wanted elsewhere and no longer read.
    #[prost(uint64, repeated, tag = "7")]
    pub yields: Vec<u64>,
    /// Joining: the member is dead once it was not heard for so long. 500 to 60000.
    #[prost(uint32, tag = "8")]
    pub session_timeout_ms: u32,
    /// Joining: what people know the member by, 64 bytes at most.
    #[prost(string, tag = "9")]
    pub name: String,
    /// The member's last word.
    #[prost(bool, tag = "10")]
    pub leaves: bool,
}

/// A place in the order of everything: of the last record read.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ReadPlace {
    #[prost(fixed64, tag = "1")]
    pub timestamp_ns: u64,
    #[prost(uint64, tag = "2")]
    pub shard: u64,
}

/// What a member holds.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupStandingBody {
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    #[prost(message, repeated, tag = "2")]
    pub held: Vec<HeldShard>,
    /// How often the member has to be heard.
    #[prost(uint32, tag = "3")]
    pub beat_every_ms: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HeldShard {
    #[prost(string, tag = "1")]
    pub topic: String,
    #[prost(uint64, tag = "2")]
    pub shard: u64,
    /// The first timestamp that the group has not read.
    #[prost(fixed64, tag = "3")]
    pub next_ns: u64,
    /// Another member waits for it: commit and yield it.
    #[prost(bool, tag = "4")]
    pub is_wanted: bool,
}

/// Answered by `Groups`: one group in full, or many in short, without members and places.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DescribeGroupsBody {
    /// Empty for the groups of `shard`.
    #[prost(string, tag = "1")]
    pub group: String,
    /// A shard of the topic of groups.
    #[prost(uint64, tag = "2")]
    pub shard: u64,
    /// The groups behind this name, in their order: some of them. There are no more when none comes.
    #[prost(string, tag = "3")]
    pub after: String,
}

/// Moves a group without members: all its shards are read from a time on. Answered by `Groups`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ResetGroupBody {
    #[prost(string, tag = "1")]
    pub group: String,
    #[prost(fixed64, tag = "2")]
    pub to_ns: u64,
}

/// Forgets a group without members. Answered by `Groups`, empty.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeleteGroupBody {
    #[prost(string, tag = "1")]
    pub group: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupsBody {
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<GroupBody>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupBody {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    #[prost(string, repeated, tag = "3")]
    pub topics: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub members: Vec<GroupMemberBody>,
    #[prost(message, repeated, tag = "5")]
    pub places: Vec<GroupPlaceBody>,
    #[prost(uint32, tag = "6")]
    pub shard_count: u32,
    #[prost(uint32, tag = "7")]
    pub member_count: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupMemberBody {
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    #[prost(string, tag = "2")]
    pub name: String,
}

/// Where a group stands in a shard.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupPlaceBody {
    #[prost(string, tag = "1")]
    pub topic: String,
    #[prost(uint64, tag = "2")]
    pub shard: u64,
    /// 0 if nobody reads it.
    #[prost(fixed64, tag = "3")]
    pub owner: u64,
    /// Who is to have it next; 0 for nobody else.
    #[prost(fixed64, tag = "4")]
    pub wanted_by: u64,
    /// The first timestamp that was not read.
    #[prost(fixed64, tag = "5")]
    pub next_ns: u64,
}
