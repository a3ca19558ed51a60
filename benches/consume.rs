//! Reading from the page cache, and what a record costs its client: `cargo bench --bench consume`.
//!
//! Three nodes in this process; records of 1 KiB in batches of 100, uncompressed. Every round reads the same bytes five ways, one
//! right after the other: a bare QUIC stream from memory; a topic of one shard; sixteen shards, a reader each, side by side; the sixteen
//! merged into one order; the sixteen as records arrive. All clients run on one thread, whose CPU time the kernel counts. At the end the medians, and
//! of each round's ratios: one shard against the bare stream (aim 0.70), merged against the readers side by side (aim 0.80).

mod bare;
mod nodes;

use std::time::{Duration, Instant};

use bare::Bare;
use bytes::Bytes;
use nodes::Nodes;
use timberline::client::{Client, Consumer, ConsumerOptions, Order, Producer, ProducerOptions, Topic, Until};
use timberline::types::{Record, Timestamp};

const UNCERTAINTY: Duration = Duration::from_micros(50);
const RECORD_BYTES: u32 = 1024;
const BATCH_RECORDS: u32 = 100;
const RECORDS: u32 = 128 * 1024;
const BYTES: usize = RECORDS as usize * RECORD_BYTES as usize;
const SHARDS: u8 = 16;
/// Rounds that do not count: the disk is still writing what was produced.
const WARMUP_ROUNDS: usize = 5;
const ROUNDS: usize = 9;

/// What one pass took.
#[derive(Clone, Copy)]
struct Pass {
    elapsed: Duration,
    /// Of the client's thread.
    cpu: Duration,
}

/// One way to read, and a pass of each round.
struct Way {
    name: &'static str,
    passes: Vec<Pass>,
}

fn main() {
    let nodes = Nodes::start(UNCERTAINTY, [0; 3]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bare = runtime.block_on(Bare::start(BYTES));
    runtime.block_on(run(&nodes, &bare));
}

async fn run(nodes: &Nodes, bare: &Bare) {
    let client = nodes.client().await;
    let one = nodes.topic(&client, "one", 1).await;
    let many = nodes.topic(&client, "many", SHARDS).await;
    let mut producing = Vec::new();
    let mut end = Timestamp(0);
    for topic in [&one, &many] {
        let (pass, last) = produce(&client, topic).await;
        producing.push(pass);
        end = end.max(last);
    }
    let names = [
        "bare stream",
        "one shard",
        "16 shards, a reader each",
        "16 shards, merged",
        "16 shards, as they arrive",
    ];
    let mut ways = names.map(|name| Way { name, passes: Vec::new() });
    for round in 0..WARMUP_ROUNDS + ROUNDS {
        let passes = [
            measured(async { assert_eq!(bare.read().await, BYTES) }).await,
            measured(read(&client, &one, Order::Merged, end)).await,
            measured(read_each(&client, &many, end)).await,
            measured(read(&client, &many, Order::Merged, end)).await,
            measured(read(&client, &many, Order::EachShard, end)).await,
        ];
        if round >= WARMUP_ROUNDS {
            ways.iter_mut().zip(passes).for_each(|(way, pass)| way.passes.push(pass));
        }
    }
    for (name, pass) in ["produced to one shard", "produced to 16 shards"].into_iter().zip(producing) {
        print(name, &[pass]);
    }
    for way in &ways {
        print(way.name, &way.passes);
    }
    let [bare, one, each, merged, _] = &ways;
    print_ratio("one shard against the bare stream", one, bare);
    print_ratio("merged against a reader each", merged, each);
}

/// Fills a topic, its records spread evenly over its shards; the last timestamp.
async fn produce(client: &Client, topic: &Topic) -> (Pass, Timestamp) {
    let options =
        ProducerOptions { batch_records: BATCH_RECORDS, batch_bytes: 1 << 20, ..ProducerOptions::default() };
    let producer = client.producer(&topic.name, options).await.expect("a producer");
    let shards = topic.shards.len();
    let pass = measured(async {
        for place in 0..RECORDS {
            // A batch after the other, each to the next shard.
            let shard = (place / BATCH_RECORDS) as usize % shards;
            send(&producer, shard as u8).await;
        }
        producer.flush().await.expect("everything is acknowledged");
    })
    .await;
    let end = client.now().await.expect("the nodes' clocks are right").interval.latest;
    (pass, end)
}

async fn send(producer: &Producer, key: u8) {
    let record = Record {
        key: Some(Bytes::copy_from_slice(&[key])),
        value: Some(Bytes::from_static(&[7; RECORD_BYTES as usize])),
        ..Record::default()
    };
    producer.send(record).await.expect("the producer takes it");
}

async fn read(client: &Client, topic: &Topic, order: Order, end: Timestamp) {
    let options = ConsumerOptions { order, until: Until::Closed(end), ..ConsumerOptions::default() };
    let consumer = client.consumer(&topic.name, options).await.expect("a consumer");
    assert_eq!(drain(consumer).await, RECORDS, "every record is read");
}

async fn read_each(client: &Client, topic: &Topic, end: Timestamp) {
    let mut reading = tokio::task::JoinSet::new();
    for shard in &topic.shards {
        let order = Order::Shard(shard.shard);
        let options = ConsumerOptions { order, until: Until::Closed(end), ..ConsumerOptions::default() };
        let consumer = client.consumer(&topic.name, options).await.expect("a consumer");
        reading.spawn(drain(consumer));
    }
    assert_eq!(reading.join_all().await.iter().sum::<u32>(), RECORDS, "every record is read");
}

async fn drain(mut consumer: Consumer) -> u32 {
    let mut read = 0;
    while let Some(record) = consumer.next().await.expect("the nodes serve") {
        read += 1;
        drop(record);
    }
    read
}

async fn measured(work: impl Future<Output = ()>) -> Pass {
    let (began, cpu_began) = (Instant::now(), thread_cpu());
    work.await;
    Pass { elapsed: began.elapsed(), cpu: thread_cpu().saturating_sub(cpu_began) }
}

/// What this thread has spent on a core.
fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let spent_ns = stat.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(spent_ns.expect("its first field is nanoseconds"))
}

fn print(name: &str, passes: &[Pass]) {
    let (records, mebibytes) = (f64::from(RECORDS), f64::from(RECORDS * RECORD_BYTES) / f64::from(1 << 20));
    let rate = |pass: &Pass| mebibytes / pass.elapsed.as_secs_f64();
    let cost = |pass: &Pass| pass.cpu.as_secs_f64() * 1e6 / records;
    let rates: Vec<f64> = passes.iter().map(rate).collect();
    let costs: Vec<f64> = passes.iter().map(cost).collect();
    println!(
        "{name:26} {:7.0} MiB/s ({:.0} to {:.0}), client {:.2} us of CPU a record",
        median(&rates),
        least(&rates),
        most(&rates),
        median(&costs),
    );
}

fn print_ratio(name: &str, of: &Way, against: &Way) {
    let pairs = of.passes.iter().zip(&against.passes);
    let ratios: Vec<f64> =
        pairs.map(|(of, against)| against.elapsed.as_secs_f64() / of.elapsed.as_secs_f64()).collect();
    println!("{name:34} {:.2} ({:.2} to {:.2})", median(&ratios), least(&ratios), most(&ratios));
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn least(of: &[f64]) -> f64 {
    of.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(of: &[f64]) -> f64 {
    of.iter().copied().fold(0.0, f64::max)
}
