//! What is asked of a shard and what it answers: append requests, receipts by ticket, refusals.
//!
//! Every refusal says whether to try again and whether the batch can still turn up in the log.

use bytes::Bytes;

use crate::clock::Fault;
use crate::codec::{self, Compression};
use crate::types::{AppendTerms, BatchId, Found, Monotonic, Receipt, ReplicaId, Timestamp};

/// A batch to append. The body is stored as it is.
#[derive(Clone, Debug)]
pub struct AppendRequest {
    /// The caller's name for this request: its answer carries it. Unique while unanswered.
    pub ticket: u64,
    pub batch: BatchId,
    pub terms: AppendTerms,
    pub record_count: u32,
    pub compression: Compression,
    /// The producer's checksum of `body`.
    pub body_crc: u32,
    pub body: Bytes,
    /// When the request reached this node.
    pub arrived: Monotonic,
}

/// An append was taken in; its answer comes by ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has a place in the log, which may yet be lost.
    Assigned,
    /// The log holds this batch already: the answer is the first one's, and waits as that does.
    Duplicate,
}

/// The final answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub ticket: u64,
    pub result: Result<Receipt, Refusal>,
}

/// What became of a refused batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not in the log and never will be by this request.
    NotApplied,
    /// It may be in the log, now or later.
    Unknown,
}

/// Why an append was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the shard has no working replica on this node")]
    NotHosted,
    #[error("this replica does not lead the shard")]
    NotLeader { leader: Option<ReplicaId> },
    #[error("the leader's clock is not to be trusted: {fault}")]
    Fenced { fault: Fault },
    #[error(
        "the leader has not heard from a majority of the nodes' clocks for a moment: it assigns only with their recent agreement"
    )]
    Unheard,
    #[error("a new leader is still asking its peers what they promised to readers")]
    FloorPending,
    #[error("{unanswered} appends are unanswered, the limit is {max}")]
    Busy { unanswered: usize, max: usize },
    #[error(
        "the disk of this replica is full; free space on it and appends go on by themselves, reads go on meanwhile"
    )]
    NoSpace,
    #[error("the append's stamp would lead the clock by {ahead_ns} ns, the limit is {max_ns} ns")]
    AheadOfClock { ahead_ns: u64, max_ns: u64 },
    #[error("the shard takes no appends at the moment: its leadership is moving")]
    Moving,
    #[error("what the answer depends on is not released yet")]
    Unsettled,
    #[error("the append's condition does not hold: {found}")]
    ConditionFailed { found: Found },
    #[error(
        "the append is to be stamped later than {ahead_ns} ns ahead of the clock; nothing is stamped further ahead than {max_ns} ns"
    )]
    Future { ahead_ns: u64, max_ns: u64 },
    #[error("the batch's sequence leaves a gap: {expected} is the next")]
    SequenceGap { expected: u64 },
    #[error("a newer run of this producer, epoch {epoch}, has taken over")]
    ProducerFenced { epoch: u32 },
    #[error("the batch is older than the shard remembers, so it cannot tell whether it holds it")]
    TooOld,
    #[error(
        "the shard has forgotten the batch's producer, if it ever knew it, so it cannot tell whether it holds the batch; one that \
         was never applied may be sent again with the floor {floor}"
    )]
    Forgotten { floor: Timestamp },
    #[error("leadership was lost before the batch was committed; it may still become so")]
    LeadershipLost,
    #[error(
        "leadership was lost and another leader's entry took the batch's place here; it may still be committed"
    )]
    Replaced,
    #[error("a batch of {found} bytes is above the limit of {max}")]
    TooLarge { found: usize, max: usize },
    #[error("a batch without records")]
    Empty,
    #[error("the batch does not hold what it claims: {0}")]
    Invalid(#[from] codec::Error),
    #[error("membership change refused: {reason}")]
    Membership { reason: String },
    #[error("the shard has stopped: {reason}")]
    Stopped { reason: String },
}

impl Refusal {
    /// The same request may succeed later or elsewhere.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotHosted
            | Self::NotLeader { .. }
            | Self::Fenced { .. }
            | Self::Unheard
            | Self::FloorPending
            | Self::Busy { .. }
            | Self::NoSpace
            | Self::AheadOfClock { .. }
            | Self::Moving
            | Self::Unsettled
            | Self::Forgotten { .. }
            | Self::LeadershipLost
            | Self::Replaced
            | Self::Membership { .. }
            | Self::Stopped { .. } => true,
            Self::ConditionFailed { .. }
            | Self::Future { .. }
            | Self::SequenceGap { .. }
            | Self::ProducerFenced { .. }
            | Self::TooOld
            | Self::TooLarge { .. }
            | Self::Empty
            | Self::Invalid(_) => false,
        }
    }

    pub fn outcome(&self) -> Outcome {
        match self {
            // What the floor of a forgotten batch leaves open is whether an *earlier* attempt was applied: this one was not.
            // The entry that took a batch's place may itself be replaced, by a leader that holds the batch. A batch too
            // old to remember may well have been applied, by an earlier attempt.
            Self::LeadershipLost | Self::Replaced | Self::TooOld | Self::Stopped { .. } => Outcome::Unknown,
            _ => Outcome::NotApplied,
        }
    }
}
