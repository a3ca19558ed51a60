//! What stops a shard, and why a message was refused.

use crate::codec;
use crate::consensus::{self, ReadError};
use crate::types::{Index, ReplicaId};

/// A failure after which this replica does nothing more until it is opened again: going on could serve or
/// replicate damage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the log cannot be read: {0}")]
    Log(#[from] ReadError),
    #[error("replication failed: {reason}")]
    Consensus { reason: String },
    #[error("entry {index} holds no frame: {reason}")]
    Frame { index: Index, reason: codec::Error },
    #[error("entry {index} does not follow the entry before it: its {field} is {found}, expected {expected}")]
    Broken { index: Index, field: &'static str, expected: u64, found: u64 },
    #[error("its log cannot be written: {reason}")]
    Unwritable { reason: String },
    #[error("the manifest at entry {index} holds no state of a shard: {reason}")]
    Manifest { index: Index, reason: codec::Error },
}

impl From<consensus::Error> for Error {
    fn from(error: consensus::Error) -> Self {
        Self::Consensus { reason: error.to_string() }
    }
}

/// Why a peer's message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepRefusal {
    #[error("the message is for replica {to}, this is {replica}")]
    WrongReplica { to: ReplicaId, replica: ReplicaId },
    #[error("entry {index} of the message is not what its sender proved: {reason}")]
    Unproven { index: Index, reason: codec::Error },
    #[error("entry {index} of the message disagrees with its frame: {field} is {found}, expected {expected}")]
    Disagrees { index: Index, field: &'static str, expected: u64, found: u64 },
    #[error("the manifest at entry {index} holds no state of a shard: {reason}")]
    Manifest { index: Index, reason: codec::Error },
    #[error("replication refused the message: {reason}")]
    Consensus { reason: String },
    #[error("the shard has stopped: {reason}")]
    Stopped { reason: String },
}
