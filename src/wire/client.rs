//! Client to node: requests and responses, matched by id; a subscription has many responses.
//!
//! Each bidirectional stream carries packets of `Request` one way and `Response` the other. A client's
//! first request on a connection is `Hello`. Payloads: an append's body; a delivery's whole frames.

use super::groups::{
    DeleteGroupBody, DescribeGroupsBody, GroupBeatBody, GroupStandingBody, GroupsBody, ResetGroupBody,
};
use super::hello::HelloBody;
use super::producers::{FenceProducerBody, ProducerFencedBody};
use super::reads::{LocateBody, LocatedBody, NowBody, NowRequestBody};

/// One request, in the header of a packet.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Request {
    /// Chosen by the client; its answers carry it. One stream does not use it twice for what is unanswered.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(oneof = "RequestBody", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19")]
    pub body: Option<RequestBody>,
}

#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum RequestBody {
    #[prost(message, tag = "2")]
    Hello(HelloBody),
    #[prost(message, tag = "3")]
    Append(AppendBody),
    /// Answered by deliveries until the stream is closed.
    #[prost(message, tag = "4")]
    Subscribe(SubscribeBody),
    #[prost(message, tag = "5")]
    CreateTopic(CreateTopicBody),
    #[prost(message, tag = "6")]
    DeleteTopic(TopicNameBody),
    #[prost(message, tag = "7")]
    DescribeTopic(TopicNameBody),
    /// Answered by `Topics`.
    #[prost(bool, tag = "8")]
    ListTopics(bool),
    #[prost(bool, tag = "9")]
    Cluster(bool),
    /// This node's clock, answered by `Clock`.
    #[prost(bool, tag = "10")]
    Clock(bool),
    /// This node's replicas of a topic's shards, answered by `ShardStatuses`.
    #[prost(message, tag = "11")]
    ShardStatus(TopicNameBody),
    // Never 12: nodes of the first builds claim it without a meaning, and fail over it where a stranger's number is skipped.
    #[prost(message, tag = "13")]
    Locate(LocateBody),
    #[prost(message, tag = "14")]
    FenceProducer(FenceProducerBody),
    #[prost(message, tag = "15")]
    GroupBeat(GroupBeatBody),
    #[prost(message, tag = "16")]
    DeleteGroup(DeleteGroupBody),
    #[prost(message, tag = "17")]
    DescribeGroups(DescribeGroupsBody),
    #[prost(message, tag = "18")]
    ResetGroup(ResetGroupBody),
    #[prost(message, tag = "19")]
    Now(NowRequestBody),
}

/// One response: a body, or an error.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Response {
    /// That of the request.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(oneof = "ResponseBody", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15")]
    pub body: Option<ResponseBody>,
}

#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum ResponseBody {
    #[prost(message, tag = "2")]
    Error(ErrorBody),
    #[prost(message, tag = "3")]
    Hello(HelloBody),
    #[prost(message, tag = "4")]
    Appended(AppendedBody),
    #[prost(message, tag = "5")]
    Deliver(DeliverBody),
    #[prost(message, tag = "6")]
    Topic(TopicBody),
    #[prost(message, tag = "7")]
    Topics(TopicsBody),
    #[prost(message, tag = "8")]
    Cluster(ClusterBody),
    #[prost(message, tag = "9")]
    Clock(ClockBody),
    #[prost(message, tag = "10")]
    ShardStatuses(ShardStatusesBody),
    #[prost(message, tag = "11")]
    Now(NowBody),
    #[prost(message, tag = "12")]
    Located(LocatedBody),
    #[prost(message, tag = "13")]
    ProducerFenced(ProducerFencedBody),
    #[prost(message, tag = "14")]
    GroupStanding(GroupStandingBody),
    #[prost(message, tag = "15")]
    Groups(GroupsBody),
}

