//! From a user's wish for a topic to the record that creates it: ids, key ranges, placement.
//!
//! Pure: the same wish on the same view makes the same record. The view checks the record again when it is
//! folded, for others may have planned meanwhile.

use bytes::Bytes;

use super::{Topic, View};
use crate::routing::{PlacementError, hash_start, place};
use crate::types::{Durability, NodeId, Retention, ShardId, TopicName};
use crate::wire::{CreateShard, CreateTopic, DeleteTopic, PlaceReplica, SystemChange, SystemRecord};

/// The most shards one topic may be created with: its creation record must fit well into one frame.
pub(crate) const TOPIC_SHARDS_MAX: u32 = 4096;

/// A topic as wished for.
#[derive(Clone, Debug)]
pub(crate) struct TopicPlan {
    pub(crate) name: TopicName,
    pub(crate) shards: u32,
    /// 0 asks for three, or for as many as there are nodes.
    pub(crate) replicas: u32,
    /// Range partitioning at these keys; `None` partitions by hash.
    pub(crate) split_at: Option<Vec<Bytes>>,
    pub(crate) durability: Durability,
    pub(crate) retention: Retention,
}

/// A wish that cannot be granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("topic {0} exists already; choose another name, or delete it first")]
    Exists(TopicName),
    #[error("a topic has 1 to {TOPIC_SHARDS_MAX} shards, not {0}")]
    ShardCount(u32),
    #[error(
        "{splits} split keys make {would_be} shards, and {shards} were asked for: give one key less than shards"
    )]
    SplitCount { splits: usize, would_be: usize, shards: u32 },
    #[error("split key {at} is not above the one before it: give non-empty keys in rising byte order")]
    SplitOrder { at: usize },
    #[error("cannot place topic {topic}: {source}")]
    Placement { topic: TopicName, source: PlacementError },
}

impl TopicPlan {
    /// The record that creates this topic on top of `view`, spread over `nodes`.
    pub(crate) fn record(&self, view: &View, nodes: &[NodeId]) -> Result<SystemRecord, PlanError> {
        if view.topic_named(&self.name).is_some() {
            return Err(PlanError::Exists(self.name.clone()));
        }
        if self.shards == 0 || self.shards > TOPIC_SHARDS_MAX {
            return Err(PlanError::ShardCount(self.shards));
        }
        self.check_splits()?;
        let replicas = if self.replicas == 0 { nodes.len().min(3) } else { self.replicas as usize };
        let mut next_replica = view.next_replica();
        let shards = (0..self.shards)
            .map(|place_in_topic| {
                let shard = ShardId(view.next_shard() + u64::from(place_in_topic));
                let placed = place(nodes, shard, replicas)
                    .map_err(|source| PlanError::Placement { topic: self.name.clone(), source })?;
                let replicas = number(&placed, &mut next_replica);
                Ok(self.shard(place_in_topic, shard, replicas))
            })
            .collect::<Result<Vec<_>, PlanError>>()?;
        let (retention_ns, retention_bytes) = self.retention.numbers();
        Ok(SystemRecord::new(SystemChange::CreateTopic(CreateTopic {
            topic: view.next_topic(),
            name: self.name.as_str().to_owned(),
            range_partitioned: self.split_at.is_some(),
            durability: u32::from(self.durability == Durability::Memory),
            shards,
            retention_ns,
            retention_bytes,
        })))
    }

    fn shard(&self, place_in_topic: u32, shard: ShardId, replicas: Vec<PlaceReplica>) -> CreateShard {
        let (hash_start, key_start) = match &self.split_at {
            None => (hash_start(place_in_topic, self.shards), Bytes::new()),
            Some(_) if place_in_topic == 0 => (0, Bytes::new()),
            Some(splits) => (0, splits[place_in_topic as usize - 1].clone()),
        };
        CreateShard { shard: shard.0, hash_start, key_start, replicas }
    }

    fn check_splits(&self) -> Result<(), PlanError> {
        let Some(splits) = &self.split_at else { return Ok(()) };
        let would_be = splits.len() + 1;
        if would_be != self.shards as usize {
            return Err(PlanError::SplitCount { splits: splits.len(), would_be, shards: self.shards });
        }
        let mut before = &Bytes::new();
        for (at, split) in splits.iter().enumerate() {
            if split <= before {
                return Err(PlanError::SplitOrder { at });
            }
            before = split;
        }
        Ok(())
    }
}

fn number(nodes: &[NodeId], next_replica: &mut u64) -> Vec<PlaceReplica> {
    let first = *next_replica;
    *next_replica += nodes.len() as u64;
    (first..).zip(nodes).map(|(replica, node)| PlaceReplica { node: node.0, replica }).collect()
}

impl Topic {
    /// The record that deletes this topic.
    pub(crate) fn deletion(&self) -> SystemRecord {
        SystemRecord::new(SystemChange::DeleteTopic(DeleteTopic { topic: self.id.0 }))
    }
}
