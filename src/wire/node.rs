//! Node to node: Raft, closed timestamps, floors. One `NodeMessage` coalesces what one lane has for one peer.

use bytes::Bytes;

/// The first packet each side sends on a new node connection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeHello {
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    #[prost(string, tag = "2")]
    pub cluster: String,
    #[prost(uint64, tag = "3")]
    pub node: u64,
    /// Random number drawn when the data folder was made: a replaced disk shows as a new identity.
    #[prost(uint64, tag = "4")]
    pub identity: u64,
    /// Rises with every start of the process.
    #[prost(uint64, tag = "5")]
    pub boot: u64,
}

/// Everything one node has to say to another at one moment. The payload beside it holds the data of all
/// entries of all `raft` messages, in order; of `fetched`, its frames.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeMessage {
    /// The sender's clock interval when sending; all there is, if its source does not know the time.
    #[prost(fixed64, tag = "1")]
    pub earliest_ns: u64,
    #[prost(fixed64, tag = "2")]
    pub latest_ns: u64,
    #[prost(message, repeated, tag = "3")]
    pub raft: Vec<RaftMessage>,
    #[prost(message, optional, tag = "4")]
    pub closed: Option<ClosedTick>,
    #[prost(message, optional, tag = "5")]
    pub closed_ack: Option<ClosedAck>,
    #[prost(message, repeated, tag = "6")]
    pub floor_requests: Vec<FloorRequest>,
    #[prost(message, repeated, tag = "7")]
    pub floor_answers: Vec<FloorAnswer>,
    #[prost(message, optional, tag = "8")]
    pub publication: Option<ClosedPublication>,
    #[prost(message, repeated, tag = "9")]
    pub fetches: Vec<FetchFrames>,
    /// Sent alone: the payload beside it is its frames.
    #[prost(message, optional, tag = "10")]
    pub fetched: Option<FetchedFrames>,
    #[prost(message, repeated, tag = "11")]
    pub recalls: Vec<RecallRequest>,
    #[prost(message, repeated, tag = "12")]
    pub recalled: Vec<RecallAnswer>,
}

/// What a node states of the time: an interval that contains it. All there is, if it does not know.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct StatedTime {
    #[prost(fixed64, tag = "1")]
    pub earliest_ns: u64,
    #[prost(fixed64, tag = "2")]
    pub latest_ns: u64,
}

/// A question for a peer's clock, or the answer to one: a datagram of its own, which may be lost. The four stamps of RFC
/// 5905, each an interval: the asking node keeps the first and takes the last itself.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClockProbe {
    /// The asking node's; comes back in the answer.
    #[prost(fixed64, tag = "1")]
    pub number: u64,
    /// The sender's time when sending.
    #[prost(message, required, tag = "2")]
    pub sent: StatedTime,
    /// Set in an answer: the answering node's time when the question reached it.
    #[prost(message, optional, tag = "3")]
    pub received: Option<StatedTime>,
    /// In a question: a clock that the sender knows to be, or to have been, wrong, in the bytes of an order mark
    /// (`docs/SEGMENT_FORMAT.md`). One at a time, in turn.
    #[prost(bytes = "bytes", tag = "4")]
    pub doubt: Bytes,
}

/// A Raft message of one shard; see `consensus::Message` for the fields' meanings.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RaftMessage {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    #[prost(uint64, tag = "3")]
    pub from: u64,
    #[prost(uint64, tag = "4")]
    pub to: u64,
    #[prost(uint64, tag = "5")]
    pub term: u64,
    #[prost(uint64, tag = "6")]
    pub log_term: u64,
    #[prost(uint64, tag = "7")]
    pub index: u64,
    #[prost(uint64, tag = "8")]
    pub commit: u64,
    #[prost(uint64, tag = "9")]
    pub commit_term: u64,
    #[prost(bool, tag = "10")]
    pub reject: bool,
    #[prost(uint64, tag = "11")]
    pub reject_hint: u64,
    #[prost(bytes = "bytes", tag = "12")]
    pub context: Bytes,
    #[prost(message, repeated, tag = "13")]
    pub entries: Vec<EntryMeta>,
    #[prost(message, optional, tag = "14")]
    pub manifest: Option<RaftManifest>,
}

/// One entry without its data, whose `data_len` bytes stand in the packet's payload.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EntryMeta {
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(uint64, tag = "2")]
    pub index: u64,
    #[prost(bool, tag = "3")]
    pub membership: bool,
    #[prost(bytes = "bytes", tag = "4")]
    pub context: Bytes,
    #[prost(uint32, tag = "5")]
    pub data_len: u32,
}

