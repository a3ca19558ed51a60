//! What comes out of a lane.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::Ticket;
use crate::clock::Fault;
use crate::codec::Frame;
use crate::disk::DiskFile;
use crate::log::FileTask;
use crate::shard::{Fenced, Refusal, StepRefusal};
use crate::types::{Index, Monotonic, NodeId, Offset, OrderMark, Receipt, ShardId, Term, Timestamp, TopicId};
use crate::wire::{ClockProbe, NodeMessage};

/// Everything the shell has to do after the events it brought.
#[derive(Default)]
pub struct Output {
    pub sends: Vec<Send>,
    /// Questions for peers' clocks, and answers to theirs: to leave at once or not at all.
    pub probes: Vec<(NodeId, ClockProbe)>,
    pub syncs: Vec<SyncRequest>,
    pub prepares: Vec<PrepareRequest>,
    pub removals: Vec<RemoveRequest>,
    pub tasks: Vec<TaskRequest>,
    pub appended: Vec<(Ticket, Result<Receipt, Refusal>)>,
    pub fenced: Vec<(Ticket, Result<Fenced, Refusal>)>,
    pub reads: Vec<(Ticket, Result<ReadAnswer, ReadRefusal>)>,
    /// Proposed changes of membership: the index whose commitment puts each into force, or why there is none.
    pub changes: Vec<(Ticket, Result<Index, Refusal>)>,
    /// Committed frames of shards opened with `follow_committed`, in order.
    pub committed: Vec<(ShardId, Frame)>,
    /// Changes of leadership, as this node learned of them.
    pub led: Vec<Leadership>,
    /// Peers' messages that were not taken, and why.
    pub refused: Vec<(NodeId, ShardId, StepRefusal)>,
    /// Replicas that stopped, and why.
    pub failed: Vec<(ShardId, String)>,
    /// Replicas whose disk has become full (`true`) or has room again.
    pub full: Vec<(ShardId, bool)>,
    /// What became of damage, and how far scrubbing has come.
    pub care: Vec<CareNote>,
    /// What the cluster holds against this node's clock has changed.
    pub clock: Option<ClockNote>,
    /// Order marks that this node proposed as leader.
    pub marked: Vec<(ShardId, OrderMark)>,
}

/// What the other nodes' clocks say of this one's, for logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClockNote {
    Held {
        fault: Fault,
        /// One sentence.
        evidence: String,
    },
    /// Nothing any more.
    Cleared,
}

/// Damage and its repair, for logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CareNote {
    /// A segment was found damaged; it is repaired from peers.
    Damaged { shard: ShardId, reason: String },
    /// The file is what it was; `fetched` frames came from peers, `last` is its last one.
    Repaired { shard: ShardId, file: PathBuf, fetched: u64, last: Index },
    /// A repair did not succeed and is tried again.
    RepairRests { shard: ShardId, reason: String },
    /// A replica that may have forgotten what it answered for has it again; `fetched` frames came from a peer.
    Recalled { shard: ShardId, fetched: u64 },
    /// So many bytes of sealed segments were proved.
    Scrubbed { bytes: u64 },
    /// All sealed segments were gone through once.
    ScrubPassed { segments: u64 },
}

/// Who leads a shard, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub shard: ShardId,
    pub leader: Option<NodeId>,
    pub term: Term,
}

/// A message for a peer. It may be lost: whatever matters is sent again.
pub struct Send {
    pub to: NodeId,
    pub message: NodeMessage,
    /// The data of the message's entries, in order.
    pub payload: Vec<Bytes>,
    /// It carries much data and should not delay others.
    pub bulk: bool,
}

/// Make the files' content durable, then answer with `Event::Synced`.
pub struct SyncRequest {
    pub token: u64,
    pub files: Vec<Arc<dyn DiskFile>>,
}

/// Create a file of zeros in the background, then answer with `Event::Prepared`.
pub struct PrepareRequest {
    pub token: u64,
    pub path: PathBuf,
    pub size_bytes: u64,
}

/// Remove a file that no log refers to any more, durably, in the background, then answer with `Event::Removed`.
pub struct RemoveRequest {
    pub token: u64,
    pub path: PathBuf,
}

/// Run the task in the background, then answer with `Event::TaskDone`.
pub struct TaskRequest {
    pub token: u64,
    pub task: FileTask,
}

/// Released frames, and how far the shard is closed once they are read.
#[derive(Clone, Debug)]
pub struct ReadAnswer {
    pub frames: Vec<Frame>,
    /// Where to read on.
    pub next: Index,
    /// The offset of the first record behind the frames, which may not have come yet.
    pub next_offset: Offset,
    /// Every record stamped at or below this lies before `next`.
    pub closed: Timestamp,
    /// The offset of the first record that the log keeps: a read of everything begins there.
    pub kept_from: Offset,
}

impl ReadAnswer {
    /// The offset of the first record stamped at or after `at`, or of the one that comes next; of an answer to a read from there.
    pub fn offset_of(&self, at: Timestamp) -> Offset {
        let Some(first) = self.frames.first() else { return self.next_offset };
        let before = at.ns_since(first.header.first_timestamp).min(u64::from(first.header.record_count));
        first.header.first_offset.plus(before)
    }

    /// The timestamp of the record at `offset_of`, if it is there.
    pub fn timestamp_of(&self, at: Timestamp) -> Option<Timestamp> {
        self.frames.first().map(|frame| frame.header.first_timestamp.max(at))
    }
}

/// Why a read is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal {
    #[error("shard {0} has no replica on this node")]
    UnknownShard(ShardId),
    #[error(
        "shard {shard} keeps records from offset {kept_from} on: those stamped up to {trimmed_through} were trimmed away by the topic's retention"
    )]
    Trimmed { shard: ShardId, kept_from: Offset, trimmed_through: Timestamp },
    #[error("shard {shard} cannot be read here: {reason}")]
    Failed { shard: ShardId, reason: String },
}

/// One replica as `shard list` shows it. Offsets are "first not yet".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    pub shard: ShardId,
    pub topic: TopicId,
    pub leader: Option<NodeId>,
    pub term: Term,
    pub appended: Offset,
    pub synced: Offset,
    pub committed: Offset,
    pub released: Offset,
    pub trimmed: Offset,
    /// The last entries written, synced and committed: those without records do not move offsets.
    pub appended_index: Index,
    pub synced_index: Index,
    pub committed_index: Index,
    pub closed: Timestamp,
    /// Since when this replica has led, if it leads.
    pub leading_since: Option<Monotonic>,
    /// This replica leads, and the preferred leader, another one, has all of its log.
    pub preferred_ready: Option<NodeId>,
    /// The disk has no room for its next segment: it takes no appends.
    pub is_full: bool,
    pub failure: Option<String>,
}

impl ReplicaStatus {
    /// A replica that stands still, and why.
    pub fn failed(shard: ShardId, topic: TopicId, reason: &str) -> Self {
        Self {
            shard,
            topic,
            leader: None,
            term: Term(0),
            appended: Offset(0),
            synced: Offset(0),
            committed: Offset(0),
            released: Offset(0),
            trimmed: Offset(0),
            appended_index: Index(0),
            synced_index: Index(0),
            committed_index: Index(0),
            closed: Timestamp::ZERO,
            leading_since: None,
            preferred_ready: None,
            is_full: false,
            failure: Some(reason.to_owned()),
        }
    }
}
