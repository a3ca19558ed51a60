//! Connections to a cluster, and the topic that takes the load.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use timberline::client::{Client, ClientOptions, CreateTopic, Partitioning, Topic};
use timberline::types::{Durability, Retention, TopicName};
use tokio::time::{Instant, sleep};

use super::appends::ClusterAppends;
use crate::failure::Failure;
use crate::workload::Workload;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the shards of a new topic may take to have leaders.
const LEADERS_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How to reach the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) endpoints: Vec<String>,
    pub(crate) certs: PathBuf,
}

/// The topic to create.
#[derive(Clone, Debug)]
pub(crate) struct TopicShape {
    pub(crate) name: TopicName,
    pub(crate) shards: u32,
    pub(crate) replicas: u32,
    pub(crate) durability: Durability,
}

/// A cluster with a topic for the load, and as many connections as the workload asks for.
pub(crate) struct Cluster {
    clients: Vec<Client>,
    topic: TopicName,
}

impl Cluster {
    /// Connects, creates the topic, and waits until each of its shards has a leader.
    pub(crate) async fn prepare(
        reach: &Reach,
        connections: usize,
        shape: &TopicShape,
    ) -> Result<Self, Failure> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            let (endpoints, certs) = (reach.endpoints.clone(), reach.certs.clone());
            let options = ClientOptions { endpoints, certs, request_timeout: REQUEST_TIMEOUT };
            clients.push(Client::connect(options).await?);
        }
        let create = CreateTopic {
            name: shape.name.clone(),
            shards: shape.shards,
            replicas: shape.replicas,
            partitioning: Partitioning::Hash,
            durability: shape.durability,
            retention: Retention::default(),
        };
        let topic = clients[0].create_topic(create).await?;
        let cluster = Self { clients, topic: topic.name.clone() };
        cluster.await_leaders(topic).await?;
        Ok(cluster)
    }

    async fn await_leaders(&self, mut topic: Topic) -> Result<(), Failure> {
        let began = Instant::now();
        while topic.shards.iter().any(|shard| shard.leader.is_none()) {
            if began.elapsed() > LEADERS_MAX {
                let what = format!("not every shard of topic {} had a leader", self.topic);
                let instead = "`timberline doctor` says what is wrong";
                return Err(Failure::Late { what, seconds: LEADERS_MAX.as_secs(), instead });
            }
            sleep(LOOK_EVERY).await;
            topic = self.client().describe_topic(&self.topic).await?;
        }
        Ok(())
    }

    /// The first connection.
    pub(crate) fn client(&self) -> &Client {
        &self.clients[0]
    }

    pub(crate) fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// `host:port` of every node.
    pub(crate) async fn addresses(&self) -> Result<Vec<String>, Failure> {
        Ok(self.client().cluster().await?.nodes.into_iter().map(|node| node.address).collect())
    }

    /// The workload's producers, spread over the connections.
    pub(crate) async fn producers(&self, workload: &Workload) -> Result<Vec<Arc<ClusterAppends>>, Failure> {
        let mut producers = Vec::with_capacity(workload.shape.producers);
        for client in self.clients.iter().cycle().take(workload.shape.producers) {
            producers.push(Arc::new(ClusterAppends::start(client, &self.topic, workload).await?));
        }
        Ok(producers)
    }

    /// Deletes the topic, unless it is to be kept, and closes the connections.
    pub(crate) async fn finish(self, keep_topic: bool) -> Result<(), Failure> {
        if !keep_topic {
            self.client().delete_topic(&self.topic).await?;
        }
        for client in &self.clients {
            client.close().await;
        }
        Ok(())
    }
}