/// The state at a log's start, for a replica that is new or far behind.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RaftManifest {
    #[prost(uint64, tag = "1")]
    pub index: u64,
    #[prost(uint64, tag = "2")]
    pub term: u64,
    #[prost(uint64, repeated, tag = "3")]
    pub voters: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    pub learners: Vec<u64>,
    #[prost(uint64, repeated, tag = "5")]
    pub outgoing: Vec<u64>,
    #[prost(bytes = "bytes", tag = "6")]
    pub shard_state: Bytes,
    #[prost(uint64, tag = "7")]
    pub membership_index: u64,
}

/// One tick of closed timestamps, from the leader of many shards to one peer (TIME rules C2 to C4).
///
/// The receiver keeps the set of shards that this sender leads, per `stream`; `set` and `unset`
/// change it, applied only when `sequence` follows the last one applied (or `whole` is set: then `set` is
/// the whole set). The tick promises `closed_ns` for every shard in the set.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClosedTick {
    /// Names this run of numbered changes; a new one starts whole.
    #[prost(uint64, tag = "1")]
    pub stream: u64,
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    #[prost(bool, tag = "3")]
    pub whole: bool,
    #[prost(fixed64, tag = "4")]
    pub closed_ns: u64,
    #[prost(message, repeated, tag = "5")]
    pub set: Vec<ShardPromise>,
    #[prost(uint64, repeated, tag = "6")]
    pub unset: Vec<u64>,
}

/// What a quorum has accepted (C4): every shard that has stood unchanged in the set of `stream` since
/// `sequence` or before, the excepted ones aside, is closed at `closed_ns` with the index its promise named.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClosedPublication {
    #[prost(uint64, tag = "1")]
    pub stream: u64,
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    #[prost(fixed64, tag = "3")]
    pub closed_ns: u64,
    #[prost(uint64, repeated, tag = "4")]
    pub except: Vec<u64>,
}

/// A shard whose past a tick closes: every record stamped at or below the tick's time has an index of at
/// most `index`, if it can ever commit.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ShardPromise {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(uint64, tag = "2")]
    pub term: u64,
    #[prost(uint64, tag = "3")]
    pub index: u64,
}

/// The answer to a tick: accepted up to `sequence`, but not for the excepted shards; or a wish to start over.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClosedAck {
    #[prost(uint64, tag = "1")]
    pub stream: u64,
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    #[prost(uint64, repeated, tag = "3")]
    pub except: Vec<u64>,
    /// Changes were missed: send the whole set under a new stream.
    #[prost(bool, tag = "4")]
    pub restart: bool,
}

/// A new leader asks what this replica promised (C6).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FloorRequest {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(uint64, tag = "2")]
    pub term: u64,
}

/// What this replica promised, the term already on its disk (C6, C7).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FloorAnswer {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// The answering replica.
    #[prost(uint64, tag = "3")]
    pub replica: u64,
    #[prost(fixed64, tag = "4")]
    pub max_promised_ns: u64,
    /// It restarted since it may have promised more.
    #[prost(bool, tag = "5")]
    pub forgotten: bool,
}

/// A replica whose log lacks frames asks a peer for some, the last one first: as many of those that end with `to`, none
/// below `from`, as `max_bytes` take, and the last one whatever its size. With `oldest_first` the other way round.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FetchFrames {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    /// Comes back in the answer.
    #[prost(uint64, tag = "2")]
    pub token: u64,
    #[prost(uint64, tag = "3")]
    pub from: u64,
    #[prost(uint64, tag = "4")]
    pub to: u64,
    #[prost(uint64, tag = "5")]
    pub max_bytes: u64,
    #[prost(bool, tag = "6")]
    pub oldest_first: bool,
}

/// A replica that may have forgotten what it answered for asks every other one what it has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RecallRequest {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    /// Comes back in the answer.
    #[prost(uint64, tag = "2")]
    pub token: u64,
    /// The last entry that the asking replica still has.
    #[prost(uint64, tag = "3")]
    pub last_index: u64,
}

/// What a replica has, whether its raft runs or not.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RecallAnswer {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(uint64, tag = "2")]
    pub token: u64,
    /// The newest term it has seen.
    #[prost(uint64, tag = "3")]
    pub term: u64,
    /// Its last entry, and the term that was made in.
    #[prost(uint64, tag = "4")]
    pub last_index: u64,
    #[prost(uint64, tag = "5")]
    pub last_term: u64,
    /// Its first entry.
    #[prost(uint64, tag = "6")]
    pub first_index: u64,
    /// The shard's state before its first entry, if that lies behind what the asking replica has.
    #[prost(bytes = "bytes", tag = "7")]
    pub state: Bytes,
}

/// Frames that the answering replica holds, committed or not: header and body of each, one behind the other, in the
/// payload. Whoever asked proves them. None, if it does not hold them.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FetchedFrames {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(uint64, tag = "2")]
    pub token: u64,
    /// How far the answering replica knows its log to be committed.
    #[prost(uint64, tag = "3")]
    pub committed: u64,
    /// Where its log begins.
    #[prost(uint64, tag = "4")]
    pub first: u64,
}
