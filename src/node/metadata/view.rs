//! The fold: committed system records to topics, shards and nodes.
//!
//! A record is checked against the view before it changes anything. One that names a taken name or not
//! the next free ids was planned on an older view: it is ignored by every node alike, and its planner,
//! who sees the outcome in the view, plans again or reports the conflict.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::types::{
    Durability, Index, NodeId, Offset, ReplicaId, Retention, ShardId, Timestamp, TopicId, TopicName,
};
use crate::wire::{CreateShard, CreateTopic, DeleteTopic, RegisterNode, SystemChange, SystemRecord};

/// The first replica id that is handed out. Those below are the system shard's, which are node ids.
pub(crate) const FIRST_REPLICA: u64 = 1 << 16;

/// One replica of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) node: NodeId,
    pub(crate) replica: ReplicaId,
}

/// One shard of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) hash_start: u64,
    pub(crate) key_start: Bytes,
    /// The preferred leader first.
    pub(crate) replicas: Vec<Replica>,
}

impl Shard {
    pub(crate) fn is_on(&self, node: NodeId) -> bool {
        self.replicas.iter().any(|replica| replica.node == node)
    }
}

/// A topic, its shards in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) name: TopicName,
    pub(crate) range_partitioned: bool,
    pub(crate) durability: Durability,
    pub(crate) retention: Retention,
    pub(crate) shards: Vec<Shard>,
    /// The timestamp of the record that created it: unique among all records of the system topic.
    pub(crate) created: Timestamp,
}

/// What a record did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Folded {
    TopicCreated(Arc<Topic>),
    TopicDeleted(Arc<Topic>),
    NodeRegistered(NodeId),
    Ignored(Ignored),
}

/// Why a record changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ignored {
    #[error("a topic of that name exists")]
    NameTaken,
    #[error("it was planned on an older view: {what} {found} is not the next one, {expected}")]
    OutOfStep { what: &'static str, found: u64, expected: u64 },
    #[error("topic {0} does not exist")]
    UnknownTopic(TopicId),
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
}

/// Everything folded so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    folded: Index,
    next_offset: Offset,
    next_topic: u64,
    next_shard: u64,
    next_replica: u64,
    topics: BTreeMap<TopicId, Arc<Topic>>,
    names: BTreeMap<TopicName, TopicId>,
    shards: BTreeMap<ShardId, TopicId>,
    nodes: BTreeMap<NodeId, String>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            folded: Index(0),
            next_offset: Offset(0),
            next_topic: 1,
            next_shard: 1,
            next_replica: FIRST_REPLICA,
            topics: BTreeMap::new(),
            names: BTreeMap::new(),
            shards: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }
}

impl View {
    /// The offset of the first system record that is not folded in.
    pub(crate) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Marks the frame at `index` as folded; frames come in order, each once.
    pub(crate) fn advance(&mut self, index: Index, next_offset: Offset) {
        assert!(index > self.folded, "system frames are folded in order: {index} after {}", self.folded);
        (self.folded, self.next_offset) = (index, next_offset);
    }

    /// Folds one record's value, stamped at `stamped`.
    pub(crate) fn fold(&mut self, value: &[u8], stamped: Timestamp) -> Folded {
        let change = match SystemRecord::decoded(value) {
            Some(SystemRecord { change: Some(change) }) => change,
            Some(SystemRecord { change: None }) => {
                return Folded::Ignored(Ignored::Malformed("a change that this build does not know"));
            }
            None => return Folded::Ignored(Ignored::Malformed("not a system record")),
        };
        let folded = match change {
            SystemChange::CreateTopic(create) => self.create_topic(create, stamped),
            SystemChange::DeleteTopic(delete) => self.delete_topic(&delete),
            SystemChange::RegisterNode(register) => self.register_node(register),
        };
        folded.unwrap_or_else(Folded::Ignored)
    }

