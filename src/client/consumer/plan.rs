//! What is read, and how: all that opening the streams anew takes, wherever they are to begin.
//!
//! Knows nothing of places in time. Invariants: no shard is read twice; there is at least one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ConsumerOptions, Cursor, Order};
use crate::client::core::Core;
use crate::client::error::Error;
use crate::client::topic::ShardInfo;
use crate::types::{NodeId, ShardId, TopicName};

pub(super) struct Plan {
    pub(super) core: Arc<Core>,
    /// The shards that are read.
    pub(super) shards: Vec<ShardId>,
    /// Where the replicas of these are.
    pub(super) places: Vec<ShardInfo>,
    /// Every shard of the topics, read or not.
    topics: BTreeMap<ShardId, Arc<TopicName>>,
    pub(super) options: ConsumerOptions,
    /// The nodes with replicas of the topics.
    pub(super) nodes: BTreeSet<NodeId>,
}

impl Plan {
    /// Asks for the topics and finds out which of their shards are to be read.
    pub(super) async fn of(
        core: Arc<Core>,
        names: Vec<TopicName>,
        options: ConsumerOptions,
    ) -> Result<Self, Error> {
        let (mut shards, mut topics, mut nodes) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        let mut places: Vec<ShardInfo> = Vec::new();
        for name in &names {
            let (topic, name) = (core.topic(name).await?, Arc::new(name.clone()));
            shards.extend(match &options.keys {
                Some(keys) => topic.router.shards_with(keys),
                None => topic.router.shards().to_vec(),
            });
            places.extend(topic.shards.iter().cloned());
            let replicas = topic.shards.iter().flat_map(|shard| &shard.replicas);
            nodes.extend(replicas.map(|replica| replica.node));
            for shard in topic.router.shards() {
                if topics.insert(*shard, Arc::clone(&name)).is_some() {
                    let rule = "name each topic once";
                    return Err(Error::Option { option: "topics", found: name.to_string(), rule });
                }
            }
        }
        if let Order::Shard(shard) = options.order {
            if !topics.contains_key(&shard) {
                let topic = names.iter().map(TopicName::to_string).collect::<Vec<_>>().join(", ");
                return Err(Error::UnknownShard { topic, shard });
            }
            shards = vec![shard];
        }
        if shards.is_empty() {
            let rule = "name at least one topic";
            return Err(Error::Option { option: "topics", found: "none".to_owned(), rule });
        }
        places.retain(|place| shards.contains(&place.shard));
        Ok(Self { core, shards, places, topics, options, nodes })
    }

    /// Only these shards of the topics.
    pub(super) fn of_shards(mut self, shards: Vec<ShardId>) -> Result<Self, Error> {
        if let Some(shard) = shards.iter().find(|shard| !self.topics.contains_key(shard)) {
            let names: BTreeSet<_> = self.topics.values().map(|topic| topic.as_str()).collect();
            let topic = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownShard { topic, shard: *shard });
        }
        self.places.retain(|place| shards.contains(&place.shard));
        self.shards = shards;
        Ok(self)
    }

    /// Refuses a cursor that was taken from other topics: it would skip or repeat without a word.
    pub(super) fn check(&self, cursor: Cursor) -> Result<(), Error> {
        let Cursor { timestamp, shard } = cursor;
        if cursor == Cursor::after(timestamp) || self.topics.contains_key(&shard) {
            return Ok(());
        }
        Err(Error::ForeignCursor { shard, timestamp })
    }

    /// The topic that a shard belongs to, if it is one of those read.
    pub(super) fn topic_of(&self, shard: ShardId) -> Option<&Arc<TopicName>> {
        self.topics.get(&shard)
    }
}
