//! The topic of groups on this node: each hosted shard is folded as it is released; its leader looks after the members.
//!
//! The coordinator of a group is the leader of its shard. The log decides and the fold answers: whatever changes is
//! appended, and what became of it is read from the fold behind it. Who no longer leads cannot append, so cannot decide.
//! Knows nothing of requests and of words for clients. Invariants: the topic's shape is fixed, so that no trim takes a
//! group's last whole record; what is decided of members, `group` decides.

mod follower;
mod hosted;
mod records;
mod shape;

pub(crate) use follower::run;
pub(crate) use hosted::{Coordinators, Hosted};
pub(crate) use records::encoded;
pub(crate) use shape::{GROUPS_TOPIC, check_shape, shard_of};
