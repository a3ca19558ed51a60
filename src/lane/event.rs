//! What goes into a lane.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::Compression;
use crate::consensus::MembershipChange;
use crate::disk::{self, DiskFile};
use crate::log::TaskResult;
use crate::types::{AppendTerms, BatchId, Index, Monotonic, NodeId, ProducerId, ShardId, Timestamp};
use crate::wire::{ClockProbe, NodeMessage};

/// Names a request until it is answered; chosen by the asker, unique while in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something happened outside.
pub enum Event {
    Append(AppendCommand),
    /// Fence a producer, or tell what became of a batch of its: answered in `Output::fenced`.
    FenceProducer(FenceCommand),
    Read(ReadCommand),
    /// The asker of a held read is gone.
    CancelRead(Ticket),
    /// A peer's message; `payload` holds the data of its entries.
    Message {
        from: NodeId,
        message: Box<NodeMessage>,
        payload: Bytes,
    },
    /// A peer's question for this node's clock, or its answer.
    Probe {
        from: NodeId,
        probe: ClockProbe,
    },
    /// A connection to a peer came about.
    Connected(NodeId),
    /// An `Output::syncs` request is done: one answer per file.
    Synced {
        token: u64,
        results: Vec<Result<(), disk::Error>>,
    },
    /// An `Output::prepares` request is done.
    Prepared {
        token: u64,
        result: Result<Arc<dyn DiskFile>, disk::Error>,
    },
    /// An `Output::removals` request is done.
    Removed {
        token: u64,
        result: Result<(), disk::Error>,
    },
    /// An `Output::tasks` request is done.
    TaskDone {
        token: u64,
        result: TaskResult,
    },
    /// Hand a shard's leadership to another node.
    Transfer {
        shard: ShardId,
        to: NodeId,
    },
    /// Propose a change of who replicates a shard; answered by what `Output::changes` says of the ticket.
    ChangeMembership {
        ticket: Ticket,
        shard: ShardId,
        change: MembershipChange,
    },
    /// Take no more appends and hand all leaderships over.
    Drain,
    /// The lane's deadline has come.
    Timer,
}

/// A batch to append. The body's CRC has been proved by the session that received it.
pub struct AppendCommand {
    pub ticket: Ticket,
    pub shard: ShardId,
    pub batch: BatchId,
    pub terms: AppendTerms,
    pub record_count: u32,
    pub compression: Compression,
    pub body_crc: u32,
    pub body: Bytes,
    /// When the batch arrived at this node.
    pub arrived: Monotonic,
}

/// A question about a producer in a shard; see `shard::FenceRequest`.
#[derive(Clone, Copy, Debug)]
pub struct FenceCommand {
    pub ticket: Ticket,
    pub shard: ShardId,
    pub producer: ProducerId,
    pub in_doubt: Option<(u32, u64)>,
    pub peek: bool,
    pub same_run: bool,
}

/// A long poll: answered as soon as there are released frames from `from` on, or the shard is closed
/// above `closed_above`.
pub struct ReadCommand {
    pub ticket: Ticket,
    pub shard: ShardId,
    pub from: ReadFrom,
    pub max_bytes: usize,
    pub closed_above: Timestamp,
}

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the frame that holds the first record stamped at or after this.
    Time(Timestamp),
    Index(Index),
}
