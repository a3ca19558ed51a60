//! How long a merged follower waits when 63 of 64 shards are idle: `cargo bench --bench merged_delay`.
//!
//! One shard takes a record every 5 ms; a consumer reads all 64 merged, from a node that does not lead that shard. The
//! delay counts from the producer's acknowledgement to the record's delivery in merged order. It must stay, at p99, under one closed
//! tick + 2 uncertainties + 2 round trips; a round trip is a client's smallest question, at its own p99. Exit status 1 if not.

mod nodes;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use nodes::Nodes;
use timberline::client::{Client, Consumer, ConsumerOptions, Producer, ProducerOptions, Start, Topic};
use timberline::types::{NodeId, Record};
use tokio::time::MissedTickBehavior;

const SHARDS: u8 = 64;
const UNCERTAINTY: Duration = Duration::from_millis(1);
/// The default of `replication.closed_tick`.
const CLOSED_TICK: Duration = Duration::from_millis(20);
const EVERY: Duration = Duration::from_millis(5);
const RECORDS: usize = 2000;
const WARM_UP: usize = 200;

fn main() -> ExitCode {
    let nodes = Nodes::start(UNCERTAINTY, [0; 3]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(&nodes))
}

async fn run(nodes: &Nodes) -> ExitCode {
    let client = nodes.client().await;
    let topic = nodes.topic(&client, "mostly-idle", SHARDS).await;
    let leader = topic.shards[0].leader.expect("every shard has a leader");
    let follower = (1..=3).map(NodeId).find(|node| *node != leader).expect("there are three");
    let round_trip = round_trips(&client, follower).await;
    let (sent, acknowledged, delivered) = follow(&client, &topic, follower).await;
    let delays = |from: &[Instant]| {
        let mut delays = new_histogram();
        for (from, to) in from.iter().zip(&delivered).skip(WARM_UP) {
            delays.record(to.saturating_duration_since(*from).as_nanos() as u64).expect("a sane delay");
        }
        delays
    };
    let (from_ack, from_send) = (delays(&acknowledged), delays(&sent));
    println!("{RECORDS} records, {} of {SHARDS} shards idle, uncertainty {UNCERTAINTY:?}", SHARDS - 1);
    print("round trip", &round_trip);
    print("sent to delivered", &from_send);
    print("acknowledged to delivered", &from_ack);
    let p99 = |histogram: &Histogram<u64>| Duration::from_nanos(histogram.value_at_quantile(0.99));
    let bound = CLOSED_TICK + 2 * UNCERTAINTY + 2 * p99(&round_trip);
    let kept = p99(&from_ack) < bound;
    let verdict = if kept { "is under" } else { "IS NOT under" };
    println!("p99 {:?} {verdict} one tick + 2 eps + 2 round trips = {bound:?}", p99(&from_ack));
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn round_trips(client: &Client, node: NodeId) -> Histogram<u64> {
    let mut taken = new_histogram();
    for _ in 0..500 {
        let began = Instant::now();
        client.clock(Some(node)).await.expect("the node answers");
        taken.record(began.elapsed().as_nanos() as u64).expect("a sane round trip");
    }
    taken
}

/// When each record was sent, acknowledged, and delivered by the merged follower.
async fn follow(client: &Client, topic: &Topic, node: NodeId) -> (Vec<Instant>, Vec<Instant>, Vec<Instant>) {
    let options = ProducerOptions { linger: Duration::ZERO, batch_records: 1, ..ProducerOptions::default() };
    let producer = client.producer(&topic.name, options).await.expect("a producer");
    let options = ConsumerOptions { from: Start::Begin, node: Some(node), ..ConsumerOptions::default() };
    let consumer = client.consumer(&topic.name, options).await.expect("a consumer");
    let reading = tokio::spawn(read(consumer));
    let (sent, acknowledged) = write(&producer).await;
    (sent, acknowledged, reading.await.expect("the reader ends"))
}

async fn write(producer: &Producer) -> (Vec<Instant>, Vec<Instant>) {
    let mut pace = tokio::time::interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut acknowledged) = (Vec::new(), Vec::new());
    for _ in 0..RECORDS {
        pace.tick().await;
        sent.push(Instant::now());
        let record = Record { key: Some(Bytes::from_static(&[0])), ..Record::default() };
        let delivery = producer.send(record).await.expect("the producer takes it");
        delivery.wait().await.expect("it is acknowledged");
        acknowledged.push(Instant::now());
    }
    (sent, acknowledged)
}

async fn read(mut consumer: Consumer) -> Vec<Instant> {
    let mut delivered = Vec::new();
    while delivered.len() < RECORDS {
        consumer.next().await.expect("the follower reads").expect("it never ends");
        delivered.push(Instant::now());
    }
    delivered
}

fn new_histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits")
}

fn print(what: &str, histogram: &Histogram<u64>) {
    let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
    let max = Duration::from_nanos(histogram.max());
    println!("{what:26} p50 {:>10.3?}  p99 {:>10.3?}  max {max:>10.3?}", at(0.5), at(0.99));
}
