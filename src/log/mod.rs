//! One shard's log: its segments in order, and its vote.
//!
//! Knows nothing of Raft's rules, of clocks, or of who may read what: callers say what is committed. All
//! files of a log stand in one folder: `vote`, and segments numbered in order of creation, the last one
//! active, the others sealed.
//!
//! Invariants: what `append` took is readable at once and durable once the files of `take_dirty` are
//! synced; a segment is sealed only when all of it is synced; nothing is cut that may have been answered; readers
//! see nothing of a trimmed segment, whose file goes later.

mod append;
mod error;
mod file_task;
pub mod names;
mod open;
mod open_files;
mod read;
mod repair;
mod synced_mark;
mod trim;
mod vote;

#[cfg(test)]
mod tests;

pub use append::{Log, LogOptions, SegmentPlan};
pub use error::Error;
pub use file_task::{FileTask, ScrubStep, Scrubbed, TaskResult};
pub use open::{Opening, Recovery};
pub use open_files::OpenFiles;
pub use repair::RepairPlan;
pub use synced_mark::SyncedMark;
pub use vote::{VOTE_FILE_BYTES, VOTE_SLOT_BYTES, VOTES_BYTES, VoteSlot};

pub use crate::segment::{CutTail, Salvage, SegmentIdentity as LogIdentity, Share};