    fn create_topic(&mut self, create: CreateTopic, stamped: Timestamp) -> Result<Folded, Ignored> {
        let name: TopicName =
            create.name.parse().map_err(|_| Ignored::Malformed("the topic's name is not valid"))?;
        if self.names.contains_key(&name) {
            return Err(Ignored::NameTaken);
        }
        expect_next("topic", create.topic, self.next_topic)?;
        let durability = match create.durability {
            0 => Durability::Disk,
            1 => Durability::Memory,
            _ => return Err(Ignored::Malformed("a durability that this build does not know")),
        };
        let retention = Retention::from_numbers(create.retention_ns, create.retention_bytes)
            .map_err(|_| Ignored::Malformed("a retention out of range"))?;
        if create.shards.is_empty() {
            return Err(Ignored::Malformed("a topic without shards"));
        }
        let (mut next_shard, mut next_replica) = (self.next_shard, self.next_replica);
        let mut shards = Vec::with_capacity(create.shards.len());
        for shard in create.shards {
            expect_next("shard", shard.shard, next_shard)?;
            next_shard += 1;
            shards.push(check_shard(shard, &mut next_replica)?);
        }
        let id = TopicId(create.topic);
        let topic = Topic {
            id,
            name: name.clone(),
            range_partitioned: create.range_partitioned,
            durability,
            retention,
            shards,
            created: stamped,
        };
        (self.next_topic, self.next_shard, self.next_replica) = (create.topic + 1, next_shard, next_replica);
        self.shards.extend(topic.shards.iter().map(|shard| (shard.id, id)));
        self.names.insert(name, id);
        let topic = Arc::new(topic);
        self.topics.insert(id, Arc::clone(&topic));
        Ok(Folded::TopicCreated(topic))
    }

    fn delete_topic(&mut self, delete: &DeleteTopic) -> Result<Folded, Ignored> {
        let id = TopicId(delete.topic);
        let topic = self.topics.remove(&id).ok_or(Ignored::UnknownTopic(id))?;
        self.names.remove(&topic.name);
        for shard in &topic.shards {
            self.shards.remove(&shard.id);
        }
        Ok(Folded::TopicDeleted(topic))
    }

    fn register_node(&mut self, register: RegisterNode) -> Result<Folded, Ignored> {
        if register.node == 0 || register.node >= FIRST_REPLICA {
            return Err(Ignored::Malformed("a node id out of range"));
        }
        let node = NodeId(register.node);
        self.nodes.insert(node, register.address);
        Ok(Folded::NodeRegistered(node))
    }

    pub(crate) fn next_topic(&self) -> u64 {
        self.next_topic
    }

    pub(crate) fn next_shard(&self) -> u64 {
        self.next_shard
    }

    pub(crate) fn next_replica(&self) -> u64 {
        self.next_replica
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    pub(crate) fn topic_named(&self, name: &TopicName) -> Option<&Arc<Topic>> {
        self.names.get(name).map(|id| &self.topics[id])
    }

    /// The topic of a shard.
    pub(crate) fn topic_of(&self, id: ShardId) -> Option<&Arc<Topic>> {
        self.shards.get(&id).map(|topic| &self.topics[topic])
    }

    /// A shard and its topic. The system shard is in no view.
    pub(crate) fn shard(&self, id: ShardId) -> Option<(&Arc<Topic>, &Shard)> {
        let topic = self.topic_of(id)?;
        topic.shards.iter().find(|shard| shard.id == id).map(|shard| (topic, shard))
    }

    /// The address under which a node registered last.
    pub(crate) fn address(&self, node: NodeId) -> Option<&str> {
        self.nodes.get(&node).map(String::as_str)
    }
}

fn expect_next(what: &'static str, found: u64, expected: u64) -> Result<(), Ignored> {
    if found == expected { Ok(()) } else { Err(Ignored::OutOfStep { what, found, expected }) }
}

fn check_shard(shard: CreateShard, next_replica: &mut u64) -> Result<Shard, Ignored> {
    if shard.replicas.is_empty() {
        return Err(Ignored::Malformed("a shard without replicas"));
    }
    let mut replicas: Vec<Replica> = Vec::with_capacity(shard.replicas.len());
    for placed in shard.replicas {
        expect_next("replica", placed.replica, *next_replica)?;
        *next_replica += 1;
        let node = NodeId(placed.node);
        if replicas.iter().any(|other| other.node == node) {
            return Err(Ignored::Malformed("two replicas of a shard on one node"));
        }
        replicas.push(Replica { node, replica: ReplicaId(placed.replica) });
    }
    let (id, hash_start, key_start) = (ShardId(shard.shard), shard.hash_start, shard.key_start);
    Ok(Shard { id, hash_start, key_start, replicas })
}
