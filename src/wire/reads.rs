//! Client to node: what reads by consistency level ask beside subscriptions. A node that does not know these requests answers
//! `Invalid`; one that knows them never does.

/// What time is it?
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NowRequestBody {
    /// Only a node answers whose clock a majority of the cluster's agreed with a moment ago.
    #[prost(bool, tag = "1")]
    pub by_majority: bool,
}

/// The time, by a clock that is trusted; a node whose clock is not refuses with `Fenced`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NowBody {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// Whatever was acknowledged before the question was sent is stamped below `latest_ns`; whatever is sent after the answer is
    /// stamped above `earliest_ns`.
    #[prost(fixed64, tag = "2")]
    pub earliest_ns: u64,
    #[prost(fixed64, tag = "3")]
    pub latest_ns: u64,
    /// Nothing is stamped later than this by now.
    #[prost(fixed64, tag = "4")]
    pub admissible_ns: u64,
}

/// Where does a timestamp stand in this replica of a shard?
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LocateBody {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(fixed64, tag = "2")]
    pub at_ns: u64,
    /// Answer once nothing stamped before `at_ns` can come any more; else with what is there.
    #[prost(bool, tag = "3")]
    pub waits_closed: bool,
}

/// Answer to a `Locate`, of one moment.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LocatedBody {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    /// The first record stamped at or after `at_ns`, or the one that comes next.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    /// Nothing stamped at or below this can come any more, and what was is there. Where records stamped at or after `at_ns` are
    /// there, the replica may know more.
    #[prost(fixed64, tag = "3")]
    pub closed_ns: u64,
    /// The timestamp of the record at `offset`; 0 if it has not come.
    #[prost(fixed64, tag = "4")]
    pub found_ns: u64,
    /// The first offset that this replica does not show yet.
    #[prost(uint64, tag = "5")]
    pub released_offset: u64,
}
