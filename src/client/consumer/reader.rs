//! The consumer: merges what its subscriptions deliver and hands out one record after the other.
//!
//! Each shard's gate has as many permits as deliveries may be on their way; a delivery's permit comes back
//! once its records fit the shard's buffer. So a full buffer stops one shard's stream and no other, and the
//! merge always gets what it waits for.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::bound::{Bound, tell_time};
use super::proof::Delivered;
use super::span::span;
use super::subscription::{News, Subscription, weight};
use super::{ConsumerOptions, Cursor, Marked, Marks, Order};
use crate::client::core::Core;
use crate::client::error::Error;
use crate::merge::Merge;
use crate::types::{Offset, Record, ShardId, Timestamp, TopicName};

/// Deliveries of one shard that may be on their way to the merge.
const DELIVERIES_AHEAD: usize = 2;
/// The smallest buffer of one shard.
const SHARD_BYTES_LEAST: usize = 64 << 10;

/// A record, and its place in its shard and in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    pub shard: ShardId,
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub record: Record,
}

/// What a topic's stream consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Record(Consumed),
    /// Of some records that came before it, or whose timestamps lie in it all the same, the order against other shards
    /// is not guaranteed: a clock was wrong.
    Mark(Marked),
}

impl Item {
    fn timestamp(&self) -> Timestamp {
        match self {
            Self::Record(record) => record.timestamp,
            Self::Mark(marked) => marked.timestamp,
        }
    }
}

/// Reads a topic.
pub struct Consumer {
    core: Arc<Core>,
    /// While following: how far it may fall behind.
    bound: Option<Bound>,
    /// One merge of all shards; under `Order::EachShard` one of each shard, which holds nobody back.
    merges: Vec<Merge<Item>>,
    lanes: HashMap<ShardId, Lane>,
    /// The merge that is asked first: it had something last time.
    turn: usize,
    until: Option<Timestamp>,
    cursor: Cursor,
    marks: Marks,
    news: mpsc::Receiver<(ShardId, News)>,
    failed: Option<Error>,
    /// Ends the subscriptions when the consumer is dropped.
    #[expect(dead_code, reason = "held for its drop")]
    subscriptions: JoinSet<()>,
}

/// One shard's way into its merge.
struct Lane {
    merge: usize,
    gate: Arc<Semaphore>,
    /// Permits kept back while the shard's buffer is full.
    kept: usize,
}

impl Lane {
    fn open(&mut self) {
        self.gate.add_permits(std::mem::take(&mut self.kept));
    }
}

impl Consumer {
    pub(in crate::client) async fn start(
        core: Arc<Core>,
        name: &TopicName,
        options: ConsumerOptions,
    ) -> Result<Self, Error> {
        let topic = core.topic(name).await?;
        let shards = match options.order {
            Order::Shard(shard) if topic.shard(shard).is_some() => vec![shard],
            Order::Shard(shard) => return Err(Error::UnknownShard { topic: name.to_string(), shard }),
            Order::Merged | Order::EachShard => topic.router.shards().to_vec(),
        };
        let read = shards.iter().filter_map(|shard| topic.shard(*shard).cloned()).collect();
        let (cursor, until) = span(&core, read, &options).await?;
        let shard_bytes_max = (options.buffer_bytes_max / shards.len()).max(SHARD_BYTES_LEAST);
        // What was read already counts as closed: the merge waits for what comes after the cursor.
        let closed = |shard: &ShardId| (*shard, cursor.start_of(*shard).minus_ns(1));
        let each = options.order == Order::EachShard;
        let merges = if each {
            shards.iter().map(|shard| Merge::new([closed(shard)], shard_bytes_max)).collect()
        } else {
            vec![Merge::new(shards.iter().map(closed), shard_bytes_max)]
        };
        let (sender, news) = mpsc::channel(shards.len() * DELIVERIES_AHEAD);
        let mut lanes = HashMap::new();
        let mut subscriptions = JoinSet::new();
        for (at, shard) in shards.into_iter().enumerate() {
            let gate = Arc::new(Semaphore::new(DELIVERIES_AHEAD));
            let merge = if each { at } else { 0 };
            lanes.insert(shard, Lane { merge, gate: Arc::clone(&gate), kept: 0 });
            let subscription = Subscription {
                core: Arc::clone(&core),
                topic: name.clone(),
                shard,
                node: options.node,
                timeout: options.timeout,
                gate,
                news: sender.clone(),
            };
            subscriptions.spawn(subscription.run(cursor.start_of(shard)));
        }
        let bound = options.bound_while_following();
        if let Some(age) = bound {
            subscriptions.spawn(tell_time(Arc::clone(&core), age, sender));
        }
        let (marks, bound) = (Marks::default(), bound.map(Bound::new));
        Ok(Self {
            core,
            bound,
            merges,
            lanes,
            turn: 0,
            until,
            cursor,
            marks,
            news,
            failed: None,
            subscriptions,
        })
    }

