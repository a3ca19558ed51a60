//! What nodes and clients say to each other, as versioned protobuf headers with raw bytes beside them.
//! And what nodes write down for each other: the records of the system topic and of the topic of groups.
//!
//! Knows nothing of sockets or of what the messages mean. A packet is `header length (u32 LE), payload
//! length (u32 LE), header (protobuf), payload (raw batch and frame bytes)`; both lengths are checked
//! against a limit before anything is allocated. Fields are only ever added; a reader skips what it does not know.

mod client;
mod features;
mod group_log;
mod groups;
mod hello;
mod node;
mod packet;
mod producers;
mod reads;
mod system;

pub use client::{
    AppendBody, AppendedBody, ClockBody, ClockDoubt, ClockPeer, ClockRefusal, ClusterBody, CreateTopicBody,
    DeliverBody, ErrorBody, ErrorCode, NodeBody, Outcome, ReplicaBody, Request, RequestBody, Response,
    ResponseBody, ShardBody, ShardStatusBody, ShardStatusesBody, SubscribeBody, TopicBody, TopicNameBody,
    TopicsBody,
};
pub use features::{APPEND_AFTER, CONDITIONAL_APPEND, FEATURES, FENCE_SAME_RUN, WAIT_COMMITTED};
pub use group_log::{
    GroupChange, GroupCommitted, GroupJoined, GroupLogRecord, GroupTaken, GroupTopic, GroupWhole,
    WholeMember, WholePlace,
};
pub use groups::{
    DeleteGroupBody, DescribeGroupsBody, GroupBeatBody, GroupBody, GroupMemberBody, GroupPlaceBody,
    GroupStandingBody, GroupsBody, HeldShard, ReadPlace, ResetGroupBody,
};
pub use hello::{HelloBody, HelloLimits, Versions};
pub use node::{
    ClockProbe, ClosedAck, ClosedPublication, ClosedTick, EntryMeta, FetchFrames, FetchedFrames, FloorAnswer,
    FloorRequest, NodeHello, NodeMessage, RaftManifest, RaftMessage, RecallAnswer, RecallRequest,
    ShardPromise, StatedTime,
};
pub use packet::{PREFIX_BYTES, PacketDecoder, PacketError, PacketLimits, encode_packet};
pub use producers::{FenceProducerBody, ProducerFencedBody};
pub use reads::{LocateBody, LocatedBody, NowBody, NowRequestBody};
pub use system::{
    CreateShard, CreateTopic, DeleteTopic, PlaceReplica, RegisterNode, SystemChange, SystemRecord,
};

/// The newest version of the protocol that this build speaks; `Versions::OWN` has all of them.
pub const PROTOCOL_VERSION: u32 = 1;
/// ALPN of node-to-node connections.
pub const NODE_ALPN: &[u8] = b"timberline-node/1";
/// ALPN of client connections.
pub const CLIENT_ALPN: &[u8] = b"timberline-client/1";
