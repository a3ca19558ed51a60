//! Whole nodes and the real client: nothing acknowledged is lost or doubled, whatever happens meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use timberline::client::{
    Client, Consumed, ConsumerOptions, CreateTopic, Order, Outcome, Partitioning, ProducerOptions, Until,
};
use timberline::clock::{ClockOptions, SourceOptions};
use timberline::disk::Disk;
use timberline::node::{Ground, Limits, NodeOptions, ReplicationOptions, SimulatedNode};
use timberline::transport::ClientEndpoint;
use timberline::types::{
    BatchRef, Durability, Fate, NodeId, Offset, ProducerId, Record, Retention, ShardId, Timestamp, TopicName,
};
use timberline::wire::{AppendBody, ErrorCode, HelloBody, PROTOCOL_VERSION, Request, RequestBody};
use tokio::task::JoinSet;

use crate::certs;
use crate::seeds;
use crate::world::{Climate, Machine, NODES, UNCERTAINTY, World, address};

const STORM: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(90);
/// How long clients go on trying: longer than any storm.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A writer that gives up soon is told what became of its records, or that nobody knows.
const HASTE: Duration = Duration::from_millis(300);
const WRITERS: usize = 2;
const RECORDS: u64 = 160;
const WRITE_EVERY: Duration = Duration::from_millis(60);

pub(crate) async fn run_node(machine: Rc<Machine>) -> Result<(), Box<dyn std::error::Error>> {
    let options = options(machine.node);
    run_node_with(machine, options).await
}

pub(crate) async fn run_node_with(
    machine: Rc<Machine>,
    options: NodeOptions,
) -> Result<(), Box<dyn std::error::Error>> {
    let ground = Ground {
        disk: Arc::clone(&machine.disk) as Arc<dyn Disk>,
        socket: machine.socket().await?,
        identity: certs::node(machine.node),
        clock: machine.clock(),
        fresh_identity: 100 + machine.node,
    };
    SimulatedNode::start(options, ground)?.run().await;
    Ok(())
}

pub(crate) fn options(node: u64) -> NodeOptions {
    NodeOptions {
        node: NodeId(node),
        cluster: "simulated".parse().expect("a good name"),
        listen: address(node),
        data_dir: "on/no/disk".into(),
        certs_dir: "in/no/folder".into(),
        peers: NODES.map(|peer| (NodeId(peer), address(peer).to_string())).to_vec(),
        metrics_listen: None,
        clock: ClockOptions::default(),
        clock_source: SourceOptions::declared(UNCERTAINTY),
        clock_inject_file: None,
        replication: ReplicationOptions::default(),
        first_segment_bytes: 16 << 10,
        segment_bytes_max: 64 << 10,
        sync_threads: 1,
        scrub_bytes_per_second: 16 << 20,
        limits: Limits::default(),
        drain_timeout: Duration::from_secs(1),
    }
}

fn topic() -> TopicName {
    "events".parse().expect("a good name")
}

pub(crate) async fn connect(climate: &Climate, number: u64) -> Client {
    let endpoint = climate.client_endpoint(number).await;
    let addresses = NODES.map(|node| address(node).to_string()).to_vec();
    Client::over(endpoint, addresses, PATIENCE).await.expect("a node answers in the end")
}

/// A record: who wrote it, and its number there.
type Name = (u64, u64);
type Place = (ShardId, Offset, Timestamp);

/// What a writer was told of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Stands(Place),
    NotApplied,
    Unknown,
}

/// A batch that ended unknown, and its one record.
type InDoubt = (Name, BatchRef);

/// What the writers were told, and how many of them have done.
#[derive(Clone, Default)]
struct Book {
    told: Rc<RefCell<BTreeMap<Name, Told>>>,
    done: Rc<Cell<usize>>,
    /// Of how many batches it became known later what became of them.
    learnt: Rc<Cell<u64>>,
}

impl Book {
    fn newest(&self) -> Option<Timestamp> {
        let told = self.told.borrow();
        let stamps = told.values().filter_map(|told| match told {
            Told::Stands((_, _, timestamp)) => Some(*timestamp),
            Told::NotApplied | Told::Unknown => None,
        });
        stamps.max()
    }

