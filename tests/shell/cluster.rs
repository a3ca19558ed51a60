//! Whole nodes and the real client: nothing acknowledged is lost or doubled, whatever happens meanwhile.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use timberline::client::{
    Client, Consumed, ConsumerOptions, CreateTopic, Order, Partitioning, ProducerOptions, Until,
};
use timberline::clock::ClockOptions;
use timberline::disk::Disk;
use timberline::node::{Ground, Limits, NodeOptions, ReplicationOptions, SimulatedNode};
use timberline::transport::ClientEndpoint;
use timberline::types::{NodeId, Offset, ProducerId, Record, ShardId, Timestamp, TopicName};
use timberline::wire::{AppendBody, HelloBody, PROTOCOL_VERSION, Request, RequestBody};
use tokio::task::JoinSet;

use crate::certs;
use crate::seeds;
use crate::world::{Climate, Machine, NODES, UNCERTAINTY, World, address};

const STORM: Duration = Duration::from_secs(12);
const LIMIT: Duration = Duration::from_secs(90);
/// How long clients go on trying: longer than any storm.
const PATIENCE: Duration = Duration::from_secs(60);
const RECORDS: u64 = 200;
const WRITE_EVERY: Duration = Duration::from_millis(60);

async fn run_node(machine: Rc<Machine>) -> Result<(), Box<dyn std::error::Error>> {
    let ground = Ground {
        disk: std::sync::Arc::clone(&machine.disk) as std::sync::Arc<dyn Disk>,
        socket: machine.socket().await?,
        identity: certs::node(machine.node),
        clock: machine.clock(),
        fresh_identity: 100 + machine.node,
    };
    SimulatedNode::start(options(machine.node), ground)?.run().await;
    Ok(())
}

fn options(node: u64) -> NodeOptions {
    NodeOptions {
        node: NodeId(node),
        cluster: "simulated".parse().expect("a good name"),
        listen: address(node),
        data_dir: "on/no/disk".into(),
        certs_dir: "in/no/folder".into(),
        peers: NODES.map(|peer| (NodeId(peer), address(peer).to_string())).to_vec(),
        metrics_listen: None,
        clock: ClockOptions::default(),
        clock_uncertainty: UNCERTAINTY,
        clock_inject_file: None,
        replication: ReplicationOptions::default(),
        first_segment_bytes: 16 << 10,
        segment_bytes_max: 64 << 10,
        sync_threads: 1,
        limits: Limits::default(),
        drain_timeout: Duration::from_secs(1),
    }
}

fn topic() -> TopicName {
    "events".parse().expect("a good name")
}

async fn connect(climate: &Climate, number: u64) -> Client {
    let endpoint = climate.client_endpoint(number).await;
    let addresses = NODES.map(|node| address(node).to_string()).to_vec();
    Client::over(endpoint, addresses, PATIENCE).await.expect("a node answers in the end")
}

/// Where records stand, by their number.
type Book = Rc<RefCell<BTreeMap<u64, (ShardId, Offset, Timestamp)>>>;

/// Writes numbered records, some at once and some one after the other, and books what is acknowledged.
async fn write(climate: Climate, book: Book) {
    let client = connect(&climate, 1).await;
    let shape = CreateTopic { name: topic(), shards: 2, replicas: 3, partitioning: Partitioning::Hash };
    client.create_topic(shape).await.expect("the topic is created in the end");
    let producer = Some(ProducerId(77));
    let options = ProducerOptions { timeout: PATIENCE, producer, ..ProducerOptions::default() };
    let producer = client.producer(&topic(), options).await.expect("the topic is there");
    let mut turns = tokio::time::interval(WRITE_EVERY);
    let mut under_way = JoinSet::new();
    for number in 0..RECORDS {
        turns.tick().await;
        let acknowledged = book.borrow().values().map(|(_, _, timestamp)| *timestamp).max();
        let key = Some(Bytes::from(format!("key {}", number % 17)));
        let value = Some(Bytes::from(format!("{number} ").repeat(1 + number as usize % 50)));
        let record = Record { key, value, ..Record::default() };
        let delivery = producer.send(record).await.expect("there is room");
        let book = Rc::clone(&book);
        under_way.spawn_local(async move {
            let delivered =
                delivery.wait().await.unwrap_or_else(|failure| panic!("record {number}: {failure}"));
            let place = (delivered.receipt.shard, delivered.offset, delivered.timestamp);
            assert!(acknowledged < Some(delivered.timestamp), "what was acknowledged before stands before");
            assert_eq!(book.borrow_mut().insert(number, place), None);
        });
    }
    while let Some(ended) = under_way.join_next().await {
        ended.expect("no panic");
    }
    producer.close().await.expect("all is acknowledged");
}

