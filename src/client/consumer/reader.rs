//! The consumer: hands out what its streams deliver, one item after the other, and knows where it stands.
//!
//! Knows nothing of subscriptions or merging (`streams`). Invariants: a closed timestamp that was handed out is followed by
//! nothing at or below it, until a seek; the cursor covers exactly what was handed out, or less.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::acquaint::acquaint;
use super::bound::Bound;
use super::plan::Plan;
use super::span::span;
use super::streams::Streams;
use super::subscription::News;
use super::{ConsumerOptions, Cursor, Marked, Marks};
use crate::client::core::Core;
use crate::client::error::Error;
use crate::types::{Offset, Record, ShardId, Timestamp, TopicName};

/// A record, and its place in its shard and in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    pub topic: Arc<TopicName>,
    pub shard: ShardId,
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub record: Record,
}

/// What a stream of topics consists of.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = timberline::testing::Cluster::start()?;
/// # let client = cluster.client().await?;
/// # use timberline::client::CreateTopic;
/// # let orders = "orders".parse()?;
/// # client.create_topic(CreateTopic { replicas: 1, shards: 2, ..CreateTopic::named(&orders) }).await?;
/// # use timberline::{client::ProducerOptions, types::Record};
/// # let producer = client.producer(&orders, ProducerOptions::default()).await?;
/// # for key in ["ada", "bob", "eve"] {
/// #     producer.send(Record { key: Some(key.into()), ..Record::default() }).await?;
/// # }
/// # producer.flush().await?;
/// use timberline::client::{ConsumerOptions, Item, Until};
///
/// let to_end = ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() };
/// let mut consumer = client.consumer(&orders, to_end).await?;
/// let mut window = Vec::new();
/// while let Some(item) = consumer.next_item().await? {
///     match item {
///         Item::Record(record) => window.push(record),
///         // Whatever comes is later: what was gathered is whole, and no timer had to guess it.
///         Item::Closed(until) => println!("{} records up to {until}", window.len()),
///         Item::Mark(marked) => println!("a clock was wrong: {}", marked.mark.why()),
///         Item::Skipped(gone) => println!("shard {} was trimmed through {}", gone.shard, gone.through),
///     }
/// }
/// assert_eq!(window.len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Record(Consumed),
    /// Of some records that came before it, or whose timestamps lie in it all the same, the order against other shards
    /// is not guaranteed: a clock was wrong.
    Mark(Marked),
    /// Everything stamped at or before this was handed out: nothing at or below it follows, of no shard that is read. A window
    /// that ends here is whole, however quiet some shards are. It rises from one such item to the next.
    Closed(Timestamp),
    /// Records of this shard were trimmed away before they could be read: those from its place in the stream up to
    /// `through`, included. With `OnTrimmed::Earliest` alone.
    Skipped(Skipped),
}

/// A stretch of a shard that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub shard: ShardId,
    /// The first timestamp that was wanted: the place of this in the order.
    pub from: Timestamp,
    /// The last timestamp that was trimmed away.
    pub through: Timestamp,
    /// The first record that is kept.
    pub kept_from: Offset,
}

impl Item {
    pub(super) fn timestamp(&self) -> Timestamp {
        match self {
            Self::Record(record) => record.timestamp,
            Self::Mark(marked) => marked.timestamp,
            Self::Closed(closed) => *closed,
            Self::Skipped(skipped) => skipped.from,
        }
    }
}

/// Reads topics.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = timberline::testing::Cluster::start()?;
/// # let client = cluster.client().await?;
/// # use timberline::client::CreateTopic;
/// # let orders = "orders".parse()?;
/// # client.create_topic(CreateTopic { replicas: 1, shards: 2, ..CreateTopic::named(&orders) }).await?;
/// # use timberline::{client::ProducerOptions, types::Record};
/// # let producer = client.producer(&orders, ProducerOptions::default()).await?;
/// # for key in ["ada", "bob", "eve"] {
/// #     producer.send(Record { key: Some(key.into()), ..Record::default() }).await?;
/// # }
/// # producer.flush().await?;
/// use timberline::client::{ConsumerOptions, Start, Until};
///
/// let to_end = ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() };
/// let mut consumer = client.consumer(&orders, to_end.clone()).await?;
/// let first = consumer.next().await?.expect("three were sent");
/// // Sixteen bytes, or text: all it takes to go on elsewhere, later.
/// let cursor = consumer.cursor().to_string();
///
/// let rest = ConsumerOptions { from: Start::Cursor(cursor.parse()?), ..to_end };
/// let mut consumer = client.consumer(&orders, rest).await?;
/// let second = consumer.next().await?.expect("three were sent");
/// assert!((first.timestamp, first.shard) < (second.timestamp, second.shard));
/// # Ok(())
/// # }
/// ```
pub struct Consumer {
    plan: Plan,
    streams: Streams,
    /// While following: how far it may fall behind.
    bound: Option<Bound>,
    until: Option<Timestamp>,
    cursor: Cursor,
    /// What was handed out as closed, or was so at the start.
    closed: Timestamp,
    marks: Marks,
    failed: Option<Error>,
}