    /// Books what became of a batch of one record that had ended unknown.
    fn learn(&self, name: Name, fate: Fate) {
        let told = match fate {
            Fate::Applied(receipt) => {
                Told::Stands((receipt.shard, receipt.first_offset, receipt.first_timestamp))
            }
            Fate::NotApplied => Told::NotApplied,
            Fate::Forgotten | Fate::Open => Told::Unknown,
        };
        self.learnt.set(self.learnt.get() + u64::from(told != Told::Unknown));
        assert_eq!(self.told.borrow_mut().insert(name, told), Some(Told::Unknown));
    }

    /// Whether a read of everything is what the writers were told.
    fn agrees_with(&self, read: &[(Name, Place)]) {
        let places: BTreeMap<Name, Place> = read.iter().copied().collect();
        assert_eq!(places.len(), read.len(), "nothing twice");
        for (name, told) in self.told.borrow().iter() {
            let found = places.get(name);
            match told {
                Told::Stands(place) => assert_eq!(found, Some(place), "{name:?} stands where it was said to"),
                Told::NotApplied => assert_eq!(found, None, "{name:?} was not applied"),
                Told::Unknown => {}
            }
        }
    }
}

/// Writes numbered records and books what it is told of each.
async fn write(climate: Climate, writer: u64, timeout: Duration, book: Book) {
    let client = connect(&climate, writer).await;
    let shape = CreateTopic {
        name: topic(),
        shards: 2,
        replicas: 3,
        partitioning: Partitioning::Hash,
        durability: Durability::Disk,
        retention: Retention::default(),
    };
    match client.create_topic(shape).await {
        Err(error) if error.code() != Some(ErrorCode::Conflict) => panic!("{error}"),
        _ => {}
    }
    let batch_records = if timeout < PATIENCE { 1 } else { ProducerOptions::default().batch_records };
    let producer = Some(ProducerId(writer));
    let options = ProducerOptions { timeout, producer, batch_records, ..ProducerOptions::default() };
    let producer = client.producer(&topic(), options).await.expect("the topic is there");
    let mut turns = tokio::time::interval(WRITE_EVERY);
    let mut under_way = JoinSet::new();
    let in_doubt: Rc<RefCell<Vec<InDoubt>>> = Rc::default();
    for number in 0..RECORDS {
        turns.tick().await;
        let before = book.newest();
        let delivery = producer.send(record((writer, number))).await.expect("there is room");
        let (book, in_doubt) = (book.clone(), Rc::clone(&in_doubt));
        under_way.spawn_local(async move {
            let told = match delivery.wait().await {
                Ok(delivered) => {
                    assert!(before < Some(delivered.timestamp), "what was acknowledged before stands before");
                    Told::Stands((delivered.receipt.shard, delivered.offset, delivered.timestamp))
                }
                Err(failure) => {
                    assert!(timeout < PATIENCE, "record {number}: {failure}");
                    if let (Outcome::Unknown, Some(batch)) = (failure.outcome, failure.batch) {
                        in_doubt.borrow_mut().push(((writer, number), *batch));
                    }
                    match failure.outcome {
                        Outcome::NotApplied => Told::NotApplied,
                        Outcome::Unknown => Told::Unknown,
                    }
                }
            };
            assert_eq!(book.told.borrow_mut().insert((writer, number), told), None);
        });
    }
    while let Some(ended) = under_way.join_next().await {
        ended.expect("no panic");
    }
    for (name, batch) in in_doubt.take() {
        let fate = client.fate(&batch, false).await.unwrap_or_else(|error| panic!("{batch}: {error}"));
        book.learn(name, fate);
    }
    book.done.set(book.done.get() + 1);
}

fn record((writer, number): Name) -> Record {
    let key = Some(Bytes::from(format!("key {}", number % 17)));
    let value = Some(Bytes::from(format!("{writer} {number} ").repeat(1 + number as usize % 50)));
    Record { key, value, ..Record::default() }
}

