//! What goes on while faults happen: producers, readers of both orders on every node, and somebody who asks the nodes
//! how they stand. All through the library that applications use.
//!
//! Knows nothing of which faults there are. Every task goes on through any of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use timberline::client::{
    self, AppendFailure, Client, ClientOptions, Consumer, ConsumerOptions, Cursor, Delivered, Delivery,
    Error, Kind, Order, Producer, ProducerOptions, Start, Topic, Until,
};
use timberline::types::{NodeId, Offset, Record, ShardId, TopicName};
use timberline_checkers::{Append, MergedRecord, MergedStream, Outcome, ReplicaLog, Stamp, Terms};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::cluster::NODES;
use super::witness::{self, Witness, entry_of, now_ns};

const PRODUCERS: u64 = 3;
/// Appends that one producer may have open.
const OPEN_MAX: usize = 16;
const APPEND_EVERY: Duration = Duration::from_millis(4);
const ASK_EVERY: Duration = Duration::from_millis(50);
const KEYS: u32 = 64;
const FILLING_BYTES_MAX: usize = 400;
/// So short that some faults outlast it: then the client must say honestly what it knows.
const APPEND_TIMEOUT: Duration = Duration::from_secs(3);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The tasks; they end with it.
pub(crate) struct Workload {
    witness: Arc<Witness>,
    name: TopicName,
    /// For the questions at the end.
    client: Client,
    producing: watch::Sender<bool>,
    #[expect(dead_code, reason = "held for its drop")]
    tasks: JoinSet<()>,
}

/// A clock for whoever does something again and again.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn connect(endpoints: &[String], certs: &Path, request_timeout: Duration) -> Client {
    let options = ClientOptions { endpoints: endpoints.to_vec(), certs: certs.to_owned(), request_timeout };
    Client::connect(options).await.unwrap_or_else(|error| panic!("{error}"))
}

impl Workload {
    /// Starts producing to a topic, and reading it on every node.
    pub(crate) async fn start(
        witness: &Arc<Witness>,
        name: &str,
        (endpoints, certs): (&[String], &Path),
        seed: u64,
    ) -> Self {
        let name: TopicName = name.parse().expect("a valid name");
        let client = connect(endpoints, certs, Duration::from_secs(20)).await;
        let topic = client.describe_topic(&name).await.unwrap_or_else(|error| panic!("{error}"));
        let producing = watch::Sender::new(true);
        let mut tasks = JoinSet::new();
        for number in 0..PRODUCERS {
            let client = connect(endpoints, certs, Duration::from_secs(2)).await;
            let options = ProducerOptions {
                batch_records: 1,
                timeout: APPEND_TIMEOUT,
                linger: Duration::ZERO,
                ..Default::default()
            };
            let producer = client.producer(&name, options).await.unwrap_or_else(|error| panic!("{error}"));
            let rng = StdRng::seed_from_u64(seed ^ number);
            let stop = producing.subscribe();
            let (witness, topic) = (Arc::clone(witness), topic.clone());
            tasks.spawn(Appender { witness, producer, topic, rng, number, sent: 0 }.run(stop));
        }
        for node in (1..=NODES).map(|node| NodeId(node.into())) {
            for order in [Order::EachShard, Order::Merged] {
                let client = connect(endpoints, certs, Duration::from_secs(2)).await;
                tasks.spawn(read(Arc::clone(witness), client, name.clone(), node, order));
            }
        }
        let asking = connect(endpoints, certs, Duration::from_millis(500)).await;
        tasks.spawn(ask(Arc::clone(witness), asking, name.clone()));
        Self { witness: Arc::clone(witness), name, client, producing, tasks }
    }

    /// Takes no more appends, and waits until the end of all is known.
    pub(crate) async fn stop_producing(&self) -> bool {
        self.producing.send_replace(false);
        let all_ended = self.producing.closed();
        let limit = APPEND_TIMEOUT * 4;
        timeout(limit, all_ended).await.is_ok() && self.witness.sees(limit, |seen| seen.open.is_empty()).await
    }

    /// Waits until every replica of every topic works and knows its leader; answers what does not in time.
    pub(crate) async fn all_replicas_work(&self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        let mut again = every(ASK_EVERY);
        loop {
            again.tick().await;
            let idle = self.idle_replicas().await.map_err(|error| error.to_string());
            match idle {
                Ok(idle) if idle.is_empty() => return Ok(()),
                Ok(found) | Err(found) if Instant::now() > deadline => return Err(found),
                _ => {}
            }
        }
    }

    /// The replicas that do not work, or know no leader.
    async fn idle_replicas(&self) -> Result<String, Error> {
        let mut idle = Vec::new();
        for topic in self.client.list_topics().await? {
            for row in self.client.shard_statuses(&topic.name).await? {
                let found = row.shards?;
                let found =
                    found.into_iter().filter(|status| status.failure.is_some() || status.leader.is_none());
                idle.extend(
                    found.map(|status| format!("topic {} on node {}: {status:?}", topic.name, row.node)),
                );
            }
        }
        Ok(idle.join("\n"))
    }

    /// Every shard's log as one node serves it up to now, and its merged stream.
    pub(crate) async fn logs_of(
        &self,
        node: NodeId,
        limit: Duration,
    ) -> Result<(Vec<ReplicaLog>, MergedStream), String> {
        let logs = timeout(limit, self.read_all(node)).await.map_err(|late| late.to_string())?;
        logs.map_err(|error| error.to_string())
    }

