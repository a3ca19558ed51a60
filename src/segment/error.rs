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
    #[error("segment {file} has {found} bytes, it was made with {expected}; nothing was changed: restore it, or repair this replica from a peer", file = file.display())]
    Size { file: PathBuf, expected: u64, found: u64 },
    #[error("{file} was prepared blank and is not blank any more; stop the node and take the file away", file = file.display())]
    NotBlank { file: PathBuf },
    #[error("{file} is no segment of this format: {reason}; nothing was changed: take it away if it does not belong here, or use a version of timberline that reads it", file = file.display())]
    Foreign { file: PathBuf, reason: codec::Error },
    #[error("segment {file} does not go on from the segment before it: its {field} is {found}, {expected} was due; a segment is missing or in another's place, nothing was changed: restore it, or repair this replica from a peer", file = file.display())]
    Gap { file: PathBuf, field: &'static str, expected: u64, found: u64 },
    #[error("frame {index} in {file} at byte {at_byte} is damaged: {reason}; it is refetched from a peer", file = file.display())]
    Damaged { file: PathBuf, at_byte: u64, index: Index, reason: FrameFault },
    #[error("frame {index} in {file} at byte {at_byte} is whole, but not of this format: {reason}; nothing was changed: use a version of timberline that reads it", file = file.display())]
    Unreadable { file: PathBuf, at_byte: u64, index: Index, reason: codec::Error },
    #[error("frame {index} in {file} at byte {at_byte} has rotted: {reason}; frame {witness} at byte {witness_at_byte} says that {committed} was committed; it is refetched from a peer", file = file.display())]
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