fn name_of(record: &Record) -> Name {
    let value = record.value.as_ref().expect("a value");
    let mut numbers =
        std::str::from_utf8(value).expect("text").split(' ').map(|word| word.parse().expect("a number"));
    (numbers.next().expect("a writer"), numbers.next().expect("a number"))
}

/// Reads, merged, as far as the options say, and proves the order.
async fn read(client: &Client, options: ConsumerOptions, found: &RefCell<Vec<(Name, Place)>>) {
    let mut records = client.consumer(&topic(), options).await.expect("the topic is there");
    while let Some(consumed) = records.next().await.unwrap_or_else(|error| panic!("{error}")) {
        let Consumed { shard, offset, timestamp, record, .. } = consumed;
        let before = found.borrow().last().map(|(_, (shard, _, timestamp))| (*timestamp, *shard));
        assert!(before < Some((timestamp, shard)), "one order for all");
        found.borrow_mut().push((name_of(&record), (shard, offset, timestamp)));
    }
}

/// Waits until the writers have created the topic.
async fn connect_to_topic(climate: &Climate, number: u64) -> Client {
    let client = connect(climate, number).await;
    let mut turns = tokio::time::interval(WRITE_EVERY);
    while client.describe_topic(&topic()).await.is_err() {
        turns.tick().await;
    }
    client
}

/// Reads along while it is written, then every node's replicas alone, and compares it all with what the writers
/// were told.
async fn prove(climate: Climate, book: Book) {
    let client = connect_to_topic(&climate, 3).await;
    let patient = ConsumerOptions { timeout: PATIENCE, ..ConsumerOptions::default() };
    let along = Rc::new(RefCell::new(Vec::new()));
    let reading = {
        let (client, patient, along) = (client.clone(), patient.clone(), Rc::clone(&along));
        tokio::task::spawn_local(async move { read(&client, patient, &along).await })
    };
    let mut turns = tokio::time::interval(WRITE_EVERY);
    while book.done.get() < WRITERS {
        turns.tick().await;
    }
    for node in NODES {
        let pinned = ConsumerOptions { node: Some(NodeId(node)), until: Until::ToEnd, ..patient.clone() };
        let found = RefCell::default();
        read(&client, pinned, &found).await;
        let found = found.into_inner();
        book.agrees_with(&found);
        while along.borrow().len() < found.len() {
            turns.tick().await;
        }
        // Of what nobody was told the fate, more may come at the end.
        assert!(along.borrow().starts_with(&found), "node {node} tells the story that all tell");
    }
    reading.abort();
}

/// Begins things and drops them midway: subscriptions, questions, changes of topics, half-sent requests.
async fn break_off(climate: Climate) {
    let mut random = StdRng::seed_from_u64(climate.seed ^ 0xb4ea);
    let client = connect_to_topic(&climate, 4).await;
    let endpoint = climate.client_endpoint(5).await;
    let mut turns = tokio::time::interval(WRITE_EVERY);
    while turmoil::sim_elapsed() < Some(STORM) {
        turns.tick().await;
        let limit = Duration::from_millis(random.random_range(1..300));
        let work = random.random_range(0..4);
        let node = random.random_range(1..=3);
        // Whether it was done or broken off: it must only leave nothing behind.
        let _ = tokio::time::timeout(limit, async {
            match work {
                0 => {
                    let options = ConsumerOptions { order: Order::EachShard, ..ConsumerOptions::default() };
                    let mut consumer = client.consumer(&topic(), options).await.ok()?;
                    while let Ok(Some(_)) = consumer.next().await {}
                }
                1 => drop(client.shard_statuses(&topic()).await),
                2 => {
                    let name: TopicName = format!("other-{node}").parse().expect("a good name");
                    let (shards, replicas) = (3, 3);
                    let partitioning = Partitioning::Hash;
                    let shape = CreateTopic {
                        name: name.clone(),
                        shards,
                        replicas,
                        partitioning,
                        durability: Durability::Disk,
                        retention: Retention::default(),
                    };
                    drop(client.create_topic(shape).await);
                    drop(client.delete_topic(&name).await);
                }
                _ => tear(&endpoint, node).await?,
            }
            Some(())
        })
        .await;
    }
}

