//! Whether every shard of every topic has a leader.

use super::finding::Finding;
use crate::client::Topic;

pub(super) fn checks(topics: &[Topic]) -> Vec<Finding> {
    if topics.is_empty() {
        return vec![Finding::ok("topics", "there are none yet")];
    }
    topics.iter().map(check).collect()
}

fn check(topic: &Topic) -> Finding {
    let check = format!("topic {}", topic.name);
    let leaderless = topic.shards.iter().filter(|shard| shard.leader.is_none());
    let leaderless: Vec<String> = leaderless.map(|shard| shard.shard.to_string()).collect();
    if leaderless.is_empty() {
        return Finding::ok(check, format!("each of its {} shards has a leader", topic.shards.len()));
    }
    let reason = format!("no leader is known of shards {}: they take no appends", leaderless.join(", "));
    Finding::failure(check, reason, format!("timberline shard list {}", topic.name))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;
    use crate::client::ShardInfo;
    use crate::routing::{Partition, Router};
    use crate::types::{Durability, NodeId, Retention, ShardId, Term, Timestamp, TopicId};

    #[test]
    fn a_shard_without_a_leader_is_named() {
        let shard = |shard: u64, leader: Option<u64>| ShardInfo {
            shard: ShardId(shard),
            partition: Partition::Hash(0),
            replicas: Vec::new(),
            leader: leader.map(NodeId),
            term: Term(1),
        };
        let topic = |leaders: [Option<u64>; 2]| Topic {
            id: TopicId(1),
            name: "flights".parse().unwrap(),
            router: Router::from_hash_starts([(0, ShardId(7)), (9, ShardId(8))]).unwrap(),
            shards: vec![shard(7, leaders[0]), shard(8, leaders[1])],
            durability: Durability::Disk,
            retention: Retention::default(),
            created: Timestamp(1),
        };
        let checks = checks(&[topic([Some(1), Some(2)]), topic([Some(1), None])]);
        assert_eq!((checks[0].result, checks[1].result), (Outcome::Ok, Outcome::Failure));
        assert!(checks[1].reason.contains("shards 8:"), "{checks:?}");
    }
}
