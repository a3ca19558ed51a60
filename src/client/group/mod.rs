//! Consumer groups: several consumers share topics' shards, and go on where one of them left off.
//!
//! Knows nothing of how shards are given to members; a node tells what this one holds. Invariants: nothing is handed out but
//! under a standing that the coordinator confirmed within the session timeout; a commit speaks of what was handed out before
//! it, and of shards that were held in the generation that it names; what others wait for is yielded behind a commit of all
//! that was read of it.

mod coordinator;
mod describe;
mod member;
mod options;
mod reader;
mod standing;

pub use describe::{GroupInfo, GroupMember, GroupPlace, GroupSummary, Lag};
pub(super) use describe::{delete, describe, list, reset};
pub use options::{GroupOptions, GroupStart};
pub use reader::GroupConsumer;
