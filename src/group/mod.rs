//! Consumer groups: which member reads which shard, from where on, and whose commits count. A fold of records.
//!
//! Knows nothing of logs, of time that passes or of how members are heard: whoever appends the records decides when a member
//! is dead. What a record does is decided by the records before it and nothing else, so every replica of a log comes to the
//! same groups, and an answer is what the fold did. Invariants: a shard has one owner at most; what members are to have
//! differs by one shard at most; a commit counts for what its member owned since the generation it names, so none of a
//! member that has left, or from before it was given the shard, moves anything; a position falls by a reset alone.

mod assign;
mod groups;
mod membership;
mod record;
#[cfg(test)]
mod tests;

pub use groups::Groups;
pub use membership::{Group, MEMBERS_MAX, Member, Place, SHARDS_MAX, TOPICS_MAX, Wanted};
pub use record::{Change, Commit, GroupRecord, Joining};
