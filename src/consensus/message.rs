//! What replicas say to each other and keep on disk, in our own types.

use bytes::Bytes;

use crate::types::{Index, Membership, ReplicaId, Term};

/// One entry of the log. `context` is an encoded frame header, or empty where Raft itself made the
/// entry; `data` is the frame's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEntry {
    pub term: Term,
    pub index: Index,
    /// The entry changes the membership; `data` is then Raft's own encoding of the change.
    pub membership: bool,
    pub context: Bytes,
    pub data: Bytes,
}

/// Raft's message kinds that travel between nodes. The numbers are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageKind {
    Append = 1,
    AppendAnswer = 2,
    RequestVote = 3,
    VoteAnswer = 4,
    RequestPreVote = 5,
    PreVoteAnswer = 6,
    Heartbeat = 7,
    HeartbeatAnswer = 8,
    TimeoutNow = 9,
    Manifest = 10,
}

/// One Raft message. Field meanings are Raft's (Ongaro 2014, chapter 3; `log_term` is the term of the
/// entry at `index` where one is meant).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: MessageKind,
    pub from: ReplicaId,
    pub to: ReplicaId,
    pub term: Term,
    pub log_term: Term,
    pub index: Index,
    pub commit: Index,
    /// The term of the entry at `commit`, where the sender knows it.
    pub commit_term: Term,
    pub reject: bool,
    pub reject_hint: Index,
    /// Marks a campaign begun by a leadership transfer; opaque.
    pub context: Bytes,
    pub entries: Vec<LogEntry>,
    /// With `Manifest`: the state at the log's start, for a replica that is new or far behind.
    pub manifest: Option<Manifest>,
}

/// What stands at the start of a log: the last entry before it and the shard's state there (opaque to
/// consensus), with the configuration in force. A manifest on its way to another replica carries the
/// sender's *current* configuration: a replica ignores one that does not name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub index: Index,
    pub term: Term,
    pub membership: Membership,
    /// The last membership entry that `membership` includes; up to it, such entries change nothing.
    pub membership_index: Index,
    pub shard_state: Bytes,
}
