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
    Client, ClientOptions, Consumer, ConsumerOptions, Cursor, Error, Kind, Order, Producer, ProducerOptions,
    Start, Topic, Until,
};
use timberline::types::{NodeId, Record, ShardId, TopicName};
use timberline_checkers::{Append, MergedRecord, MergedStream, Outcome, ReplicaLog, Stamp};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::witness::{Witness, entry_of, now_ns};
use super::{cluster::NODES, witness};

const PRODUCERS: u64 = 3;
/// Appends that one producer may have open.
const OPEN_MAX: usize = 16;
const APPEND_EVERY: Duration = Duration::from_millis(4);
const ASK_EVERY: Duration = Duration::from_millis(50);
const KEYS: u32 = 64;
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
            tasks.spawn(produce(Arc::clone(witness), producer, number, topic.clone(), rng, stop));
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
        tokio::time::timeout(limit, all_ended).await.is_ok()
            && self.witness.sees(limit, |seen| seen.open.is_empty()).await
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
    pub(crate) async fn logs_of(&self, node: NodeId) -> Result<(Vec<ReplicaLog>, MergedStream), Error> {
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
        let logs = entries.into_iter().map(|(shard, entries)| ReplicaLog { node, shard, entries });
        let mut reader = self.reader(node, Order::Merged).await?;
        let mut records = Vec::new();
        while let Some(consumed) = reader.next().await? {
            let (timestamp, shard, offset) = (consumed.timestamp, consumed.shard, consumed.offset);
            records.push(MergedRecord { timestamp, shard, offset, append: entry_of(&consumed).append });
        }
        let from = Cursor::BEGIN.timestamp;
        Ok((logs.collect(), MergedStream { reader: self.witness.next_reader(), from, records }))
    }

    async fn reader(&self, node: NodeId, order: Order) -> Result<Consumer, Error> {
        let options = ConsumerOptions { until: Until::ToEnd, order, node: Some(node), ..Default::default() };
        self.client.consumer(&self.name, options).await
    }
}

/// Appends until told to stop, a few at a time.
async fn produce(
    witness: Arc<Witness>,
    producer: Producer,
    number: u64,
    topic: Topic,
    mut rng: StdRng,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(OPEN_MAX));
    let mut pace = every(APPEND_EVERY);
    let mut appends = JoinSet::new();
    for sequence in 0.. {
        pace.tick().await;
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit.expect("it is never closed"),
            _ = stop.wait_for(|producing| !producing) => break,
        };
        if !*stop.borrow() {
            break;
        }
        let id = witness.next_append();
        let key = format!("key-{}", rng.random_range(0..KEYS));
        let shard = topic.router.shard_of(key.as_bytes());
        let value = witness::value_of(id, rng.random_range(0..400));
        let record = Record { key: Some(key.into()), value: Some(value.into()), ..Record::default() };
        let invoked_ns = now_ns();
        let (producer_number, number) = (number, sequence);
        let outcome = Outcome::Unknown;
        let producer_id = producer_number;
        witness.invoked(Append { id, shard, producer: producer_id, number, count: 1, invoked_ns, outcome });
        let delivery = match producer.send(record).await {
            Ok(delivery) => delivery,
            Err(error) => {
                witness.ended(id, Outcome::Failed);
                witness.complain(format!("producer {producer_id} takes nothing any more: {error}"));
                return;
            }
        };
        let witness = Arc::clone(&witness);
        appends.spawn(async move {
            let outcome = match delivery.await {
                Ok(delivered) => {
                    let stamp = Stamp { offset: delivered.offset, timestamp: delivered.timestamp };
                    Outcome::Acknowledged { at_ns: now_ns(), stamp }
                }
                Err(failure) => match failure.outcome {
                    timberline::client::Outcome::NotApplied => Outcome::Failed,
                    timberline::client::Outcome::Unknown => Outcome::Unknown,
                },
            };
            witness.ended(id, outcome);
            drop(permit);
        });
        while appends.try_join_next().is_some() {}
    }
    while appends.join_next().await.is_some() {}
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
                Ok(Some(consumed)) => match stream {
                    Some(stream) => witness.merged(stream, &consumed),
                    None => witness.shown(reader, node, &consumed),
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
