//! What the cluster consists of: topics, their shards and where those are, nodes. A fold over the system topic.
//!
//! Knows nothing of how records are replicated, and reads no clock. Invariants: `View` is a pure function of the committed
//! records, so all nodes come to the same one; ids of topics, shards and replicas rise and are never
//! reused; a record that does not fit the view changes nothing.

mod plan;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use plan::{PlanError, TopicPlan};
pub(crate) use view::{FIRST_REPLICA, Folded, Shard, Topic, View};