/// Sends a large request that ends midway with its stream.
async fn tear(endpoint: &ClientEndpoint, node: u64) -> Option<()> {
    let connection = endpoint.connect(&address(node).to_string()).await.ok()?;
    let mut stream = connection.open_stream().await.ok()?;
    let hello =
        HelloBody { protocol: PROTOCOL_VERSION, cluster: String::new(), node: 0, ..HelloBody::default() };
    stream.send(&Request { id: 1, body: Some(RequestBody::Hello(hello)) }, Vec::new()).await.ok()?;
    stream.recv().await.ok()??;
    let append = RequestBody::Append(AppendBody { shard: 1, record_count: 1, ..AppendBody::default() });
    // More than a stream's window.
    let body = vec![Bytes::from(vec![7; 5 << 20])];
    stream.send(&Request { id: 2, body: Some(append) }, body).await.ok()?;
    stream.recv().await.ok()?.map(drop)
}

/// What the writers were told in the end.
fn through_the_storm(seed: u64) -> Book {
    let book = Book::default();
    let mut world = World::new(seed, run_node);
    let climate = world.climate();
    world.client("writer", write(climate.clone(), 1, PATIENCE, book.clone()));
    world.client("hasty-writer", write(climate.clone(), 2, HASTE, book.clone()));
    world.client("reader", prove(climate.clone(), book.clone()));
    world.client("breaker", break_off(climate));
    world.run(STORM, LIMIT, |_| false);
    book
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_and_what_became_of_batches_is_told_through_the_real_shell() {
    let (mut learnt, mut in_doubt) = (0, 0);
    for seed in seeds() {
        let book = through_the_storm(seed);
        learnt += book.learnt.get();
        in_doubt += book.told.borrow().values().filter(|told| **told == Told::Unknown).count();
    }
    println!("of {learnt} batches it was told later what became of them, {in_doubt} stayed unknown");
    assert!(learnt > 0 || seeds().count() == 1, "no batch was ever in doubt");
}

/// Writes through a cut from all nodes that is long enough for attempts to fill every stream's queue.
async fn write_into_the_void(climate: Climate) {
    let client = connect(&climate, 1).await;
    let shape = CreateTopic {
        name: topic(),
        shards: 2,
        replicas: 3,
        partitioning: Partitioning::Hash,
        durability: Durability::Disk,
        retention: Retention::default(),
    };
    client.create_topic(shape).await.expect("the topic is created in the end");
    let attempt_timeout = Duration::from_millis(50);
    let options =
        ProducerOptions { timeout: PATIENCE, attempt_timeout, in_flight: 8, ..ProducerOptions::default() };
    let producer = client.producer(&topic(), options).await.expect("the topic is there");
    let mut turns = tokio::time::interval(WRITE_EVERY);
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        turns.tick().await;
        match number {
            10 => NODES.into_iter().for_each(|node| turmoil::partition("writer", address(node).ip())),
            100 => NODES.into_iter().for_each(|node| turmoil::repair("writer", address(node).ip())),
            _ => {}
        }
        deliveries.push(producer.send(record((1, number))).await.expect("there is room"));
    }
    for delivery in deliveries {
        delivery.await.expect("acknowledged once the cut is mended");
    }
}

/// A producer that polls instead stops virtual time for good.
#[test]
fn a_producer_waits_while_its_streams_are_full() {
    let mut world = World::new(1, run_node);
    let climate = world.climate();
    world.client("writer", write_into_the_void(climate));
    world.run(Duration::ZERO, LIMIT, |_| false);
}

/// Nodes alone: elections, closed ticks and the system topic's first records, through crashes and cuts.
fn without_clients(seed: u64) -> Vec<String> {
    let mut world = World::new(seed, run_node);
    world.run(STORM, LIMIT, |world| world.elapsed() > STORM + Duration::from_secs(3));
    world.trace()
}

#[test]
fn one_seed_tells_one_story_of_nodes_datagram_by_datagram() {
    for seed in 1..=3 {
        let (first, second) = (without_clients(seed), without_clients(seed));
        for (line, (a, b)) in first.iter().zip(&second).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {line}");
        }
        assert_eq!(first.len(), second.len());
    }
}
