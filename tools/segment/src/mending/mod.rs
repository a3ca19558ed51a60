//! Repair: a whole copy of a damaged replica's folder, from its own good pieces and its peers'.
//!
//! `plan` decides, file by file, what goes where and from where; `head` rebuilds a head; `peers` finds frames; `write`
//! makes the folder. Invariants: nothing is written before every piece of every shard is found; every frame follows the
//! one before and is proved by both its CRCs; a vote is never made up; no input file is written to.

mod head;
mod peers;
mod plan;
mod write;

pub use plan::{Plan, Source, Taken};
pub use write::write;