/// A batch for one shard. The payload is the encoded body.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppendBody {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(uint32, tag = "2")]
    pub record_count: u32,
    #[prost(fixed32, tag = "3")]
    pub body_crc: u32,
    /// As in the frame's header: 0 none, 1 lz4, 2 zstd.
    #[prost(uint32, tag = "4")]
    pub compression: u32,
    #[prost(fixed64, tag = "5")]
    pub producer: u64,
    #[prost(uint32, tag = "6")]
    pub epoch: u32,
    #[prost(uint64, tag = "7")]
    pub sequence: u64,
    /// The lowest sequence this producer still waits for in this shard: it will never send a lower one
    /// again. A shard that does not know the producer starts here.
    #[prost(uint64, tag = "8")]
    pub lowest_open_sequence: u64,
    /// A timestamp that was released in this shard before the batch was first sent, by a receipt's last or by `Forgotten`; 0: none.
    /// The same for every attempt, unless all of them were refused for certain.
    #[prost(fixed64, tag = "9")]
    pub floor_ns: u64,
    /// What the answer waits for: 0 that the batch is exposed, 1 that it is committed.
    #[prost(uint32, tag = "10")]
    pub wait: u32,
    /// The append must carry a higher timestamp; 0: nothing asked. What lies too far ahead is refused.
    #[prost(fixed64, tag = "11")]
    pub after_ns: u64,
    /// Append only if this is the offset of the batch's first record.
    #[prost(uint64, optional, tag = "12")]
    pub next_offset: Option<u64>,
    /// Append only if no record with this key stands above `key_as_of_ns`.
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub key: Option<bytes::Bytes>,
    #[prost(fixed64, tag = "14")]
    pub key_as_of_ns: u64,
}

/// An acknowledged batch; see `types::Receipt`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppendedBody {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(uint64, tag = "2")]
    pub first_offset: u64,
    #[prost(fixed64, tag = "3")]
    pub first_timestamp_ns: u64,
    #[prost(uint32, tag = "4")]
    pub record_count: u32,
    #[prost(uint64, tag = "5")]
    pub uncertainty_ns: u64,
    #[prost(uint64, tag = "6")]
    pub term: u64,
    /// 0 disk, 1 memory.
    #[prost(uint32, tag = "7")]
    pub durability: u32,
    #[prost(uint64, tag = "8")]
    pub queue_ns: u64,
    #[prost(uint64, tag = "9")]
    pub sync_ns: u64,
    #[prost(uint64, tag = "10")]
    pub replication_ns: u64,
    #[prost(uint64, tag = "11")]
    pub commit_wait_ns: u64,
    /// The CRC of the frame's header, its name on every replica; none if the node no longer has the frame.
    #[prost(fixed32, optional, tag = "12")]
    pub header_crc: Option<u32>,
}

/// Read one shard on from a time.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubscribeBody {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    /// The first record wanted is the first one stamped at or after this.
    #[prost(fixed64, tag = "2")]
    pub from_timestamp_ns: u64,
}

