//! What a producer asks of an append beside taking its records.

use std::fmt;

use bytes::Bytes;

use super::{Offset, Timestamp};

/// The terms of one append. By default: not idempotent, unconditional, answered once every later append
/// anywhere is sure to carry a higher timestamp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendTerms {
    /// The lowest sequence the producer still waits for in this shard: it will never send a lower one
    /// again. A shard that does not know the producer starts here.
    pub lowest_open: u64,
    /// A timestamp that the producer had seen released in this shard before it first sent the batch, so that the
    /// batch, wherever it stands in the shard's log, stands above (`codec::DedupTable`). Zero: none yet.
    pub floor: Timestamp,
    pub wait: Wait,
    /// The append must carry a higher timestamp than this. Zero: nothing asked.
    pub after: Timestamp,
    pub condition: Option<Condition>,
}

/// What an append's answer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Until the batch is committed and its timestamps are past on every right clock.
    #[default]
    Exposed,
    /// Until the batch is committed.
    Committed,
}

/// What refuted a condition, as far as everybody may know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The next record gets this offset, or a later one by now.
    NextOffset(Offset),
    /// The key changed up to this timestamp, or the shard's leader cannot tell whether it did: read the key again, as of this
    /// timestamp or later.
    KeyChanged(Timestamp),
}

/// What must hold of the shard for an append to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The batch's first record gets this offset.
    NextOffset(Offset),
    /// No record with this key stands in the shard above this timestamp.
    KeyUnchangedSince { key: Bytes, as_of: Timestamp },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NextOffset(offset) => write!(f, "the next offset is {offset}"),
            Self::KeyChanged(timestamp) => {
                write!(f, "the key changed, or may have changed, up to {timestamp}; read it again as of then")
            }
        }
    }
}
