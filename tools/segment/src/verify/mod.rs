//! Every check there is of a shard's files, each with its finding.
//!
//! `frames` walks one segment's frames, `segment` adds its head, its joints and its index, `vote` the vote file, `shard`
//! what concerns the folder as a whole, `run` all of them side by side.

mod frames;
mod run;
mod segment;
mod shard;
mod vote;

pub use frames::Sums;
pub use run::{Verdict, verify};
pub use vote::newest_vote;
