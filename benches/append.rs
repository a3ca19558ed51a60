//! The whole append, from a producer's call to its receipt, over three nodes on loopback: `cargo bench --bench append`.
//!
//! Records of 1 KiB; `in_flight` producers with one batch each under way, over 8 shards; then 64 of them with batches of 100 over
//! one shard and over a thousand, each batch to another. Beside criterion's figure, each case prints its latency and where the
//! time went on the leader, from the receipts.

mod nodes;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use nodes::Nodes;
use timberline::client::{Client, Producer, ProducerOptions};
use timberline::types::{Record, StageTimes, TopicName};
use tokio::runtime::Runtime;

const RECORD_BYTES: usize = 1024;
const SHARDS: u8 = 8;
/// Topics that a thousand shards are spread over.
const TOPICS: u8 = 4;
const TOPIC_SHARDS: u8 = 250;

/// What became of the time, batch by batch.
struct Stages {
    total: Histogram<u64>,
    stages: [(&'static str, Histogram<u64>); 4],
}

impl Stages {
    fn new() -> Self {
        let histogram = || Histogram::new(3).expect("three digits");
        let stages = ["queue", "sync", "replication", "commit-wait"].map(|name| (name, histogram()));
        Self { total: histogram(), stages }
    }

    fn note(&mut self, total: Duration, wait: &StageTimes) {
        self.total.record(total.as_nanos() as u64).expect("a sane latency");
        let times = [wait.queue, wait.sync, wait.replication, wait.commit_wait];
        for ((_, histogram), time) in self.stages.iter_mut().zip(times) {
            histogram.record(time.as_nanos() as u64).expect("a sane stage");
        }
    }

    fn print(&self, case: &str) {
        // A case that a filter left out.
        if self.total.is_empty() {
            return;
        }
        let us = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) / 1000;
        let total = [0.5, 0.99, 0.999].map(|quantile| us(&self.total, quantile));
        println!("{case}: append to receipt p50 {} us, p99 {} us, p999 {} us", total[0], total[1], total[2]);
        for (name, histogram) in &self.stages {
            println!("    {name:12} p50 {:>6} us  p99 {:>6} us", us(histogram, 0.5), us(histogram, 0.99));
        }
    }
}

async fn append_batch(producer: &Producer, key: u8, records: u32, stages: &Mutex<Stages>) {
    let began = Instant::now();
    let mut last = None;
    for _ in 0..records {
        let record = Record {
            key: Some(Bytes::copy_from_slice(&[key])),
            value: Some(Bytes::from_static(&[7; RECORD_BYTES])),
            ..Record::default()
        };
        last = Some(producer.send(record).await.expect("the producer takes it"));
    }
    let delivered = last.expect("a batch has records").wait().await.expect("it is acknowledged");
    stages.lock().expect("nobody panicked").note(began.elapsed(), &delivered.receipt.wait);
}

/// Runs `batches` over all producers side by side.
async fn run(
    producers: &Arc<Vec<Producer>>,
    shards: u8,
    records: u32,
    batches: u64,
    stages: &Arc<Mutex<Stages>>,
) -> Duration {
    let count = producers.len() as u64;
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for place in 0..count {
        let (producers, stages) = (Arc::clone(producers), Arc::clone(stages));
        let share = batches / count + u64::from(place < batches % count);
        tasks.spawn(async move {
            for turn in 0..share {
                let key = ((place + turn * count) % u64::from(shards)) as u8;
                append_batch(&producers[place as usize], key, records, &stages).await;
            }
        });
    }
    tasks.join_all().await;
    began.elapsed()
}

async fn producers(
    client: &Client,
    topics: &[TopicName],
    in_flight: usize,
    records: u32,
) -> Arc<Vec<Producer>> {
    let options = ProducerOptions {
        linger: Duration::from_millis(1),
        batch_records: records,
        batch_bytes: 1 << 20,
        ..ProducerOptions::default()
    };
    let mut producers = Vec::new();
    for topic in topics.iter().cycle().take(in_flight) {
        producers.push(client.producer(topic, options.clone()).await.expect("a producer"));
    }
    Arc::new(producers)
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    case: &str,
    producers: &Arc<Vec<Producer>>,
    shards: u8,
    records: u32,
) {
    let stages = Arc::new(Mutex::new(Stages::new()));
    group.throughput(Throughput::Elements(records.into()));
    group.bench_function(BenchmarkId::from_parameter(case), |bencher| {
        bencher.iter_custom(|batches| runtime.block_on(run(producers, shards, records, batches, &stages)));
    });
    stages.lock().expect("nobody panicked").print(case);
}

fn whole_append(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("append/three_nodes");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    for uncertainty_us in [0, 100, 1000] {
        let nodes = Nodes::start(Duration::from_micros(uncertainty_us), [0; 3]);
        let client = runtime.block_on(nodes.client());
        let topics = [runtime.block_on(nodes.topic(&client, "bench", SHARDS)).name];
        for (in_flight, records) in [(1, 1), (1, 100), (64, 1), (64, 100)] {
            let producers = runtime.block_on(producers(&client, &topics, in_flight, records));
            let case = format!("uncertainty_us={uncertainty_us},in_flight={in_flight},batch={records}");
            measure(&mut group, &runtime, &case, &producers, SHARDS, records);
        }
    }
    group.finish();
}

fn many_shards(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("append/many_shards");
    group.sample_size(10).warm_up_time(Duration::from_secs(2)).measurement_time(Duration::from_secs(5));
    for (topics, shards) in [(1, 1), (TOPICS, TOPIC_SHARDS)] {
        let nodes = Nodes::start(Duration::from_micros(50), [0; 3]);
        let client = runtime.block_on(nodes.client());
        let topic = |n| runtime.block_on(nodes.topic(&client, &format!("bench-{n}"), shards)).name;
        let names: Vec<_> = (0..topics).map(topic).collect();
        let producers = runtime.block_on(producers(&client, &names, 64, 100));
        let case = format!("shards={}", u32::from(topics) * u32::from(shards));
        measure(&mut group, &runtime, &case, &producers, shards, 100);
    }
    group.finish();
}

criterion_group!(benches, whole_append, many_shards);
criterion_main!(benches);
