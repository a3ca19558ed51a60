//! The topic that holds all groups: its name, how it has to be made, and which of its shards has which group.

use crate::node::metadata::{Topic, TopicPlan};
use crate::routing::Router;
use crate::types::{Durability, GroupName, Retention, ShardId};

/// The topic of groups.
pub(crate) const GROUPS_TOPIC: &str = "timberline.groups";
/// Every group is written whole again before so much stands behind its last whole record.
pub(crate) const WHOLE_EVERY_BYTES: u64 = 16 << 20;
/// No group of a shard is changed while one of them was not written whole for so long.
pub(crate) const UNWHOLE_BYTES_MAX: u64 = 32 << 20;
/// What a shard keeps at least: more than the above, however it is cut into segments.
const KEPT_BYTES: u64 = 64 << 20;

/// Refuses to make the topic of groups so that it would forget some. Any other topic passes.
pub(crate) fn check_shape(plan: &TopicPlan) -> Result<(), String> {
    let retention = Retention { age: None, bytes: Some(KEPT_BYTES) };
    let is_right =
        plan.split_at.is_none() && plan.durability == Durability::Disk && plan.retention == retention;
    if plan.name.as_str() != GROUPS_TOPIC || is_right {
        return Ok(());
    }
    Err(format!(
        "{GROUPS_TOPIC} holds the consumer groups, and is made with the first of them: by hash, on disk, keeping {KEPT_BYTES} bytes; \
         choose another name"
    ))
}

/// The shard that has a group.
pub(crate) fn shard_of(topic: &Topic, group: &GroupName) -> Option<ShardId> {
    let starts = topic.shards.iter().map(|shard| (shard.hash_start, shard.id));
    Router::from_hash_starts(starts).ok().map(|router| router.shard_of(group.as_str().as_bytes()))
}
