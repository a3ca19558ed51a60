//! What is wrong with a segment, where, and what to do.

use std::path::PathBuf;

use crate::codec;
use crate::disk;
use crate::types::Index;

/// Why bytes are not the next frame of this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    #[error(transparent)]
    Codec(#[from] codec::Error),
    #[error("its {field} is {found}, the frame before it demands {expected}")]
    NotNext { field: &'static str, expected: u64, found: u64 },
}

/// A segment that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Disk(#[from] disk::Error),
    #[error("segment {file} has a damaged head: {reason}; repair this replica from a peer", file = file.display())]
    Head { file: PathBuf, reason: codec::Error },
    #[error("segment {file} belongs elsewhere: its {field} is {found}, this log's is {expected}; nothing was changed: put the folder back where it belongs", file = file.display())]
    Identity { file: PathBuf, field: &'static str, expected: String, found: String },
    #[error("frame {index} in {file} at byte {at_byte} is damaged: {reason}; refetch it from a peer", file = file.display())]
    Damaged { file: PathBuf, at_byte: u64, index: Index, reason: FrameFault },
    #[error("frame {index} in {file} at byte {at_byte} has rotted: {reason}; frame {witness} at byte {witness_at_byte} says that {committed} was committed; refetch it from a peer", file = file.display())]
    Rot {
        file: PathBuf,
        at_byte: u64,
        index: Index,
        reason: FrameFault,
        witness: Index,
        witness_at_byte: u64,
        committed: Index,
    },
}