/// Released frames of one shard, whole and in order, then how far the shard is closed. The first frame may
/// begin before the time asked for: the reader skips what it did not ask for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeliverBody {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    /// Every record stamped at or below this has been delivered on this stream. 0 if nothing is known.
    #[prost(fixed64, tag = "2")]
    pub closed_ns: u64,
    /// The first offset that the shard still kept: where a subscription to everything begins.
    #[prost(uint64, tag = "3")]
    pub kept_from_offset: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateTopicBody {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "2")]
    pub shards: u32,
    /// Of each shard; 0: three, or one on each node of a smaller cluster.
    #[prost(uint32, tag = "3")]
    pub replicas: u32,
    /// Range partitioning: the keys at which one shard ends and the next begins. Empty for hash partitioning.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub split_at: Vec<bytes::Bytes>,
    #[prost(bool, tag = "5")]
    pub range_partitioned: bool,
    /// Records may go once they are older; 0 keeps them.
    #[prost(uint64, tag = "6")]
    pub retention_ns: u64,
    /// A shard's oldest records may go while the rest holds as much; 0 keeps them.
    #[prost(uint64, tag = "7")]
    pub retention_bytes: u64,
    /// 0 disk: a quorum has synced a batch before its receipt. 1 memory: it is in a quorum's page caches.
    #[prost(uint32, tag = "8")]
    pub durability: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TopicNameBody {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A topic: its shards in key order.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TopicBody {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(bool, tag = "3")]
    pub range_partitioned: bool,
    #[prost(message, repeated, tag = "4")]
    pub shards: Vec<ShardBody>,
    #[prost(uint32, tag = "5")]
    pub durability: u32,
    /// Timestamp of the record that created it.
    #[prost(fixed64, tag = "6")]
    pub created_ns: u64,
    /// As in `CreateTopicBody`.
    #[prost(uint64, tag = "7")]
    pub retention_ns: u64,
    #[prost(uint64, tag = "8")]
    pub retention_bytes: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ShardBody {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    /// Hash partitioning: the first 64-bit key hash of this shard's range.
    #[prost(fixed64, tag = "2")]
    pub hash_start: u64,
    /// Range partitioning: the first key of this shard's range (empty for the first shard).
    #[prost(bytes = "bytes", tag = "3")]
    pub key_start: bytes::Bytes,
    #[prost(message, repeated, tag = "4")]
    pub replicas: Vec<ReplicaBody>,
    /// The leader's node as far as the answering node knows; 0 if it knows none.
    #[prost(uint64, tag = "5")]
    pub leader: u64,
    #[prost(uint64, tag = "6")]
    pub term: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReplicaBody {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(uint64, tag = "2")]
    pub replica: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TopicsBody {
    #[prost(message, repeated, tag = "1")]
    pub topics: Vec<TopicBody>,
}

/// The cluster as the answering node sees it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClusterBody {
    #[prost(string, tag = "1")]
    pub cluster: String,
    #[prost(uint64, tag = "2")]
    pub node: u64,
    #[prost(message, repeated, tag = "3")]
    pub nodes: Vec<NodeBody>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeBody {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// `host:port` for nodes and clients alike.
    #[prost(string, tag = "2")]
    pub address: String,
    #[prost(bool, tag = "3")]
    pub connected: bool,
    /// Shards it leads, as far as the answering node knows.
    #[prost(uint32, tag = "4")]
    pub shards_led: u32,
    #[prost(uint32, tag = "5")]
    pub replicas: u32,
}

/// A node's clock.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClockBody {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// `trusted`, `suspended` (contradicted, and a vote is to tell by whom rightly) or `fenced`.
    #[prost(string, tag = "2")]
    pub state: String,
    #[prost(string, tag = "3")]
    pub source: String,
    #[prost(uint64, tag = "4")]
    pub uncertainty_ns: u64,
    #[prost(uint64, tag = "5")]
    pub age_ns: u64,
    #[prost(uint64, tag = "6")]
    pub drift_ppb: u64,
    #[prost(fixed64, tag = "7")]
    pub earliest_ns: u64,
    #[prost(fixed64, tag = "8")]
    pub latest_ns: u64,
    #[prost(message, repeated, tag = "9")]
    pub peers: Vec<ClockPeer>,
    /// One sentence with the evidence, when fenced.
    #[prost(string, tag = "10")]
    pub reason: String,
    /// A leap second at the end of the day: `none`, `insert`, `delete` or `unknown`.
    #[prost(string, tag = "11")]
    pub leap: String,
    #[prost(message, repeated, tag = "12")]
    pub refused: Vec<ClockRefusal>,
    /// A clock less certain than this is fenced.
    #[prost(uint64, tag = "13")]
    pub eps_max_ns: u64,
    /// The source does not know the time: the interval is none that it stands for.
    #[prost(bool, tag = "14")]
    pub is_unknown: bool,
    /// The jump noticed last, in words, and when that was; empty and 0 if there was none.
    #[prost(string, tag = "15")]
    pub last_step: String,
    #[prost(fixed64, tag = "16")]
    pub last_step_ns: u64,
    #[prost(message, repeated, tag = "17")]
    pub doubts: Vec<ClockDoubt>,
}

/// A clock, the answering node's own perhaps, that it knows to be wrong, or to have been within the last ten minutes. What
/// is stamped in its range is covered by order marks, or will be, in the logs of the shards with a replica on that node.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClockDoubt {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(fixed64, tag = "2")]
    pub from_timestamp_ns: u64,
    #[prost(fixed64, tag = "3")]
    pub until_timestamp_ns: u64,
    /// How far it missed the majority at most; 0 without one.
    #[prost(uint64, tag = "4")]
    pub off_by_ns: u64,
    /// `outvoted` or `no_majority`.
    #[prost(string, tag = "5")]
    pub reason: String,
    /// The reason in words.
    #[prost(string, tag = "6")]
    pub why: String,
    /// The clock does not agree again yet.
    #[prost(bool, tag = "7")]
    pub is_open: bool,
}

