//! A topic as clients know it: its shards, what each owns, who replicates and leads it.

use std::collections::HashMap;

use crate::routing::{Partition, Router};
use crate::types::{Durability, NodeId, ReplicaId, Retention, ShardId, Term, Timestamp, TopicId, TopicName};
use crate::wire::{ShardBody, TopicBody};

use super::Error;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: TopicId,
    pub name: TopicName,
    /// Key to shard.
    pub router: Router,
    /// In key order.
    pub shards: Vec<ShardInfo>,
    pub durability: Durability,
    pub retention: Retention,
    /// Timestamp of the record that created it.
    pub created: Timestamp,
}

/// One shard of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    pub shard: ShardId,
    /// Where its part of the key space begins.
    pub partition: Partition,
    pub replicas: Vec<ReplicaInfo>,
    /// The leader, as far as the answering node knew.
    pub leader: Option<NodeId>,
    pub term: Term,
}

/// One replica of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaInfo {
    pub node: NodeId,
    pub replica: ReplicaId,
}

impl Topic {
    /// Reads a description that `node` sent.
    pub(super) fn of(node: NodeId, body: &TopicBody) -> Result<Self, Error> {
        let ids = || body.shards.iter().map(|shard| ShardId(shard.shard));
        let router = if body.range_partitioned {
            Router::from_key_starts(body.shards.iter().map(|shard| shard.key_start.clone()).zip(ids()))
        } else {
            Router::from_hash_starts(body.shards.iter().map(|shard| shard.hash_start).zip(ids()))
        };
        let address = || format!("node {node}");
        let name = body.name.parse().map_err(|error: crate::types::InvalidName| Error::Malformed {
            address: address(),
            what: error.to_string(),
        })?;
        let durability = match body.durability {
            0 => Durability::Disk,
            1 => Durability::Memory,
            other => {
                return Err(Error::Malformed { address: address(), what: format!("durability {other}") });
            }
        };
        let retention = Retention::from_numbers(body.retention_ns, body.retention_bytes)
            .map_err(|problem| Error::Malformed { address: address(), what: problem.to_string() })?;
        Ok(Self {
            id: TopicId(body.id),
            name,
            router: router.map_err(|source| Error::Description { node, source })?,
            shards: body.shards.iter().map(|shard| shard_of(shard, body.range_partitioned)).collect(),
            durability,
            retention,
            created: Timestamp(body.created_ns),
        })
    }

    /// One of its shards.
    pub fn shard(&self, shard: ShardId) -> Option<&ShardInfo> {
        self.shards.iter().find(|info| info.shard == shard)
    }

    /// This description, with the leaders of `older` where those reigned later: a node that lags must not
    /// lead a client back to a leader long gone.
    pub(super) fn with_leaders_of(mut self, older: &Self) -> Self {
        if self.id != older.id {
            return self;
        }
        let known: HashMap<ShardId, &ShardInfo> =
            older.shards.iter().map(|info| (info.shard, info)).collect();
        for info in &mut self.shards {
            if let Some(known) = known.get(&info.shard).filter(|known| known.term > info.term) {
                (info.leader, info.term) = (known.leader, known.term);
            }
        }
        self
    }
}

fn shard_of(body: &ShardBody, range_partitioned: bool) -> ShardInfo {
    let partition = if range_partitioned {
        Partition::Range(body.key_start.clone())
    } else {
        Partition::Hash(body.hash_start)
    };
    let replica = |replica: &crate::wire::ReplicaBody| ReplicaInfo {
        node: NodeId(replica.node),
        replica: ReplicaId(replica.replica),
    };
    ShardInfo {
        shard: ShardId(body.shard),
        partition,
        replicas: body.replicas.iter().map(replica).collect(),
        leader: (body.leader != 0).then_some(NodeId(body.leader)),
        term: Term(body.term),
    }
}
