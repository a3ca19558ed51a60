//! A member of a group that reads what it is given.
//!
//! Whenever the coordinator says something new, what was read is committed, what others wait for is yielded, and what is
//! held then is read on, each shard from the group's position in it. Invariants: everything up to `uncommitted` was handed out of
//! what is being read; `generation` is that of a standing that held just what is read, so a commit never speaks of a shard
//! that is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout};

use super::member::Member;
use super::options::GroupOptions;
use super::standing::Standing;
use crate::client::consumer::{Consumed, Consumer, ConsumerOptions, Cursor, Item};
use crate::client::core::Core;
use crate::client::error::Error;
use crate::types::{GroupName, ShardId, Timestamp, TopicName};
use crate::wire::{GroupBeatBody, ReadPlace};

/// Reads topics as a member of a group: each shard is read by one member at a time, in one order over all that this one holds.
///
/// *At least once.* A record is committed by a call of `next` behind the one that handed it out, or by `commit` or `leave`;
/// nothing is ever passed over. What is handed out twice lies behind the last commit of a member that died, that was paused
/// or cut off for longer than its session timeout, or that let others wait for longer than that (a record took so long).
/// Members that come and leave in good order repeat nothing. Within two seconds of a member's death, with the default
/// timeout and a coordinator that is there, others read on in its shards.
///
/// A member that was taken for dead commits nothing any more: `next` or `commit` fails once (`Error::is_stale_member`); the next
/// call joins anew.
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
/// use timberline::client::GroupOptions;
///
/// let billing = "billing".parse()?;
/// let mut member = client.group_consumer(&billing, &orders, GroupOptions::default()).await?;
/// for _ in 0..2 {
///     let read = member.next().await?;
///     println!("{:?} is done before the next call", read.record.key);
/// }
/// member.leave().await?;
///
/// // Whoever comes next goes on behind what was committed.
/// let mut member = client.group_consumer(&billing, &orders, GroupOptions::default()).await?;
/// let third = member.next().await?;
/// member.commit().await?;
/// let group = client.describe_group(&billing).await?;
/// assert_eq!(group.places.iter().filter_map(|place| place.lag.as_ref().ok()).map(|lag| lag.records).sum::<u64>(), 0);
/// # drop(third);
/// # Ok(())
/// # }
/// ```
pub struct GroupConsumer {
    core: Arc<Core>,
    group: GroupName,
    topics: Vec<TopicName>,
    options: GroupOptions,
    /// `None` before it joins, and again once it was taken for dead.
    member: Option<Member>,
    reading: Option<Consumer>,
    /// What it reads.
    reads: BTreeSet<ShardId>,
    /// Of the newest standing that holds what is read; 0 before any.
    generation: u64,
    /// Everything up to here was handed out, and a record among it was not committed.
    uncommitted: Option<Cursor>,
    committed: Instant,
    /// Reading failed: it is begun anew.
    is_broken: bool,
}

impl GroupConsumer {
    pub(in crate::client) async fn start(
        core: Arc<Core>,
        group: GroupName,
        topics: Vec<TopicName>,
        options: GroupOptions,
    ) -> Result<Self, Error> {
        let member = Some(Member::join(&core, &group, &topics, &options).await?);
        Ok(Self {
            core,
            group,
            topics,
            options,
            member,
            reading: None,
            reads: BTreeSet::new(),
            generation: 0,
            uncommitted: None,
            committed: Instant::now(),
            is_broken: false,
        })
    }

    /// The next record of those that this member holds; whatever was handed out before counts as done. Waits for it, and is
    /// cancel-safe. After an error another call goes on, but for records that retention removed: those fail until the group
    /// is reset.
    pub async fn next(&mut self) -> Result<Consumed, Error> {
        loop {
            let standing = self.standing().await?;
            if standing.generation != self.generation || self.is_broken {
                self.follow(&standing).await?;
                continue;
            }
            if self.is_due() {
                self.commit().await?;
                continue;
            }
            if standing.valid_until <= Instant::now() {
                self.wait_for_word().await?;
                continue;
            }
            let commit_at = self.committed + self.options.commit_every;
            let member = self.member.as_mut().expect("it has a standing");
            let next = tokio::select! {
                biased;
                () = member.changed() => continue,
                () = sleep_until(standing.valid_until) => continue,
                () = sleep_until(commit_at), if self.uncommitted.is_some() => continue,
                next = next_of(self.reading.as_mut()) => next,
            };
            match next {
                Ok(Item::Record(record)) => {
                    let place = Cursor { timestamp: record.timestamp, shard: record.shard };
                    self.uncommitted = Some(place);
                    return Ok(record);
                }
                Ok(Item::Mark(_) | Item::Closed(_) | Item::Skipped(_)) => {}
                Err(error) => {
                    self.is_broken = true;
                    return Err(error);
                }
            }
        }
    }