/// A source of time that is not used, and why.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClockRefusal {
    #[prost(string, tag = "1")]
    pub source: String,
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// What a node knows of a peer's clock against its own. The offset is the peer's midpoint minus the node's own; the whole
/// range of numbers, if nothing recent is known.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClockPeer {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(sint64, tag = "2")]
    pub offset_low_ns: i64,
    #[prost(sint64, tag = "3")]
    pub offset_high_ns: i64,
    #[prost(uint64, tag = "4")]
    pub rtt_ns: u64,
    /// `agrees`, `misses` (every majority) or `unheard`.
    #[prost(string, tag = "5")]
    pub verdict: String,
    /// Half the width of the interval that the peer stated last.
    #[prost(uint64, tag = "6")]
    pub uncertainty_ns: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ShardStatusesBody {
    #[prost(uint64, tag = "1")]
    pub node: u64,
    #[prost(message, repeated, tag = "2")]
    pub shards: Vec<ShardStatusBody>,
}

/// One replica's positions: offsets, each "first not yet".
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ShardStatusBody {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(uint64, tag = "2")]
    pub leader: u64,
    #[prost(uint64, tag = "3")]
    pub term: u64,
    #[prost(uint64, tag = "4")]
    pub appended: u64,
    #[prost(uint64, tag = "5")]
    pub synced: u64,
    #[prost(uint64, tag = "6")]
    pub committed: u64,
    #[prost(uint64, tag = "7")]
    pub released: u64,
    #[prost(uint64, tag = "8")]
    pub trimmed: u64,
    #[prost(fixed64, tag = "9")]
    pub closed_ns: u64,
    /// Empty while the replica works; else why it does not.
    #[prost(string, tag = "10")]
    pub failure: String,
    /// The disk has no room: appends are refused, reads go on.
    #[prost(bool, tag = "11")]
    pub disk_full: bool,
}

/// A refusal or failure.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ErrorBody {
    #[prost(enumeration = "ErrorCode", tag = "1")]
    pub code: i32,
    /// What happened, where, and what to do next.
    #[prost(string, tag = "2")]
    pub message: String,
    /// The same request may succeed later, or at another node.
    #[prost(bool, tag = "3")]
    pub retryable: bool,
    #[prost(enumeration = "Outcome", tag = "4")]
    pub outcome: i32,
    /// The node that leads, if known; else 0.
    #[prost(uint64, tag = "5")]
    pub leader: u64,
    /// With `SequenceGap`: the sequence the shard expects.
    #[prost(uint64, tag = "6")]
    pub expected_sequence: u64,
    /// With `Trimmed`: the offset of the first record that is kept, and the last timestamp before it.
    #[prost(uint64, tag = "7")]
    pub kept_from_offset: u64,
    #[prost(fixed64, tag = "8")]
    pub trimmed_through_ns: u64,
    /// With `ConditionFailed`, of `next_offset`: the next offset, of what everybody may see.
    #[prost(uint64, tag = "10")]
    pub found_offset: u64,
    /// With `ConditionFailed`, of `key`: up to here the key changed, or the node cannot tell; else 0.
    #[prost(fixed64, tag = "11")]
    pub found_ns: u64,
    /// With `Forgotten`: a timestamp released in the shard, the floor of a batch that is sent again.
    #[prost(fixed64, tag = "9")]
    pub floor_ns: u64,
}