    async fn read_all(&self, node: NodeId) -> Result<(Vec<ReplicaLog>, MergedStream), Error> {
        let topic = self.client.describe_topic(&self.name).await?;
        let replicas = |shard: &ShardId| {
            let info = topic.shard(*shard).map_or(&[][..], |info| &info.replicas[..]);
            info.iter().any(|replica| replica.node == node)
        };
        let shards = topic.router.shards().iter().filter(|shard| replicas(shard));
        let mut entries: BTreeMap<ShardId, Vec<_>> = shards.map(|shard| (*shard, Vec::new())).collect();
        let mut reader = self.reader(node, Order::EachShard).await?;
        while let Some(consumed) = reader.next().await? {
            entries.entry(consumed.shard).or_default().push(entry_of(&consumed));
        }
        let logs = entries.into_iter().map(|(shard, entries)| ReplicaLog {
            node,
            shard,
            kept_from: Offset(0),
            entries,
        });
        let mut reader = self.reader(node, Order::Merged).await?;
        let mut records = Vec::new();
        while let Some(consumed) = reader.next().await? {
            let (timestamp, shard, offset) = (consumed.timestamp, consumed.shard, consumed.offset);
            records.push(MergedRecord { timestamp, shard, offset, append: entry_of(&consumed).append });
        }
        let from = Cursor::BEGIN.timestamp;
        let (reader, kept_from) = (self.witness.next_reader(), BTreeMap::new());
        Ok((logs.collect(), MergedStream { reader, from, kept_from, records }))
    }

    async fn reader(&self, node: NodeId, order: Order) -> Result<Consumer, Error> {
        let options = ConsumerOptions { until: Until::ToEnd, order, node: Some(node), ..Default::default() };
        self.client.consumer(&self.name, options).await
    }
}

/// One producer and what it has sent.
struct Appender {
    witness: Arc<Witness>,
    producer: Producer,
    topic: Topic,
    rng: StdRng,
    number: u64,
    sent: u64,
}

impl Appender {
    /// Appends until told to stop, a few at a time.
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let room = Arc::new(Semaphore::new(OPEN_MAX));
        let mut pace = every(APPEND_EVERY);
        let mut open = JoinSet::new();
        loop {
            pace.tick().await;
            let permit = tokio::select! {
                biased;
                _ = stop.wait_for(|producing| !producing) => break,
                permit = Arc::clone(&room).acquire_owned() => permit,
            };
            let (append, delivery) = match self.append().await {
                Ok(sent) => sent,
                Err(error) => {
                    self.witness.complain(format!("producer {} takes nothing more: {error}", self.number));
                    break;
                }
            };
            let witness = Arc::clone(&self.witness);
            open.spawn(async move {
                let outcome = outcome_of(delivery.await);
                witness.ended(append, outcome);
                drop(permit);
            });
            while open.try_join_next().is_some() {}
        }
        while open.join_next().await.is_some() {}
    }

    async fn append(&mut self) -> Result<(u64, Delivery), Error> {
        let id = self.witness.next_append();
        let key = format!("key-{}", self.rng.random_range(0..KEYS));
        let value = witness::value_of(id, self.rng.random_range(0..FILLING_BYTES_MAX));
        self.witness.invoked(Append {
            id,
            shard: self.topic.router.shard_of(key.as_bytes()),
            producer: self.number,
            number: self.sent,
            count: 1,
            invoked_ns: now_ns(),
            terms: Terms::default(),
            outcome: Outcome::Unknown,
        });
        self.sent += 1;
        let record = Record { key: Some(key.into()), value: Some(value.into()), ..Record::default() };
        let sent = self.producer.send(record).await;
        sent.map(|delivery| (id, delivery)).inspect_err(|_| self.witness.ended(id, Outcome::Failed))
    }
}

fn outcome_of(ended: Result<Delivered, AppendFailure>) -> Outcome {
    match ended {
        Ok(Delivered { offset, timestamp, .. }) => {
            Outcome::Acknowledged { at_ns: now_ns(), stamp: Stamp { offset, timestamp } }
        }
        Err(failure) => match failure.outcome {
            client::Outcome::NotApplied => Outcome::Failed,
            client::Outcome::Unknown => Outcome::Unknown,
        },
    }
}

/// Reads on one node for ever, from where it stands whenever reading fails.
async fn read(witness: Arc<Witness>, client: Client, name: TopicName, node: NodeId, order: Order) {
    let mut again = every(ASK_EVERY);
    let mut cursor = Cursor::BEGIN;
    // Cursors resume a merged stream exactly, so it stays one stream; readers of each shard begin anew.
    let stream = (order == Order::Merged).then(|| witness.merged_begins());
    loop {
        again.tick().await;
        let options = ConsumerOptions {
            from: Start::Cursor(cursor),
            order,
            node: Some(node),
            timeout: READ_TIMEOUT,
            ..Default::default()
        };
        let reader = witness.next_reader();
        let Ok(mut consumer) = client.consumer(&name, options).await else { continue };
        let error = loop {
            match consumer.next().await {
                Ok(Some(record)) => match stream {
                    Some(stream) => witness.merged(stream, &record),
                    None => witness.shown(reader, node, &record),
                },
                Ok(None) => break Error::Closed,
                Err(error) => break error,
            }
        };
        cursor = consumer.cursor();
        if error.kind() != Kind::Unavailable {
            witness.complain(format!("a reader on node {node}: {error}"));
        }
    }
}

/// Asks all nodes again and again how their replicas stand.
async fn ask(witness: Arc<Witness>, client: Client, name: TopicName) {
    let mut again = every(ASK_EVERY);
    loop {
        again.tick().await;
        let before = witness.lives();
        let Ok(rows) = client.shard_statuses(&name).await else { continue };
        let after = witness.lives();
        for row in rows {
            let place = row.node.0 as usize - 1;
            // An answer from about a restart belongs to no life for certain.
            if before[place] == after[place] {
                for status in row.shards.into_iter().flatten() {
                    witness.told(row.node, after[place], &status);
                }
            }
        }
    }
}
