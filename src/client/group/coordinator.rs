//! The way to a group's coordinator: the leader of its shard of the topic of groups, wherever that is by now.
//!
//! Invariant: whatever is asked may be asked twice, so a question goes on to the next node when an answer fails to come.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::client::backoff::Backoff;
use crate::client::core::Core;
use crate::client::error::Error;
use crate::client::topic::Topic;
use crate::types::{Durability, GroupName, NodeId, Retention, ShardId, TopicName};
use crate::wire::{CreateTopicBody, ErrorCode, RequestBody, ResponseBody};

/// The topic of groups, as nodes demand it.
const GROUPS_TOPIC: &str = "timberline.groups";
const SHARDS: u32 = 8;
const KEPT_BYTES: u64 = 64 << 20;
/// A node that does not answer for so long is passed over: less than members are given.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(400);

/// Asks about groups of one shard.
pub(super) struct Coordinator {
    core: Arc<Core>,
    topic: TopicName,
    whose: Whose,
    /// Who answered last.
    leader: Mutex<Option<NodeId>>,
}

/// The coordinator of what.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    Group(GroupName),
    Shard(ShardId),
}

/// The topic of groups, if there is one.
pub(super) async fn groups_topic(core: &Core) -> Result<Option<Arc<Topic>>, Error> {
    match core.topic(&GROUPS_TOPIC.parse().expect("a good name")).await {
        Ok(topic) => Ok(Some(topic)),
        Err(error) if error.code() == Some(ErrorCode::UnknownTopic) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the topic of groups unless there is one.
pub(super) async fn ensure_groups_topic(core: &Core) -> Result<(), Error> {
    if groups_topic(core).await?.is_some() {
        return Ok(());
    }
    let retention = Retention { age: None, bytes: Some(KEPT_BYTES) };
    let (retention_ns, retention_bytes) = retention.numbers();
    let body = CreateTopicBody {
        name: GROUPS_TOPIC.to_owned(),
        shards: SHARDS,
        replicas: 0,
        retention_ns,
        retention_bytes,
        durability: u32::from(Durability::Disk == Durability::Memory),
        ..CreateTopicBody::default()
    };
    match core.ask_any("creating the topic of groups", RequestBody::CreateTopic(body)).await.answer {
        // Another member was faster.
        Err(error) if error.code() != Some(ErrorCode::Conflict) => Err(error),
        _ => Ok(()),
    }
}

impl Coordinator {
    pub(super) fn new(core: Arc<Core>, whose: Whose) -> Self {
        let topic = GROUPS_TOPIC.parse().expect("a good name");
        Self { core, topic, whose, leader: Mutex::new(None) }
    }

    /// Asks until the coordinator answers or refuses for good.
    pub(super) async fn ask(&self, body: RequestBody, within: Duration) -> Result<ResponseBody, Error> {
        let limit = Instant::now() + within;
        let mut backoff = Backoff::of_requests();
        loop {
            let error = match self.round(&body, limit).await {
                Err(error) if error.is_retryable() || error.code() == Some(ErrorCode::UnknownShard) => error,
                answer => return answer,
            };
            let next = Instant::now() + backoff.next_wait();
            if next >= limit {
                let what = "the coordinator of the group".to_owned();
                return Err(Error::Timeout { what, after: within, last: Some(Box::new(error)) });
            }
            sleep_until(next).await;
        }
    }

    /// Asks each node that may lead once, first those that are said to.
    async fn round(&self, body: &RequestBody, limit: Instant) -> Result<ResponseBody, Error> {
        let topic = self.core.topic(&self.topic).await?;
        let shard = match &self.whose {
            Whose::Group(group) => topic.router.shard_of(group.as_str().as_bytes()),
            Whose::Shard(shard) => *shard,
        };
        let unknown = || Error::UnknownShard { topic: self.topic.to_string(), shard };
        let info = topic.shard(shard).ok_or_else(unknown)?;
        let last = *self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        let replicas = info.replicas.iter().map(|replica| replica.node);
        let mut nodes: Vec<NodeId> = last.into_iter().chain(info.leader).chain(replicas).collect();
        let (mut asked, mut failed) = (Vec::new(), unknown());
        while !nodes.is_empty() {
            let node = nodes.remove(0);
            if asked.contains(&node) {
                continue;
            }
            asked.push(node);
            match self.attempt(node, body, limit).await {
                Err(error) => {
                    if let Error::Refused(refusal) = &error {
                        let may_be_elsewhere =
                            matches!(refusal.code, ErrorCode::NotLeader | ErrorCode::UnknownShard);
                        if !may_be_elsewhere {
                            return Err(error);
                        }
                        nodes.splice(0..0, refusal.leader);
                    }
                    failed = error;
                }
                answer => {
                    *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
                    return answer;
                }
            }
        }
        self.core.refresh(&self.topic, Some(&topic)).await?;
        Err(failed)
    }

    async fn attempt(&self, node: NodeId, body: &RequestBody, limit: Instant) -> Result<ResponseBody, Error> {
        let asking = async {
            let connected = self.core.connected(node).await?;
            connected.ask(self.core.request_id(), body.clone()).await
        };
        let late = |_| {
            let (address, reason) = (format!("node {node}"), "no answer in time".to_owned());
            Err(Error::Disconnected { address, reason })
        };
        timeout_at(limit.min(Instant::now() + ATTEMPT_TIMEOUT), asking).await.unwrap_or_else(late)
    }
}