impl Consumer {
    pub(in crate::client) async fn start(
        core: Arc<Core>,
        topics: Vec<TopicName>,
        options: ConsumerOptions,
    ) -> Result<Self, Error> {
        let plan = Plan::of(core, topics, options).await?;
        if plan.options.node.is_none() {
            acquaint(&plan.core, plan.nodes.clone(), plan.options.timeout).await;
        }
        let (cursor, until) = span(&plan).await?;
        plan.check(cursor)?;
        let mut streams = Streams::open(&plan, cursor);
        let closed = streams.closed();
        let bound = plan.options.bound_while_following().map(Bound::new);
        Ok(Self { plan, streams, bound, until, cursor, closed, marks: Marks::default(), failed: None })
    }

    /// Reads some shards of these topics in one order without an end, each from the first timestamp that was not read of it.
    /// The cursor speaks of these shards and of what was handed out since.
    pub(in crate::client) async fn start_each(
        core: Arc<Core>,
        topics: Vec<TopicName>,
        starts: &BTreeMap<ShardId, Timestamp>,
        options: ConsumerOptions,
    ) -> Result<Self, Error> {
        let plan = Plan::of(core, topics, options).await?.of_shards(starts.keys().copied().collect())?;
        acquaint(&plan.core, plan.nodes.clone(), plan.options.timeout).await;
        let mut streams = Streams::open_each(&plan, |shard| starts[&shard]);
        let closed = streams.closed();
        let (cursor, marks) = (Cursor::after(closed), Marks::default());
        Ok(Self { plan, streams, bound: None, until: None, cursor, closed, marks, failed: None })
    }

    /// The next record; `None` once all of `until` was handed out. Waits for it, and is cancel-safe.
    /// After an error every call repeats it, until a seek; `cursor` tells where to resume. Whatever else `next_item` hands out is
    /// passed over; `marks` knows the marks.
    pub async fn next(&mut self) -> Result<Option<Consumed>, Error> {
        loop {
            match self.next_item().await? {
                Some(Item::Record(consumed)) => return Ok(Some(consumed)),
                Some(Item::Mark(_) | Item::Closed(_) | Item::Skipped(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// Like `next`, with the marks of order, each in its place (after all records that it can concern), with what was skipped,
    /// and with how far the read is closed: told whenever nothing else is ready and it has risen, last of all up to the end of
    /// the read.
    pub async fn next_item(&mut self) -> Result<Option<Item>, Error> {
        loop {
            if let Some((place, item)) = self.streams.pop(self.until) {
                if self.streams.is_merged() {
                    self.cursor = Cursor { timestamp: place.timestamp, shard: place.shard };
                }
                if let Item::Mark(marked) = &item {
                    self.marks.add(*marked);
                }
                self.plan.core.session.saw(item.timestamp());
                return Ok(Some(item));
            }
            if let Some(closed) = self.newly_closed() {
                self.plan.core.session.saw(closed);
                return Ok(Some(Item::Closed(closed)));
            }
            if self.streams.is_done(self.until) {
                self.cursor = self.cursor.max(self.until.map_or(self.cursor, Cursor::after));
                return Ok(None);
            }
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            match self.streams.news.recv().await {
                Some((shard, News::Delivered(delivered))) => self.streams.hear(shard, delivered),
                Some((_, News::Time(latest))) => self.failed = self.is_behind(latest),
                Some((_, News::Failed(error))) => self.failed = Some(error),
                None => self.failed = Some(Error::Closed),
            }
        }
    }

    /// Where to resume: everything at or before it was handed out. Under `Order::EachShard` shards are
    /// read unevenly, so that resuming may repeat records of some; it never leaves one out.
    pub fn cursor(&mut self) -> Cursor {
        if self.streams.is_merged() {
            return self.cursor;
        }
        self.cursor.max(Cursor::after(self.streams.closed()))
    }

    /// Goes on right after `cursor`, before or behind where the read stands, with the same end. What was closed and not handed
    /// out again counts for nothing; marks that were seen are kept. An error before is forgotten. Within a tokio runtime.
    ///
    /// # Errors
    /// `Error::ForeignCursor` for a cursor of other topics; the read then stands where it stood.
    pub fn seek(&mut self, cursor: Cursor) -> Result<(), Error> {
        self.plan.check(cursor)?;
        self.streams = Streams::open(&self.plan, cursor);
        (self.cursor, self.closed, self.failed) = (cursor, self.streams.closed(), None);
        self.bound = self.plan.options.bound_while_following().map(Bound::new);
        Ok(())
    }

    /// The topic that a shard belongs to, if it is one of those read.
    pub fn topic_of(&self, shard: ShardId) -> Option<&TopicName> {
        self.plan.topic_of(shard).map(Arc::as_ref)
    }

    /// The marks that were handed out or passed over so far. One that stands behind the end of the read is not among them.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// How far the read is closed by now, if that is news. Nothing is ready, so all up to there was handed out.
    fn newly_closed(&mut self) -> Option<Timestamp> {
        let closed = self.streams.closed();
        let closed = self.until.map_or(closed, |until| until.min(closed));
        if closed <= self.closed {
            return None;
        }
        self.closed = closed;
        self.cursor = self.cursor.max(Cursor::after(closed));
        Some(closed)
    }

    fn is_behind(&mut self, latest: Timestamp) -> Option<Error> {
        let closed = self.streams.closed();
        self.bound.as_mut()?.check(latest, closed).err()
    }
}
