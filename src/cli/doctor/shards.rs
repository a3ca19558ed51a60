//! Whether every shard of every topic has a leader.

use super::check::Check;
use crate::client::Topic;

pub(super) fn checks(topics: &[Topic]) -> Vec<Check> {
    if topics.is_empty() {
        return vec![Check::ok("topics", "there are none yet")];
    }
    topics.iter().map(check).collect()
}

fn check(topic: &Topic) -> Check {
    let check = format!("topic {}", topic.name);
    let leaderless = topic.shards.iter().filter(|shard| shard.leader.is_none());
    let leaderless: Vec<String> = leaderless.map(|shard| shard.shard.to_string()).collect();
    if leaderless.is_empty() {
        return Check::ok(check, format!("each of its {} shards has a leader", topic.shards.len()));
    }
    let reason = format!("no leader is known of shards {}: they take no appends", leaderless.join(", "));
    Check::failure(check, reason, format!("timberline shard list {}", topic.name))
}
