//! The client: connect once, then ask, produce and consume.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::connections::Connections;
use super::consumer::{Consumer, ConsumerOptions};
use super::core::{Core, unexpected};
use super::error::Error;
use super::fresh::{self, Cut, Now};
use super::group::{self, GroupConsumer, GroupInfo, GroupOptions, GroupStart, GroupSummary};
use super::producer::{self, Producer, ProducerOptions};
use super::rows::{ClockAnswer, ClockInfo, ClusterInfo, NodeShards, ReplicaStatus};
use super::topic::Topic;
use crate::transport::{self, ClientEndpoint, Identity};
use crate::types::{BatchRef, Durability, Fate, GroupName, NodeId, Retention, Timestamp, Token, TopicName};
use crate::wire::{CreateTopicBody, ErrorCode, RequestBody, ResponseBody, TopicNameBody};

/// How to reach a cluster.
///
/// ```no_run
/// # async fn example() -> Result<(), timberline::client::Error> {
/// use std::time::Duration;
///
/// use timberline::client::{Client, ClientOptions};
///
/// let client = Client::connect(ClientOptions {
///     endpoints: vec!["127.0.0.1:7400".to_owned()],
///     certs: "data/certs".into(),
///     request_timeout: Duration::from_secs(10),
/// });
/// println!("connected to {}", client.await?.cluster_name());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `host:port` of some of the nodes; the others are learned from them.
    pub endpoints: Vec<String>,
    /// The folder with `ca.pem`, `client.pem` and `client.key`.
    pub certs: PathBuf,
    /// How long a question may take, over all nodes and attempts.
    pub request_timeout: Duration,
}

/// A topic to create.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = timberline::testing::Cluster::start()?;
/// # let client = cluster.client().await?;
/// use std::time::Duration;
///
/// use timberline::client::{CreateTopic, Partitioning};
/// use timberline::types::Retention;
///
/// let topic = CreateTopic {
///     shards: 3,
///     replicas: 1,
///     partitioning: Partitioning::Range { split_at: vec!["g".into(), "p".into()] },
///     retention: Retention { age: Some(Duration::from_secs(7 * 86_400)), ..Retention::default() },
///     ..CreateTopic::named(&"orders".parse()?)
/// };
/// let topic = client.create_topic(topic).await?;
/// assert_eq!(topic.router.shard_of(b"kiwi"), topic.shards[1].shard);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CreateTopic {
    pub name: TopicName,
    pub shards: u32,
    pub replicas: u32,
    pub partitioning: Partitioning,
    pub durability: Durability,
    pub retention: Retention,
}

impl CreateTopic {
    /// One shard with three replicas, hashed keys, synced before it is acknowledged, kept for ever.
    pub fn named(name: &TopicName) -> Self {
        Self {
            name: name.clone(),
            shards: 1,
            replicas: 3,
            partitioning: Partitioning::Hash,
            durability: Durability::Disk,
            retention: Retention::default(),
        }
    }
}

/// How keys are given to shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Partitioning {
    /// By the key's hash, in equal parts.
    #[default]
    Hash,
    /// By the key itself: each split key begins another shard.
    Range { split_at: Vec<Bytes> },
}

/// A client of one cluster. Clones share connections and what is known of topics.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = timberline::testing::Cluster::start()?;
/// # let client = cluster.client().await?;
/// let clock = client.clock(None).await?;
/// assert!(clock.earliest <= clock.latest);
/// for topic in client.list_topics().await? {
///     println!("{} has {} shards", topic.name, topic.shards.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(super) core: Arc<Core>,
}

impl Client {
    /// Connects to the first endpoint that answers. Must be called within a tokio runtime.
    pub async fn connect(options: ClientOptions) -> Result<Self, Error> {
        let refused = |error: transport::Error| Error::Identity { reason: error.to_string() };
        let identity = Identity::client(&options.certs).map_err(refused)?;
        let endpoint =
            ClientEndpoint::new(&identity, transport::ClientOptions::default()).map_err(refused)?;
        Self::over(endpoint, options.endpoints, options.request_timeout).await
    }