    /// The next record; `None` once all of `until` was handed out. Waits for it, and is cancel-safe.
    /// After an error every call repeats it; `cursor` tells where to resume. Marks are passed over: `marks` knows them.
    pub async fn next(&mut self) -> Result<Option<Consumed>, Error> {
        loop {
            match self.next_item().await? {
                Some(Item::Record(consumed)) => return Ok(Some(consumed)),
                Some(Item::Mark(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// Like `next`, with the marks of order, each in its place: after all records that it can concern.
    pub async fn next_item(&mut self) -> Result<Option<Item>, Error> {
        loop {
            if let Some(item) = self.take_ready() {
                if let Item::Mark(marked) = &item {
                    self.marks.add(*marked);
                }
                self.core.session.saw(item.timestamp());
                return Ok(Some(item));
            }
            if self.is_done() {
                if let Some(until) = self.until {
                    self.cursor = self.cursor.max(Cursor::after(until));
                    self.core.session.saw(until);
                }
                return Ok(None);
            }
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            match self.news.recv().await {
                Some((shard, News::Delivered(delivered))) => self.hear(shard, delivered),
                Some((_, News::Time(latest))) => self.failed = self.is_behind(latest),
                Some((_, News::Failed(error))) => self.failed = Some(error),
                None => self.failed = Some(Error::Closed),
            }
        }
    }

    /// Where to resume: everything at or before it was handed out. Under `Order::EachShard` shards are
    /// read unevenly, so that resuming may repeat records of some; it never leaves one out.
    pub fn cursor(&mut self) -> Cursor {
        if let [_] = self.merges[..] {
            return self.cursor;
        }
        let frontier = self.merges.iter_mut().filter_map(Merge::frontier).min();
        self.cursor.max(frontier.map_or(self.cursor, |place| Cursor::before(place.timestamp, place.shard)))
    }

    /// The marks that were handed out or passed over so far. One that stands behind the end of the read is not among them.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    fn is_behind(&mut self, latest: Timestamp) -> Option<Error> {
        let next = self.merges.iter_mut().filter_map(Merge::frontier).min()?;
        self.bound.as_mut()?.check(latest, next.timestamp.minus_ns(1)).err()
    }

    fn hear(&mut self, shard: ShardId, delivered: Delivered) {
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        let merge = &mut self.merges[lane.merge];
        for item in delivered.items {
            merge.push(shard, item.timestamp(), weight(&item), item);
        }
        merge.close(shard, delivered.closed);
        lane.kept += 1;
        if !merge.is_paused(shard) {
            lane.open();
        }
    }

    fn take_ready(&mut self) -> Option<Item> {
        let until = self.until;
        for _ in 0..self.merges.len() {
            let merge = &mut self.merges[self.turn];
            if !merge.is_over(until)
                && let Some(popped) = merge.pop()
            {
                if popped.resumes
                    && let Some(lane) = self.lanes.get_mut(&popped.place.shard)
                {
                    lane.open();
                }
                if self.merges.len() == 1 {
                    self.cursor = Cursor { timestamp: popped.place.timestamp, shard: popped.place.shard };
                }
                return Some(popped.item);
            }
            self.turn = (self.turn + 1) % self.merges.len();
        }
        None
    }

    fn is_done(&mut self) -> bool {
        let until = self.until;
        self.merges.iter_mut().all(|merge| merge.is_over(until))
    }
}
