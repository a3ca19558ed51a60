//! What identifies a batch, and what its producer learns of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Offset, ProducerId, ShardId, Term, Timestamp};

/// The most batches one producer may have unanswered in one shard. The shard remembers as many
/// (`shard::dedup`), so a retry of any of them is recognised.
pub const SHARD_IN_FLIGHT_MAX: usize = 8;

/// The epochs that one run of a producer has for itself in a shard: a multiple of so many is the first of a run, and one more is used
/// for what a run goes on with after a batch of unknown fate. So a run that was fenced cannot come upon the epochs of a later one.
pub const EPOCHS_OF_A_RUN: u32 = 256;

/// Identifies a batch across retries: sequences rise by one per batch, producer and shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    pub producer: ProducerId,
    pub epoch: u32,
    pub sequence: u64,
}

/// Where a quorum holds a batch before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On disk: synced by a quorum.
    #[default]
    Disk,
    /// In a quorum's page cache; synced in the background.
    Memory,
}

impl Durability {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Durability {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "disk" => Ok(Self::Disk),
            "memory" => Ok(Self::Memory),
            other => Err(format!("durability is `disk` or `memory`, not {other:?}")),
        }
    }
}

/// The answer to an acknowledged batch of `record_count` records: they stand at offsets
/// `first_offset..` and carry timestamps `first_timestamp..`, one nanosecond apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub shard: ShardId,
    pub first_offset: Offset,
    pub first_timestamp: Timestamp,
    pub record_count: u32,
    /// Half the width of the leader's clock interval when the batch was stamped.
    pub uncertainty_ns: u64,
    pub term: Term,
    /// The checksum of the header of the frame that holds the batch: the frame's name, the same on every replica. `None`
    /// from a node that does not tell, or that has trimmed the frame.
    pub header_crc: Option<u32>,
    pub durability: Durability,
    /// Where the batch's time on the leader went.
    pub wait: StageTimes,
}

impl Receipt {
    /// The timestamp of its last record.
    pub fn last_timestamp(&self) -> Timestamp {
        self.first_timestamp.plus_ns(u64::from(self.record_count.saturating_sub(1)))
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Applied(Receipt),
    /// It is not in the shard and never will be.
    NotApplied,
    /// Too much came after it: whether it was applied cannot be told any more.
    Forgotten,
    /// It is not in the shard now; an attempt may still be under way.
    Open,
}

/// How long a batch spent in each stage on its leader. Zero throughout for a duplicate's receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// From arrival at the node to its stamp.
    pub queue: Duration,
    /// From the stamp to the leader's own sync.
    pub sync: Duration,
    /// From the stamp to commitment by a quorum.
    pub replication: Duration,
    /// From commitment to release: what the clock's uncertainty cost on top.
    pub commit_wait: Duration,
}
