//! What is wrong with a log, where, and what to do.

use std::path::PathBuf;

use crate::disk;
use crate::segment::{self, FrameFault};
use crate::types::Index;

/// A log that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Disk(#[from] disk::Error),
    #[error(transparent)]
    Segment(#[from] segment::Error),
    #[error("{folder} holds no log; create it, or check the data folder's path", folder = folder.display())]
    Absent { folder: PathBuf },
    #[error("{folder} holds a log already; a used folder is never begun anew", folder = folder.display())]
    Exists { folder: PathBuf },
    #[error("{folder} holds a vote but no segment: its log is lost; add this replica again under a new replica id", folder = folder.display())]
    SegmentsLost { folder: PathBuf },
    #[error("the log in {folder} begins at entry {first}, but was trimmed only up to {start}: its oldest segments are missing; bring them back, or add this replica again under a new replica id", folder = folder.display())]
    BeginningLost { folder: PathBuf, first: Index, start: Index },
    #[error("the creation of the log in {folder} was cut short; create it again", folder = folder.display())]
    Unfinished { folder: PathBuf },
    #[error("{file} holds no readable vote: this replica may have forgotten whom it voted for; add it again under a new replica id", file = file.display())]
    VoteDamaged { file: PathBuf },
    #[error("{file} holds a vote of format version {found}, this build reads version 1; nothing was changed: use a version of timberline that reads it", file = file.display())]
    VoteVersion { file: PathBuf, found: u16 },
    #[error("{file} holds the vote of {found}, this log is {expected}; nothing was changed: put the folder back where it belongs", file = file.display())]
    VoteIdentity { file: PathBuf, expected: String, found: String },
    #[error("frame {index} does not follow the log: {fault}")]
    NotNext { index: Index, fault: FrameFault },
    #[error("entry {index} lies before the log's first")]
    Compacted { index: Index },
    #[error("entry {index} lies after the log's last, {last}")]
    Unavailable { index: Index, last: Index },
    #[error("an earlier write to {folder} failed; the log takes no more until it is opened again", folder = folder.display())]
    Failed { folder: PathBuf },
}

impl Error {
    /// The disk is full: nothing is broken, and the same append may be tried again.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk(disk::Error::NoSpace { .. }))
    }
}