    /// Commits everything that was handed out, of what is still held.
    pub async fn commit(&mut self) -> Result<(), Error> {
        let Some(Cursor { timestamp, shard }) = self.uncommitted else { return Ok(()) };
        let read = Some(ReadPlace { timestamp_ns: timestamp.0, shard: shard.0 });
        let body = GroupBeatBody { generation: self.generation, read, ..GroupBeatBody::default() };
        self.say(body).await?;
        self.uncommitted = None;
        self.committed = Instant::now();
        Ok(())
    }

    /// Commits everything that was handed out and leaves: others go on behind it at once.
    pub async fn leave(mut self) -> Result<(), Error> {
        if self.member.is_none() {
            return Ok(());
        }
        // On its own: an answer to a last word that is said twice could not tell whether what it commits has counted.
        self.commit().await?;
        let generation = self.generation.max(1);
        self.say(GroupBeatBody { generation, leaves: true, ..GroupBeatBody::default() }).await
    }

    /// The shards that this member holds by now.
    pub fn held(&mut self) -> Vec<ShardId> {
        let known = self.member.as_mut().map(Member::known);
        known.and_then(Result::ok).map(|standing| standing.held.keys().copied().collect()).unwrap_or_default()
    }

    /// What the member is said to hold; joins if it is none.
    async fn standing(&mut self) -> Result<Arc<Standing>, Error> {
        if self.member.is_none() {
            self.member = Some(Member::join(&self.core, &self.group, &self.topics, &self.options).await?);
        }
        match self.member.as_mut().expect("it has just joined").known() {
            Ok(standing) => Ok(standing),
            Err(ended) => {
                self.forget();
                Err(ended)
            }
        }
    }

    /// The membership ended: what it read and did not commit, others read.
    fn forget(&mut self) {
        (self.member, self.reading, self.reads) = (None, None, BTreeSet::new());
        (self.generation, self.uncommitted) = (0, None);
    }

    /// Takes one step towards reading what a new standing says: commits, or yields, or begins.
    async fn follow(&mut self, standing: &Standing) -> Result<(), Error> {
        let goes_on = !self.is_broken && self.reads.iter().eq(standing.held.keys());
        if goes_on && standing.wanted().is_empty() {
            self.generation = standing.generation;
            return Ok(());
        }
        if self.uncommitted.is_some() {
            return self.commit().await;
        }
        let yields: Vec<u64> = standing.wanted().iter().map(|shard| shard.0).collect();
        if !yields.is_empty() {
            // Nothing is read any more, and what was is committed.
            (self.reading, self.reads) = (None, BTreeSet::new());
            let generation = standing.generation;
            return self.say(GroupBeatBody { generation, yields, ..GroupBeatBody::default() }).await;
        }
        (self.reading, self.reads) = (None, BTreeSet::new());
        let starts: BTreeMap<ShardId, Timestamp> =
            standing.held.iter().map(|(shard, held)| (*shard, held.next)).collect();
        if !starts.is_empty() {
            let options = ConsumerOptions {
                buffer_bytes_max: self.options.buffer_bytes_max,
                timeout: self.options.timeout,
                ..ConsumerOptions::default()
            };
            let (core, topics) = (Arc::clone(&self.core), self.topics.clone());
            self.reading = Some(Consumer::start_each(core, topics, &starts, options).await?);
        }
        self.reads = starts.into_keys().collect();
        (self.generation, self.is_broken) = (standing.generation, false);
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.uncommitted.is_some() && self.committed.elapsed() >= self.options.commit_every
    }

    async fn say(&mut self, body: GroupBeatBody) -> Result<(), Error> {
        let Some(member) = &mut self.member else { return Err(Error::Closed) };
        let said = member.say(body, self.options.timeout).await;
        if member.known().is_err() {
            self.forget();
        }
        said
    }

    /// The coordinator was not heard for a session timeout: nothing is handed out until it is.
    async fn wait_for_word(&mut self) -> Result<(), Error> {
        let member = self.member.as_mut().expect("it has a standing");
        let after = self.options.timeout;
        timeout(after, member.changed()).await.map_err(|_| Error::Timeout {
            what: format!("the coordinator of group {}", self.group),
            after,
            last: None,
        })
    }
}

/// What the consumer hands out next; without one, nothing ever.
async fn next_of(reading: Option<&mut Consumer>) -> Result<Item, Error> {
    match reading {
        Some(consumer) => consumer.next_item().await?.ok_or(Error::Closed),
        None => std::future::pending().await,
    }
}
