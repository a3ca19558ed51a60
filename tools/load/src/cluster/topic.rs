//! Connections to a cluster, and the topic that takes the load.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use timberline::client::{self, Client, ClientOptions, CreateTopic, NodeShards, Partitioning, Topic};
use timberline::types::{Durability, NodeId, Retention, ShardId, TopicName};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::appends::ClusterAppends;
use crate::failure::Failure;
use crate::workload::Workload;

/// A topic of thousands of shards takes a while to be made.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections made at one time.
const CONNECTING_MAX: usize = 32;
/// How long the shards of a new topic may take to have leaders, and what each shard may take beside.
const LEADERS_MAX: Duration = Duration::from_secs(20);
const LEADER_MAX: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How to reach the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) endpoints: Vec<String>,
    pub(crate) certs: PathBuf,
}

/// The topics to create.
#[derive(Clone, Debug)]
pub(crate) struct TopicShape {
    /// Of the first one; each other's has its number behind.
    pub(crate) name: TopicName,
    pub(crate) topics: u32,
    /// Of each topic.
    pub(crate) shards: u32,
    pub(crate) replicas: u32,
    pub(crate) durability: Durability,
}

impl TopicShape {
    fn name_of(&self, number: u32) -> TopicName {
        if number == 1 {
            return self.name.clone();
        }
        format!("{}-{number}", self.name).parse().expect("a name with a number behind is a name")
    }
}

/// A cluster with topics for the load, and as many connections as the workload asks for.
pub(crate) struct Cluster {
    clients: Vec<Client>,
    topics: Vec<TopicName>,
}

impl Cluster {
    /// Connects, creates the topics, and waits until each of their shards has a leader.
    pub(crate) async fn prepare(
        reach: &Reach,
        connections: usize,
        shape: &TopicShape,
    ) -> Result<Self, Failure> {
        let mut cluster = Self { clients: connect(reach, connections).await?, topics: Vec::new() };
        let patience = LEADERS_MAX + LEADER_MAX * shape.topics * shape.shards;
        for number in 1..=shape.topics {
            let create = CreateTopic {
                name: shape.name_of(number),
                shards: shape.shards,
                replicas: shape.replicas,
                partitioning: Partitioning::Hash,
                durability: shape.durability,
                retention: Retention::default(),
            };
            let topic = cluster.client().create_topic(create).await?;
            cluster.topics.push(topic.name.clone());
            cluster.await_leaders(&topic, patience).await?;
        }
        Ok(cluster)
    }

    async fn await_leaders(&self, topic: &Topic, patience: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        while self.leaders(&topic.name).await?.len() < topic.shards.len() {
            if began.elapsed() > patience {
                let what = format!("not every shard of topic {} had a leader", topic.name);
                let instead = "`timberline doctor` says what is wrong";
                return Err(Failure::Late { what, seconds: patience.as_secs(), instead });
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Who leads each shard of a topic, by its own word: a node without a replica knows of no leader.
    async fn leaders(&self, topic: &TopicName) -> Result<BTreeMap<ShardId, NodeId>, Failure> {
        let mut leaders = BTreeMap::new();
        for told in self.client().shard_statuses(topic).await? {
            // One that is starting, or paused, leads nothing that could be used.
            let shards = told.shards.unwrap_or_default();
            let led = shards.iter().filter(|status| status.leader == Some(told.node));
            leaders.extend(led.map(|status| (status.shard, told.node)));
        }
        Ok(leaders)
    }

    /// The first connection.
    pub(crate) fn client(&self) -> &Client {
        &self.clients[0]
    }

    /// The first topic.
    pub(crate) fn topic(&self) -> &TopicName {
        &self.topics[0]
    }

    /// `host:port` of every node.
    pub(crate) async fn addresses(&self) -> Result<Vec<String>, Failure> {
        Ok(self.client().cluster().await?.nodes.into_iter().map(|node| node.address).collect())
    }

    /// A node that holds replicas of the first topic and leads none of its shards, if there is one.
    pub(crate) async fn follower(&self) -> Result<Option<u64>, Failure> {
        let is_follower = |told: &NodeShards| {
            let shards = told.shards.as_deref().unwrap_or_default();
            !shards.is_empty() && shards.iter().all(|status| status.leader != Some(told.node))
        };
        let told = self.client().shard_statuses(self.topic()).await?;
        Ok(told.iter().find(|told| is_follower(told)).map(|told| told.node.0))
    }

    /// Whether a node leads one of the first topic's shards.
    pub(crate) async fn leads(&self, node: u64) -> Result<bool, Failure> {
        Ok(self.leaders(self.topic()).await?.values().any(|leader| leader.0 == node))
    }

    /// The workload's producers, spread over the connections and the topics.
    pub(crate) async fn producers(&self, workload: &Workload) -> Result<Vec<Arc<ClusterAppends>>, Failure> {
        let mut producers = Vec::with_capacity(workload.shape.producers);
        let places = self.clients.iter().cycle().zip(self.topics.iter().cycle());
        for (client, topic) in places.take(workload.shape.producers) {
            producers.push(Arc::new(ClusterAppends::start(client, topic, workload).await?));
        }
        Ok(producers)
    }

    /// Deletes the topics, unless they are to be kept, and closes the connections.
    pub(crate) async fn finish(self, keep_topics: bool) -> Result<(), Failure> {
        for topic in self.topics.iter().filter(|_| !keep_topics) {
            self.client().delete_topic(topic).await?;
        }
        // Each waits for a while that its peers hear of it.
        let closing: JoinSet<_> =
            self.clients.into_iter().map(|client| async move { client.close().await }).collect();
        closing.join_all().await;
        Ok(())
    }
}

/// So many connections, some at a time.
async fn connect(reach: &Reach, connections: usize) -> Result<Vec<Client>, Failure> {
    let (mut clients, mut connecting) = (Vec::with_capacity(connections), JoinSet::new());
    for begun in 0..connections {
        if begun >= CONNECTING_MAX {
            clients.extend(connected(&mut connecting).await?);
        }
        let (endpoints, certs) = (reach.endpoints.clone(), reach.certs.clone());
        let options = ClientOptions { endpoints, certs, request_timeout: REQUEST_TIMEOUT };
        connecting.spawn(Client::connect(options));
    }
    while let Some(client) = connected(&mut connecting).await? {
        clients.push(client);
    }
    Ok(clients)
}

/// The next one that is made; `None` if none is under way.
async fn connected(
    connecting: &mut JoinSet<Result<Client, client::Error>>,
) -> Result<Option<Client>, Failure> {
    let Some(ended) = connecting.join_next().await else { return Ok(None) };
    let ended = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    Ok(Some(ended?))
}
