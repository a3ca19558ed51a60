//! The durable log as Raft reads it.

use super::{LogEntry, Manifest};
use crate::types::{Index, Term};

/// Read access to one shard's own log: what has been handed over for writing, synced or not.
pub trait LogReader {
    /// The first index the log holds; one above the manifest's.
    fn first_index(&self) -> Index;
    /// The last index the log holds; `first_index - 1` if it is empty.
    fn last_index(&self) -> Index;
    /// The term of the entry at `index`, from `first_index - 1` (the manifest's) to `last_index`.
    fn term(&self, index: Index) -> Result<Term, ReadError>;
    /// Entries `from..to`, at least one, then as many as fit in `max_bytes`. Entries that Raft itself made
    /// come back with an empty context.
    fn entries(&self, from: Index, to: Index, max_bytes: u64) -> Result<Vec<LogEntry>, ReadError>;
    /// The state at the log's start.
    fn manifest(&self) -> Manifest;
}

/// The log could not give what Raft asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("entry {index} lies before the log's first")]
    Compacted { index: Index },
    #[error("entry {index} lies after the log's last")]
    Unavailable { index: Index },
    #[error("entry {index} cannot be read: {reason}")]
    Damaged { index: Index, reason: String },
}
