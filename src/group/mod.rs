//! Consumer groups: which member reads which shard, from where on, and whose commits count. A fold of records.
//!
//! Beside the fold stand a coordinator's rules: what it appends for what a member says, and whom it gives up (`liveness`, by
//! one node's monotonic clock, which no fold ever sees). Knows nothing of logs and of how words travel. What a record does is decided by the records before it and nothing else, so every replica of a log comes to the
//! same groups, and an answer is what the fold did. Invariants: a shard has one owner at most; what members are to have
//! differs by one shard at most; a commit counts for what its member owned since the generation it names, so none of a
//! member that has left, or from before it was given the shard, moves anything; a position falls by a reset alone.

mod assign;
mod coordinator;
mod groups;
mod liveness;
mod membership;
mod record;
#[cfg(test)]
mod tests;

pub use coordinator::{Beat, Heard, Standing};
pub use groups::Groups;
pub use liveness::{Keeping, Liveness};
pub use membership::{Group, MEMBERS_MAX, Member, Place, SHARDS_MAX, TOPICS_MAX, Wanted};
pub use record::{Change, Commit, GroupRecord, Joining};
