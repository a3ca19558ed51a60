//! The topic that holds all groups: its name, how it has to be made, and which of its shards has which group.

use crate::node::metadata::{Topic, TopicPlan};
use crate::routing::Router;
use crate::types::{Durability, GroupName, Retention, ShardId};

/// The topic of groups.
pub(crate) const GROUPS_TOPIC: &str = "timberline.groups";

/// Refuses to make the topic of groups so that it would forget some. Any other topic passes.
pub(crate) fn check_shape(plan: &TopicPlan, kept_bytes: u64) -> Result<(), String> {
    let retention = Retention { age: None, bytes: Some(kept_bytes) };
    let is_right =
        plan.split_at.is_none() && plan.durability == Durability::Disk && plan.retention == retention;
    if plan.name.as_str() != GROUPS_TOPIC || is_right {
        return Ok(());
    }
    Err(format!(
        "{GROUPS_TOPIC} holds the consumer groups, and is made with the first of them: by hash, on disk, keeping \
         {kept_bytes} bytes; choose another name"
    ))
}

/// The shard that has a group.
pub(crate) fn shard_of(topic: &Topic, group: &GroupName) -> Option<ShardId> {
    let starts = topic.shards.iter().map(|shard| (shard.hash_start, shard.id));
    Router::from_hash_starts(starts).ok().map(|router| router.shard_of(group.as_str().as_bytes()))
}