    /// As [`Self::connect`], over an endpoint that is made already.
    pub async fn over(
        endpoint: ClientEndpoint,
        endpoints: Vec<String>,
        request_timeout: Duration,
    ) -> Result<Self, Error> {
        if endpoints.is_empty() {
            let rule = "name at least one node as host:port";
            return Err(Error::Option { option: "endpoints", found: "empty".to_owned(), rule });
        }
        let core = Core::new(Connections::new(endpoint), endpoints, request_timeout);
        core.cluster().await?;
        Ok(Self { core: Arc::new(core) })
    }

    /// The cluster's name.
    pub fn cluster_name(&self) -> &str {
        self.core.connections.cluster().unwrap_or_default()
    }

    /// Creates a topic. If an attempt may have succeeded unnoticed, a topic of that shape counts as created.
    pub async fn create_topic(&self, topic: CreateTopic) -> Result<Topic, Error> {
        let (range_partitioned, split_at) = match topic.partitioning {
            Partitioning::Hash => (false, Vec::new()),
            Partitioning::Range { split_at } => (true, split_at),
        };
        let (retention_ns, retention_bytes) = topic.retention.numbers();
        let body = CreateTopicBody {
            name: topic.name.to_string(),
            shards: topic.shards,
            replicas: topic.replicas,
            split_at,
            range_partitioned,
            retention_ns,
            retention_bytes,
            durability: u32::from(topic.durability == Durability::Memory),
        };
        self.core.forget(&topic.name);
        let asked = self
            .core
            .ask_any(&format!("creating topic {}", topic.name), RequestBody::CreateTopic(body))
            .await;
        match asked.answer {
            Ok((node, ResponseBody::Topic(body))) => {
                let topic = Topic::of(node, &body)?;
                self.core.remember(&topic);
                Ok(topic)
            }
            Ok((node, _)) => Err(unexpected(node, "Topic")),
            Err(error) if asked.repeated_in_doubt && error.code() == Some(ErrorCode::Conflict) => {
                let found = self.describe_topic(&topic.name).await?;
                let alike = found.shards.len() == topic.shards as usize && found.retention == topic.retention;
                if alike { Ok(found) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes a topic and all its records.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), Error> {
        let body = RequestBody::DeleteTopic(TopicNameBody { name: name.to_string() });
        let asked = self.core.ask_any(&format!("deleting topic {name}"), body).await;
        self.core.forget(name);
        match asked.answer {
            Err(error) if asked.repeated_in_doubt && error.code() == Some(ErrorCode::UnknownTopic) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// All topics.
    pub async fn list_topics(&self) -> Result<Vec<Topic>, Error> {
        let (node, answer) =
            self.core.ask_any("the list of topics", RequestBody::ListTopics(true)).await.answer?;
        let ResponseBody::Topics(body) = answer else { return Err(unexpected(node, "Topics")) };
        body.topics.iter().map(|topic| Topic::of(node, topic)).collect()
    }

    /// A topic as a node describes it now.
    pub async fn describe_topic(&self, name: &TopicName) -> Result<Topic, Error> {
        self.core.forget(name);
        self.core.topic(name).await.map(|topic| (*topic).clone())
    }

    /// The cluster as one node sees it.
    pub async fn cluster(&self) -> Result<ClusterInfo, Error> {
        self.core.cluster().await.map(ClusterInfo::from)
    }

    /// A node's clock; without a node, that of any.
    pub async fn clock(&self, node: Option<NodeId>) -> Result<ClockInfo, Error> {
        clock(&self.core, node).await
    }

    /// One node's clock, and when it was read; a node that does not answer within `limit` says why.
    pub async fn read_clock(&self, node: NodeId, limit: Duration) -> ClockAnswer {
        let mut asked = Instant::now();
        let reading = async {
            // Shaking hands takes longer than asking, and is no part of it.
            self.core.connected(node).await?;
            asked = Instant::now();
            self.clock(Some(node)).await
        };
        let late = |_| Err(Error::Timeout { what: "the clock".to_owned(), after: limit, last: None });
        let clock = timeout(limit, reading).await.unwrap_or_else(late);
        ClockAnswer { node, asked, arrived: Instant::now(), clock }
    }

    /// Every node's clock, all asked at once, in the order of their ids.
    pub async fn read_clocks(&self, limit: Duration) -> Result<Vec<ClockAnswer>, Error> {
        let mut asking = JoinSet::new();
        for node in self.cluster().await?.nodes {
            let client = self.clone();
            asking.spawn(async move { client.read_clock(node.node, limit).await });
        }
        let mut answers = asking.join_all().await;
        answers.sort_unstable_by_key(|answer| answer.node);
        Ok(answers)
    }

    /// What every node says of its replicas of a topic; a node that does not answer says why.
    pub async fn shard_statuses(&self, name: &TopicName) -> Result<Vec<NodeShards>, Error> {
        let topic = self.describe_topic(name).await?;
        let replicas = topic.shards.iter().flat_map(|shard| &shard.replicas);
        let mut nodes: Vec<NodeId> = replicas.map(|replica| replica.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let mut asking = JoinSet::new();
        for node in nodes {
            let (core, name) = (Arc::clone(&self.core), name.to_string());
            asking.spawn(async move { NodeShards { node, shards: statuses(&core, node, name).await } });
        }
        let mut rows = asking.join_all().await;
        rows.sort_unstable_by_key(|row| row.node);
        Ok(rows)
    }

    /// A producer for a topic.
    pub async fn producer(&self, name: &TopicName, options: ProducerOptions) -> Result<Producer, Error> {
        Producer::start(Arc::clone(&self.core), name, options).await
    }

    /// What became of a batch whose append failed, named by the failure.
    ///
    /// A producer that goes on in a shard after a batch of unknown end first asks what became of that. What it was told this client and its
    /// clones remember, the newest 1,024 fates, and answer from that, or wait for it while the producer asks. Else the shard is asked, which can tell as long as
    /// nothing of its producer's next epoch came after the batch. To `settle` is to fence its producer, so that what is not
    /// there never will be: a producer of that id that still runs is fenced off, too. Without that the answer may be `Fate::Open`.
    ///
    /// # Errors
    /// As any question to a shard: within the client's `request_timeout` no leader answered, or it refused.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = timberline::testing::Cluster::start()?;
    /// # let client = cluster.client().await?;
    /// # use timberline::{client::CreateTopic, types::{BatchId, BatchRef, ProducerId}};
    /// # let topic = client.create_topic(CreateTopic { replicas: 1, ..CreateTopic::named(&"orders".parse()?) }).await?;
    /// # let lost = BatchId { producer: ProducerId(7), epoch: 0, sequence: 1 };
    /// # let batch = BatchRef { shard: topic.shards[0].shard, batch: lost }.to_string();
    /// use timberline::types::Fate;
    ///
    /// match client.fate(&batch.parse()?, true).await? {
    ///     Fate::Applied(receipt) => println!("stored at {}", receipt.first_timestamp),
    ///     Fate::NotApplied => println!("not stored, and never will be: send it again"),
    ///     Fate::Forgotten | Fate::Open => println!("nobody can tell"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn fate(&self, batch: &BatchRef, settle: bool) -> Result<Fate, Error> {
        let (begun, limit) = (Instant::now(), self.core.request_timeout);
        if let Some(fate) = self.core.fates.of(*batch, limit / 2).await {
            return Ok(fate);
        }
        let (what, body) = (format!("what became of batch {batch}"), producer::question(batch, settle));
        let asked = self.core.ask_any_within(&what, body, limit.saturating_sub(begun.elapsed())).await;
        let fate = producer::fate_of(batch.shard, &asked.answer?.1)?;
        if matches!(fate, Fate::Applied(_) | Fate::NotApplied) {
            self.core.fates.tell(*batch, Some(fate));
        }
        Ok(fate)
    }

    /// A consumer of one topic, or of several in one order: `&topic`, `&[orders, payments]`.
    pub async fn consumer(
        &self,
        topics: impl AsRef<[TopicName]> + Send,
        options: ConsumerOptions,
    ) -> Result<Consumer, Error> {
        Consumer::start(Arc::clone(&self.core), topics.as_ref().to_vec(), options).await
    }

    /// A member of a consumer group that reads one topic, or several: the same for all members.
    pub async fn group_consumer(
        &self,
        group: &GroupName,
        topics: impl AsRef<[TopicName]> + Send,
        options: GroupOptions,
    ) -> Result<GroupConsumer, Error> {
        GroupConsumer::start(Arc::clone(&self.core), group.clone(), topics.as_ref().to_vec(), options).await
    }

    /// All consumer groups, by name.
    pub async fn list_groups(&self) -> Result<Vec<GroupSummary>, Error> {
        group::list(&self.core).await
    }

    /// A consumer group: who reads what, from where on, and how far behind.
    pub async fn describe_group(&self, name: &GroupName) -> Result<GroupInfo, Error> {
        group::describe(&self.core, name).await
    }

    /// Moves a group that has no members: it reads on from there in all its shards. What lies between is skipped, or read again.
    pub async fn reset_group(&self, name: &GroupName, to: GroupStart) -> Result<(), Error> {
        group::reset(&self.core, name, to.first(&self.core).await?).await
    }

    /// Forgets a group that has no members, and where it stood.
    pub async fn delete_group(&self, name: &GroupName) -> Result<(), Error> {
        group::delete(&self.core, name).await
    }

    /// What this client has seen so far: the latest timestamp of its acknowledged appends and of what its consumers handed out or
    /// read to the end of. A read by `Level::Session` contains it, and one by `Level::Causal` of whoever is given it.
    ///
    /// ```no_run
    /// use timberline::client::{Client, ConsumerOptions, Level, Until};
    /// use timberline::types::{Token, TopicName};
    ///
    /// # async fn example(writer: Client, reader: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// // The writer hands its token on in whatever it sends: a cookie, a header, a message.
    /// let text = writer.token().to_string();
    /// let token: Token = text.parse()?;
    /// let consistency = Some(Level::Causal(token));
    /// let options = ConsumerOptions { until: Until::ToEnd, consistency, ..ConsumerOptions::default() };
    /// let orders: TopicName = "orders".parse()?;
    /// let mut consumer = reader.consumer(&orders, options).await?;
    /// while let Some(record) = consumer.next().await? {
    ///     println!("{} {:?}", record.timestamp, record.record.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn token(&self) -> Token {
        self.core.session.token()
    }

    /// Goes on with an earlier client's session: reads by `Level::Session` contain what that one had seen.
    pub fn resume(&self, token: Token) {
        self.core.session.resume(token);
    }

    /// The time, by a node whose clock is trusted.
    pub async fn now(&self) -> Result<Now, Error> {
        fresh::now(&self.core, false).await
    }

    /// The consistent snapshot of a topic at a timestamp: of each shard the first offset stamped later. It is the same for ever and on
    /// every replica, but for what retention trims away meanwhile. Waits until all shards are closed there, as long as a request may
    /// take.
    ///
    /// # Errors
    /// `Future` for a time that nothing may be stamped with yet, `BeforeTopic` for one before the topic was created, and the nodes'
    /// `Trimmed` for one whose records are gone.
    ///
    /// ```no_run
    /// # async fn example(client: timberline::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let at = client.now().await?.interval.earliest;
    /// let cut = client.cut(&"orders".parse()?, at).await?;
    /// for (shard, offset) in &cut.offsets {
    ///     println!("shard {shard}: the records below {offset}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cut(&self, name: &TopicName, at: Timestamp) -> Result<Cut, Error> {
        let topic = self.core.topic(name).await?;
        fresh::cut(&self.core, &topic, at).await
    }

    /// Closes all connections; producers and consumers that still run fail.
    pub async fn close(&self) {
        self.core.connections.close().await;
    }
}

/// A node's clock; without a node, that of any.
async fn clock(core: &Core, node: Option<NodeId>) -> Result<ClockInfo, Error> {
    let (what, body) = ("the clock", RequestBody::Clock(true));
    let (node, answer) = match node {
        Some(node) => (node, core.ask_node(node, what, body).await?),
        None => core.ask_any(what, body).await.answer?,
    };
    let ResponseBody::Clock(body) = answer else { return Err(unexpected(node, "Clock")) };
    Ok(body.into())
}

async fn statuses(core: &Core, node: NodeId, name: String) -> Result<Vec<ReplicaStatus>, Error> {
    let body = RequestBody::ShardStatus(TopicNameBody { name });
    let answer = core.ask_node(node, "the shards' positions", body).await?;
    let ResponseBody::ShardStatuses(body) = answer else { return Err(unexpected(node, "ShardStatuses")) };
    Ok(body.shards.into_iter().map(ReplicaStatus::from).collect())
}
