//! The client: connects, and asks.

use std::sync::Arc;

use super::engine::Engine;
use super::{Consumer, GroupConsumer, Producer};
use crate::client::{
    self, ClientOptions, ConsumerOptions, CreateTopic, Error, GroupOptions, ProducerOptions, Topic,
};
use crate::types::{GroupName, TopicName};

/// A client of one cluster; see `client::Client`. Clones share connections and the thread they run on.
#[derive(Clone)]
pub struct Client {
    client: client::Client,
    // Last: what runs on it is dropped before.
    engine: Arc<Engine>,
}

impl Client {
    /// Connects to the first endpoint that answers.
    ///
    /// # Errors
    /// As `client::Client::connect`; within a tokio runtime `Error::Option`.
    pub fn connect(options: ClientOptions) -> Result<Self, Error> {
        let engine = Arc::new(Engine::start()?);
        let client = engine.run(client::Client::connect(options))?;
        Ok(Self { client, engine })
    }

    /// Runs what the client offers without a blocking twin, to its end: `client.run(async |client| client.cluster().await)`.
    pub fn run<T>(&self, ask: impl AsyncFnOnce(&client::Client) -> T) -> T {
        self.engine.run(ask(&self.client))
    }

    /// Creates a topic.
    pub fn create_topic(&self, topic: CreateTopic) -> Result<Topic, Error> {
        self.engine.run(self.client.create_topic(topic))
    }

    /// A producer for a topic.
    pub fn producer(&self, name: &TopicName, options: ProducerOptions) -> Result<Producer, Error> {
        let producer = self.engine.run(self.client.producer(name, options))?;
        Ok(Producer::new(producer, Arc::clone(&self.engine)))
    }

    /// A consumer of one topic, or of several in one order.
    pub fn consumer(
        &self,
        topics: impl AsRef<[TopicName]> + Send,
        options: ConsumerOptions,
    ) -> Result<Consumer, Error> {
        let consumer = self.engine.run(self.client.consumer(topics, options))?;
        Ok(Consumer::new(consumer, Arc::clone(&self.engine)))
    }

    /// A member of a consumer group that reads one topic, or several: the same for all members.
    pub fn group_consumer(
        &self,
        group: &GroupName,
        topics: impl AsRef<[TopicName]> + Send,
        options: GroupOptions,
    ) -> Result<GroupConsumer, Error> {
        let member = self.engine.run(self.client.group_consumer(group, topics, options))?;
        Ok(GroupConsumer::new(member, Arc::clone(&self.engine)))
    }

    /// Closes all connections; producers and consumers that still run fail.
    pub fn close(&self) {
        self.engine.run(self.client.close());
    }
}