/// Reads, merged, until `enough` says so, and proves the order.
async fn read(
    client: &Client,
    options: ConsumerOptions,
    enough: impl Fn(usize) -> bool,
) -> Vec<(u64, (ShardId, Offset, Timestamp))> {
    let mut records = client.consumer(&topic(), options).await.expect("the topic is there");
    let mut read: Vec<(u64, (ShardId, Offset, Timestamp))> = Vec::new();
    while !enough(read.len()) {
        let Some(consumed) = records.next().await.unwrap_or_else(|error| panic!("{error}")) else { break };
        let Consumed { shard, offset, timestamp, .. } = consumed;
        let before = read.last().map(|(_, (shard, _, timestamp))| (*timestamp, *shard));
        assert!(before < Some((timestamp, shard)), "one order for all");
        read.push((number_of(&consumed), (shard, offset, timestamp)));
    }
    read
}

fn number_of(consumed: &Consumed) -> u64 {
    let value = consumed.record.value.as_ref().expect("a value");
    let text = std::str::from_utf8(value).expect("text");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Waits until the writer has created the topic.
async fn connect_to_topic(climate: &Climate, number: u64) -> Client {
    let client = connect(climate, number).await;
    let mut turns = tokio::time::interval(WRITE_EVERY);
    while client.describe_topic(&topic()).await.is_err() {
        turns.tick().await;
    }
    client
}

/// Reads along while it is written, then every node's replicas alone, and compares it all with what was
/// acknowledged.
async fn prove(climate: Climate, book: Book) {
    let client = connect_to_topic(&climate, 2).await;
    let patient = ConsumerOptions { timeout: PATIENCE, ..ConsumerOptions::default() };
    let along = read(&client, patient.clone(), |read| read == RECORDS as usize).await;
    let mut turns = tokio::time::interval(WRITE_EVERY);
    while book.borrow().len() < RECORDS as usize {
        turns.tick().await;
    }
    let acknowledged: BTreeMap<_, _> = along.iter().copied().collect();
    assert_eq!(
        acknowledged,
        *book.borrow(),
        "what is read is what was acknowledged, where it was acknowledged"
    );
    for node in NODES {
        let node = Some(NodeId(node));
        let pinned = ConsumerOptions { node, until: Until::ToEnd, ..patient.clone() };
        assert_eq!(
            read(&client, pinned, |_| false).await,
            along,
            "{node:?} has all of it, once, in one order"
        );
    }
}

/// Begins things and drops them midway: subscriptions, questions, changes of topics, half-sent requests.
async fn break_off(climate: Climate) {
    let mut random = StdRng::seed_from_u64(climate.seed ^ 0xb4ea);
    let client = connect_to_topic(&climate, 3).await;
    let endpoint = climate.client_endpoint(4).await;
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
                    let shape = CreateTopic { name: name.clone(), shards, replicas, partitioning };
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
    let hello = HelloBody { protocol: PROTOCOL_VERSION, cluster: String::new(), node: 0 };
    stream.send(&Request { id: 1, body: Some(RequestBody::Hello(hello)) }, Vec::new()).await.ok()?;
    stream.recv().await.ok()??;
    let append = RequestBody::Append(AppendBody { shard: 1, record_count: 1, ..AppendBody::default() });
    // More than a stream's window.
    let body = vec![Bytes::from(vec![7; 5 << 20])];
    stream.send(&Request { id: 2, body: Some(append) }, body).await.ok()?;
    stream.recv().await.ok()?.map(drop)
}

fn through_the_storm(seed: u64) -> World {
    let book = Book::default();
    let mut world = World::new(seed, run_node);
    let climate = world.climate();
    world.client("writer", write(climate.clone(), Rc::clone(&book)));
    world.client("reader", prove(climate.clone(), book));
    world.client("breaker", break_off(climate));
    world.run(STORM, LIMIT, |_| false);
    world
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_through_the_real_shell() {
    for seed in seeds() {
        through_the_storm(seed);
    }
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