/// Why a request was refused or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ErrorCode {
    /// Nodes do not send it; a reader takes a code that it does not know for this.
    Internal = 0,
    /// Another node leads the shard, or nobody yet.
    NotLeader = 1,
    /// The leader's clock is not trusted, or a new leader still gathers its floor.
    Fenced = 2,
    /// A bound of the stream, the connection, the shard or the node is reached, or a batch sent before this one is under way.
    Busy = 3,
    /// There is no such topic.
    UnknownTopic = 4,
    /// The shard has no working replica on this node, or the node has not heard of its topic.
    UnknownShard = 5,
    /// A batch of this producer's is missing before this one.
    SequenceGap = 6,
    /// A newer run of this producer, with a higher epoch, has taken over.
    ProducerFenced = 7,
    /// The request is not what the protocol says, or not known to this node. If only the CRC of a batch is wrong, it may be sent again.
    Invalid = 8,
    /// A bound of size would be exceeded.
    TooLarge = 9,
    /// What is there stands in the way: a name taken, a group with members, a batch too old to tell whether it is there.
    Conflict = 10,
    /// The node stops, or has failed, or cannot tell without the others.
    Unavailable = 11,
    /// What was asked for did not happen in time.
    Timeout = 12,
    /// Bytes on the node are not what was written.
    Corruption = 13,
    /// Not allowed: before a hello, in another protocol or cluster, to a topic of the system, or with terms that the node does not know.
    Denied = 14,
    /// Leadership was lost while the batch was under way.
    LeadershipLost = 15,
    /// The leader's disk is full.
    NoSpace = 16,
    /// What a reader wants was trimmed away.
    Trimmed = 17,
    /// The append's condition does not hold.
    ConditionFailed = 18,
    /// The shard may have forgotten the batch's producer: it cannot tell whether an earlier attempt was applied.
    Forgotten = 19,
    /// A timestamp lies further ahead than any that a leader gives.
    Future = 20,
    /// There is no such group.
    UnknownGroup = 21,
    /// The member was taken for dead, or left: nothing that it says counts any more. It may join anew.
    StaleMember = 22,
}

/// What became of an append that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Outcome {
    /// Certainly nothing: it is safe to send it anew.
    NotApplied = 0,
    /// It may have been applied, now or later. Take an outcome that you do not know for this.
    Unknown = 1,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// A request of another version of this protocol: only its id and one body of that number.
    #[derive(Clone, PartialEq, Eq, prost::Message)]
    struct Foreign {
        #[prost(uint64, tag = "1")]
        id: u64,
        #[prost(bool, tag = "12")]
        burnt: bool,
        #[prost(message, tag = "77")]
        later: Option<TopicNameBody>,
    }

    #[test]
    fn a_request_that_this_build_does_not_know_is_one_without_a_body() {
        let later = Some(TopicNameBody { name: "x".to_owned() });
        for foreign in [Foreign { id: 7, burnt: true, later: None }, Foreign { id: 7, burnt: false, later }] {
            let request = Request::decode(foreign.encode_to_vec().as_slice()).expect("it is skipped");
            assert_eq!(request, Request { id: 7, body: None });
        }
    }
}
