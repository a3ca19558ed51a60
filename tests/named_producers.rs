//! Producers that are given their id, over real nodes: runs that fence each other, and what became of a batch.

use std::time::Duration;

use timberline::client::{
    Client, ConsumerOptions, CreateTopic, Error, Outcome, Producer, ProducerOptions, Until,
};
use timberline::testing::{Cluster, ClusterOptions};
use timberline::types::{BatchId, BatchRef, Fate, ProducerId, Record, TopicName};
use timberline::wire::ErrorCode;

async fn started() -> (Cluster, Client, TopicName) {
    let cluster = Cluster::with(&ClusterOptions { nodes: 3, ..ClusterOptions::default() }).expect("nodes");
    let client = cluster.client().await.expect("a client");
    let name: TopicName = "orders".parse().expect("a good name");
    let wanted = CreateTopic { shards: 2, replicas: 3, ..CreateTopic::named(&name) };
    client.create_topic(wanted).await.expect("a topic");
    (cluster, client, name)
}

fn named() -> ProducerOptions {
    ProducerOptions {
        batch_records: 1,
        producer: Some(ProducerId(7)),
        timeout: Duration::from_secs(20),
        ..ProducerOptions::default()
    }
}

fn record(n: u64) -> Record {
    Record { key: Some(n.to_string().into()), value: Some(n.to_string().into()), ..Record::default() }
}

/// Sends records and awaits that each is stored.
async fn send(producer: &Producer, numbers: std::ops::Range<u64>) {
    for n in numbers {
        producer.send(record(n)).await.expect("it is taken").await.expect("it is stored");
    }
}

async fn read(client: &Client, name: &TopicName) -> Vec<u64> {
    let options = ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(name, options).await.expect("a consumer");
    let mut read = Vec::new();
    while let Some(consumed) = consumer.next().await.expect("it is read") {
        let text = consumed.record.value.expect("each has one");
        read.push(std::str::from_utf8(&text).expect("text").parse().expect("a number"));
    }
    read.sort_unstable();
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_run_under_an_id_stores_all_its_records_and_fences_the_first() {
    let (_cluster, client, name) = started().await;
    let first = client.producer(&name, named()).await.expect("a producer");
    send(&first, 0..20).await;
    // The first did not end, and the second does not know of it.
    let second = client.producer(&name, named()).await.expect("a producer");
    send(&second, 20..40).await;
    let failure = first.send(record(99)).await.expect("it is taken").await.expect_err("it is fenced");
    assert_eq!(failure.outcome, Outcome::NotApplied);
    assert!(
        matches!(&failure.error, Error::Refused(refusal) if refusal.code == ErrorCode::ProducerFenced),
        "{failure}"
    );
    send(&second, 40..60).await;
    assert_eq!(read(&client, &name).await, (0..60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_batch_is_told_later_and_settling_it_fences_its_producer() {
    let (cluster, client, name) = started().await;
    let producer = client.producer(&name, named()).await.expect("a producer");
    let stored = producer.send(record(1)).await.expect("taken").await.expect("stored").receipt;
    // Its only shard's first run has the first epoch, and its first batch the first sequence.
    let batch = |sequence| BatchRef {
        shard: stored.shard,
        batch: BatchId { producer: ProducerId(7), epoch: 256, sequence },
    };
    for settle in [false, true] {
        let Fate::Applied(receipt) = client.fate(&batch(1), settle).await.expect("an answer") else {
            panic!("it stands in the shard");
        };
        assert_eq!(
            (receipt.first_offset, receipt.first_timestamp),
            (stored.first_offset, stored.first_timestamp)
        );
    }
    assert_eq!(client.fate(&batch(2), false).await.expect("an answer"), Fate::Open);
    assert_eq!(client.fate(&batch(2), true).await.expect("an answer"), Fate::NotApplied);
    let failure = producer.send(record(1)).await.expect("it is taken").await.expect_err("it is fenced");
    assert_eq!(failure.batch.as_deref(), Some(&batch(2)), "the one that was settled");
    assert_eq!(client.fate(&batch(2), false).await.expect("an answer"), Fate::NotApplied, "it is remembered");
    let other = cluster.client().await.expect("a client");
    assert_eq!(other.fate(&batch(2), true).await.expect("an answer"), Fate::Forgotten);
    assert_eq!(read(&client, &name).await, [1]);
}
