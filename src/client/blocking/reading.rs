//! Consuming.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::engine::Engine;
use crate::client::{self, Consumed, Cursor, Error, Item, Marks};
use crate::types::{ShardId, TopicName};

/// Reads topics; see `client::Consumer`. As an iterator it gives records up to the end of the read, or a failure and then
/// nothing more, until a seek.
pub struct Consumer {
    reads: client::Consumer,
    has_failed: bool,
    // Last: what runs on it is dropped before.
    engine: Arc<Engine>,
}

impl Consumer {
    pub(super) fn new(reads: client::Consumer, engine: Arc<Engine>) -> Self {
        Self { reads, has_failed: false, engine }
    }

    /// The next item, once there is one: records, and what `client::Item` has beside them. `None` at the end of the read.
    pub fn next_item(&mut self) -> Result<Option<Item>, Error> {
        self.engine.run(self.reads.next_item())
    }

    /// As `next_item`, for so long: `Poll::Pending` if nothing came, not even a closed timestamp, and the read goes on;
    /// `Poll::Ready(None)` at its end.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = timberline::testing::Cluster::start()?;
    /// # use timberline::client::{CreateTopic, blocking::Client};
    /// # let client = Client::connect(cluster.client_options())?;
    /// # let orders = "orders".parse()?;
    /// # client.create_topic(CreateTopic { replicas: 1, ..CreateTopic::named(&orders) })?;
    /// use std::task::Poll;
    /// use std::time::Duration;
    ///
    /// use timberline::client::{ConsumerOptions, Item};
    ///
    /// let mut consumer = client.consumer(&orders, ConsumerOptions::default())?;
    /// loop {
    ///     match consumer.next_item_within(Duration::from_millis(100))? {
    ///         Poll::Ready(Some(Item::Record(record))) => println!("{:?}", record.record.value),
    ///         // However long no record comes, time goes on, and is told.
    ///         Poll::Ready(Some(Item::Closed(until))) => break println!("that was all up to {until}"),
    ///         Poll::Ready(Some(Item::Mark(_) | Item::Skipped(_))) => {}
    ///         Poll::Ready(None) => break println!("that was all"),
    ///         Poll::Pending => println!("not even time goes on: nobody closes it just now"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_item_within(&mut self, limit: Duration) -> Result<Poll<Option<Item>>, Error> {
        let next = self.engine.run(async { timeout(limit, self.reads.next_item()).await });
        next.map_or(Ok(Poll::Pending), |next| next.map(Poll::Ready))
    }

    /// Where to resume: everything at or before it was handed out.
    pub fn cursor(&mut self) -> Cursor {
        self.reads.cursor()
    }

    /// Goes on right after `cursor`.
    pub fn seek(&mut self, cursor: Cursor) -> Result<(), Error> {
        self.engine.run(async { self.reads.seek(cursor) })?;
        self.has_failed = false;
        Ok(())
    }

    /// The topic that a shard belongs to, if it is one of those read.
    pub fn topic_of(&self, shard: ShardId) -> Option<&TopicName> {
        self.reads.topic_of(shard)
    }

    /// The marks that were handed out or passed over so far.
    pub fn marks(&self) -> &Marks {
        self.reads.marks()
    }
}

impl Iterator for Consumer {
    type Item = Result<Consumed, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.engine.run(self.reads.next());
        self.has_failed = next.is_err();
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::client::blocking::Client;
    use crate::client::testing::{Cluster, topic_name};
    use crate::client::{ConsumerOptions, Cursor, Error, Kind};
    use crate::types::NodeId;

    #[tokio::test]
    async fn a_blocking_client_is_refused_within_a_runtime_and_harmless_when_dropped_there() {
        let cluster = Cluster::start(1, 1);
        let options = cluster.options(&[1]);
        let refused = Client::connect(options.clone()).err();
        assert!(matches!(refused, Some(Error::Option { option: "blocking", .. })), "{refused:?}");
        let made = tokio::task::spawn_blocking(|| std::thread::spawn(|| Client::connect(options)).join());
        drop(made.await.unwrap().unwrap().unwrap());
    }

    #[tokio::test]
    async fn an_iterator_ends_with_its_failure_until_a_seek() {
        let cluster = Cluster::start(1, 1);
        let options = cluster.options(&[1]);
        let node = Some(NodeId(7));
        let read = move || {
            let client = Client::connect(options).unwrap();
            let timeout = Duration::from_secs(5);
            let mut consumer = client
                .consumer(topic_name(), ConsumerOptions { node, timeout, ..Default::default() })
                .unwrap();
            assert_eq!(consumer.next().unwrap().unwrap_err().kind(), Kind::NotFound);
            assert!(consumer.next().is_none());
            consumer.seek(Cursor::BEGIN).unwrap();
            assert!(consumer.next().unwrap().is_err());
        };
        tokio::task::spawn_blocking(|| std::thread::spawn(read).join()).await.unwrap().unwrap();
    }
}
