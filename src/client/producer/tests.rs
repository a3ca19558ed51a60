//! Producers against a test cluster over real connections.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{AppendFailure, OnReport, Producer, ProducerOptions};
use crate::client::testing::{Cluster, Fault, topic_name};
use crate::client::{Error, Kind, Outcome};
use crate::codec::{Compression, decode_records};
use crate::types::{BatchRef, Fate, NodeId, ProducerId, Record};
use crate::wire::ErrorCode;

fn record(key: Option<u64>, value: u64) -> Record {
    let key = key.map(|key| key.to_string().into());
    Record { key, value: Some(value.to_string().into()), ..Record::default() }
}

const TIMEOUT: Duration = Duration::from_secs(20);

fn quick() -> ProducerOptions {
    ProducerOptions {
        batch_records: 1,
        attempt_timeout: Duration::from_millis(100),
        timeout: TIMEOUT,
        ..ProducerOptions::default()
    }
}

/// The values a shard stores, in order.
fn stored(cluster: &Cluster, shard: u64) -> Vec<u64> {
    let frames = cluster.world().shard(shard).frames.clone();
    let batches = frames.iter().filter(|frame| frame.header.record_count > 0);
    let records = batches.flat_map(|frame| {
        decode_records(&frame.body, frame.header.compression, frame.header.record_count)
            .expect("what was appended")
    });
    let values = records.map(|record| record.value.expect("every test record has a value"));
    values.map(|value| std::str::from_utf8(&value).unwrap().parse().unwrap()).collect()
}

fn faults(cluster: &Cluster, shard: u64, faults: impl IntoIterator<Item = Fault>) {
    cluster.change(|world| world.shard(shard).faults.extend(faults));
}

#[tokio::test]
async fn a_client_told_of_one_node_writes_each_key_to_its_shards_leader_wherever_that_is() {
    let cluster = Cluster::start(3, 4);
    let client = cluster.client(&[2]).await;
    let topic = client.describe_topic(&topic_name()).await.unwrap();
    let producer = client.producer(&topic_name(), ProducerOptions::default()).await.unwrap();
    let mut deliveries = Vec::new();
    for value in 0..200 {
        deliveries.push(producer.send(record(Some(value % 17), value)).await.unwrap());
    }
    producer.flush().await.unwrap();
    for (value, delivery) in (0_u64..).zip(deliveries) {
        let delivered = delivery.await.unwrap();
        let shard = topic.router.shard_of((value % 17).to_string().as_bytes());
        assert_eq!(delivered.receipt.shard, shard);
        assert_eq!(stored(&cluster, shard.0)[delivered.offset.0 as usize], value);
    }
    for shard in 1..=4 {
        assert!(stored(&cluster, shard).is_sorted(), "shard {shard} keeps the order of sending");
    }
}

#[tokio::test]
async fn compressed_batches_are_stored_as_sent_and_others_as_they_are() {
    for compression in [Compression::Lz4, Compression::Zstd] {
        let cluster = Cluster::start(1, 1);
        let options = ProducerOptions { batch_records: 100, compression, linger: TIMEOUT, ..quick() };
        let producer = cluster.client(&[1]).await.producer(&topic_name(), options).await.unwrap();
        for value in 0..101 {
            producer.send(record(None, value)).await.unwrap();
        }
        producer.close().await.unwrap();
        assert_eq!(stored(&cluster, 1), (0..101).collect::<Vec<_>>());
        let frames = cluster.world().shard(1).frames.clone();
        let kept: Vec<_> = frames.iter().map(|frame| frame.header.compression).collect();
        assert_eq!(kept, [compression, Compression::None]);
    }
}

#[tokio::test]
async fn a_batch_that_was_applied_but_not_answered_is_stored_once() {
    let cluster = Cluster::start(1, 1);
    faults(&cluster, 1, [Fault::ApplyAndCut, Fault::Cut, Fault::ApplyAndCut, Fault::Ignore]);
    let producer = cluster.client(&[1]).await.producer(&topic_name(), quick()).await.unwrap();
    for value in 0..10 {
        producer.send(record(None, value)).await.unwrap();
    }
    producer.close().await.unwrap();
    assert_eq!(stored(&cluster, 1), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn refused_batches_are_sent_again_in_order_to_whoever_leads() {
    let cluster = Cluster::start(3, 1);
    let refusals = [
        Fault::Refuse(ErrorCode::Busy, Outcome::NotApplied.into()),
        Fault::Refuse(ErrorCode::LeadershipLost, Outcome::Unknown.into()),
        Fault::Refuse(ErrorCode::Fenced, Outcome::NotApplied.into()),
    ];
    faults(&cluster, 1, refusals);
    let producer = cluster.client(&[1]).await.producer(&topic_name(), quick()).await.unwrap();
    for value in 0..60 {
        let delivery = producer.send(record(None, value)).await.unwrap();
        if value % 20 == 10 {
            delivery.await.unwrap();
            cluster.change(|world| {
                let shard = world.shard(1);
                shard.leader = NodeId(1 + shard.leader.0 % 3);
                shard.term += 1;
            });
        }
    }
    producer.close().await.unwrap();
    assert_eq!(stored(&cluster, 1), (0..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_leader_that_stops_is_replaced_and_nothing_is_lost_or_repeated() {
    let mut cluster = Cluster::start(2, 1);
    let leader = cluster.world().shard(1).leader.0;
    let producer = cluster.client(&[1, 2]).await.producer(&topic_name(), quick()).await.unwrap();
    producer.send(record(None, 0)).await.unwrap().await.unwrap();
    cluster.stop_node(leader).await;
    cluster.change(|world| {
        world.shard(1).leader = NodeId(3 - leader);
        world.shard(1).term += 1;
    });
    for value in 1..10 {
        producer.send(record(None, value)).await.unwrap();
    }
    producer.close().await.unwrap();
    assert_eq!(stored(&cluster, 1), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_that_was_only_ever_refused_ends_not_applied_in_time() {
    let cluster = Cluster::start(1, 1);
    let refusal = Fault::Refuse(ErrorCode::Busy, Outcome::NotApplied.into());
    faults(&cluster, 1, vec![refusal; 1000]);
    let options = ProducerOptions { timeout: Duration::from_millis(300), ..quick() };
    let producer = cluster.client(&[1]).await.producer(&topic_name(), options).await.unwrap();
    let failure = producer.send(record(None, 1)).await.unwrap().await.unwrap_err();
    assert_eq!((failure.outcome, failure.retryable), (Outcome::NotApplied, true));
    assert_eq!(failure.error.kind(), Kind::Unavailable);
    let attempts = cluster.world().shard(1).attempts.len();
    assert!((2..40).contains(&attempts), "{attempts} attempts in 300 ms are too few or a storm");
}

#[tokio::test]
async fn after_a_batch_of_unknown_end_the_shard_goes_on_in_the_next_epoch() {
    let cluster = Cluster::start(1, 1);
    faults(&cluster, 1, vec![Fault::Ignore; 100]);
    let options = ProducerOptions { timeout: Duration::from_millis(400), ..quick() };
    let producer = cluster.client(&[1]).await.producer(&topic_name(), options).await.unwrap();
    let AppendFailure { outcome, .. } = producer.send(record(None, 1)).await.unwrap().await.unwrap_err();
    assert_eq!(outcome, Outcome::Unknown);
    cluster.change(|world| world.shard(1).faults.clear());
    producer.send(record(None, 2)).await.unwrap().await.unwrap();
    producer.send(record(None, 3)).await.unwrap().await.unwrap();
    assert_eq!(stored(&cluster, 1), [2, 3]);
    let last = cluster.world().shard(1).frames.last().unwrap().header.batch;
    assert_eq!((last.epoch, last.sequence), (1, 3));
}

/// Sends a batch whose attempts go wrong as `fault` says, until its time is over.
async fn unknown(cluster: &Cluster, producer: &Producer, fault: Fault) -> BatchRef {
    faults(cluster, 1, std::iter::once(fault).chain(vec![Fault::Ignore; 100]));
    let AppendFailure { outcome, batch, .. } =
        producer.send(record(None, 1)).await.unwrap().await.unwrap_err();
    cluster.change(|world| world.shard(1).faults.clear());
    assert_eq!(outcome, Outcome::Unknown);
    *batch.expect("it was sent")
}

#[tokio::test]
async fn what_became_of_a_batch_is_told_though_its_producer_goes_on_in_the_shard() {
    for (fault, is_applied) in [(Fault::ApplyAndCut, true), (Fault::Ignore, false)] {
        for producer in [None, Some(ProducerId(9))] {
            let cluster = Cluster::start(1, 1);
            let client = cluster.client(&[1]).await;
            let options = ProducerOptions { timeout: Duration::from_millis(400), producer, ..quick() };
            let producer = client.producer(&topic_name(), options).await.unwrap();
            let batch = unknown(&cluster, &producer, fault.clone()).await;
            producer.within(TIMEOUT).send(record(None, 2)).await.unwrap().await.unwrap();
            let told = client.fate(&batch, false).await.unwrap();
            let other = cluster.client(&[1]).await.fate(&batch, false).await.unwrap();
            assert_eq!(other, Fate::Forgotten, "the shard has forgotten it");
            match told {
                Fate::Applied(receipt) if is_applied => assert_eq!(receipt.first_offset.0, 0),
                Fate::NotApplied if !is_applied => {}
                told => panic!("{told:?}"),
            }
            let expected = if is_applied { vec![1, 2] } else { vec![2] };
            assert_eq!(stored(&cluster, 1), expected);
        }
    }
}

#[tokio::test]
async fn whoever_asks_at_once_has_the_answer_of_the_producer_which_asks_too() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    let options = ProducerOptions { timeout: Duration::from_millis(400), ..quick() };
    let producer = client.producer(&topic_name(), options).await.unwrap();
    let batch = unknown(&cluster, &producer, Fault::Ignore).await;
    assert_eq!(client.fate(&batch, false).await.unwrap(), Fate::NotApplied);
    producer.send(record(None, 2)).await.unwrap().await.expect("its own question does not fence it off");
}

#[tokio::test]
async fn a_producer_that_is_dropped_or_closed_while_it_asks_ends_and_leaves_the_question_to_others() {
    for closes in [false, true] {
        let cluster = Cluster::start(1, 1);
        let client = cluster.client(&[1]).await;
        let options = ProducerOptions { timeout: Duration::from_millis(400), ..quick() };
        let producer = client.producer(&topic_name(), options).await.unwrap();
        faults(&cluster, 1, vec![Fault::Ignore; 100]);
        let failure = producer.send(record(None, 1)).await.unwrap();
        cluster.change(|world| world.hung = Some(NodeId(1)));
        let batch = failure.await.unwrap_err().batch.expect("it was sent");
        if closes {
            producer.close().await.unwrap();
        } else {
            drop(producer);
        }
        cluster.change(|world| world.hung = None);
        assert_eq!(client.fate(&batch, true).await.unwrap(), Fate::NotApplied);
    }
}

#[tokio::test]
async fn a_producer_of_a_node_that_it_cannot_ask_goes_on_and_leaves_the_batch_unknown() {
    let cluster = Cluster::start(1, 1);
    cluster.change(|world| world.older = Some(NodeId(1)));
    let client = cluster.client(&[1]).await;
    let options = ProducerOptions { timeout: Duration::from_millis(400), ..quick() };
    let producer = client.producer(&topic_name(), options).await.unwrap();
    let batch = unknown(&cluster, &producer, Fault::ApplyAndCut).await;
    producer.within(TIMEOUT).send(record(None, 2)).await.unwrap().await.unwrap();
    assert_eq!(stored(&cluster, 1), [1, 2]);
    let last = cluster.world().shard(1).frames.last().unwrap().header.batch;
    assert_eq!((last.epoch, last.sequence), (1, 2));
    assert!(matches!(client.fate(&batch, false).await, Err(Error::Unsupported { .. })));
}

/// How many batches of a producer shard 1 stores.
fn stored_of(cluster: &Cluster, producer: &Producer) -> usize {
    let frames = cluster.world().shard(1).frames.clone();
    frames.iter().filter(|frame| frame.header.batch.producer == producer.id()).count()
}

#[tokio::test]
async fn a_producer_that_is_new_to_a_shard_with_very_many_pays_one_more_round_trip() {
    let cluster = Cluster::start(1, 1);
    cluster.change(|world| world.crowd(1));
    let producer = cluster.client(&[1]).await.producer(&topic_name(), quick()).await.unwrap();
    for value in 0..20 {
        producer.send(record(None, value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert_eq!(stored_of(&cluster, &producer), 20);
    cluster.change(|world| world.crowd(1));
    let attempts = cluster.world().shard(1).attempts.len();
    producer.send(record(None, 20)).await.unwrap().await.unwrap();
    assert_eq!(cluster.world().shard(1).attempts.len(), attempts + 2);
}

#[tokio::test]
async fn a_batch_that_may_have_been_forgotten_ends_unknown_and_the_rest_is_stored_once() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    let producer = client.producer(&topic_name(), quick()).await.unwrap();
    producer.send(record(None, 0)).await.unwrap().await.unwrap();
    faults(&cluster, 1, [Fault::ApplyAndCut, Fault::Crowd]);
    let lost = producer.send(record(None, 1)).await.unwrap();
    let failure = lost.await.unwrap_err();
    assert_eq!((failure.outcome, failure.error.code()), (Outcome::Unknown, Some(ErrorCode::Forgotten)));
    producer.send(record(None, 2)).await.unwrap().await.unwrap();
    assert_eq!(stored_of(&cluster, &producer), 3, "0, 1 and 2, once each");
}

#[tokio::test]
async fn send_waits_while_memory_is_full_and_goes_on_when_batches_end() {
    let cluster = Cluster::start(1, 1);
    faults(&cluster, 1, vec![Fault::Ignore; 2]);
    let options = ProducerOptions { memory_bytes_max: 2 << 20, ..quick() };
    let producer = cluster.client(&[1]).await.producer(&topic_name(), options).await.unwrap();
    let large = || Record { value: Some(vec![b'1'; 900_000].into()), ..Record::default() };
    producer.send(large()).await.unwrap();
    producer.send(large()).await.unwrap();
    let third = producer.send(large());
    tokio::pin!(third);
    tokio::select! {
        biased;
        _ = &mut third => panic!("there is room for two only"),
        () = ready(()) => {}
    }
    third.await.unwrap().await.unwrap();
    assert_eq!(cluster.world().shard(1).frames.len(), 3);
}

#[tokio::test]
async fn every_batch_is_reported_once() {
    let cluster = Cluster::start(1, 2);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&reports);
    let on_report = Some(OnReport(Arc::new(move |report| told.lock().unwrap().push(report.clone()))));
    let options = ProducerOptions { batch_records: 7, on_report, ..quick() };
    let producer = cluster.client(&[1]).await.producer(&topic_name(), options).await.unwrap();
    for value in 0..100 {
        producer.send(record(None, value)).await.unwrap();
    }
    producer.close().await.unwrap();
    let reports = reports.lock().unwrap();
    assert_eq!(reports.iter().map(|report| report.record_count).sum::<u32>(), 100);
    assert!(reports.iter().all(|report| report.result.is_ok()));
}

#[tokio::test]
async fn a_producer_of_a_deleted_topic_stops_and_says_so() {
    let cluster = Cluster::start(1, 1);
    let refusal = Fault::Refuse(ErrorCode::UnknownShard, Outcome::NotApplied.into());
    faults(&cluster, 1, vec![refusal; 1000]);
    let producer = cluster.client(&[1]).await.producer(&topic_name(), quick()).await.unwrap();
    cluster.change(|world| world.topic_exists = false);
    let failure = producer.send(record(None, 1)).await.unwrap().await.unwrap_err();
    assert_eq!(failure.error.kind(), Kind::NotFound);
    let refused = producer.send(record(None, 2)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_fenced_producer_ends_everything_and_takes_no_more() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    let options = || ProducerOptions { producer: Some(ProducerId(9)), ..quick() };
    let older = client.producer(&topic_name(), options()).await.unwrap();
    older.send(record(None, 1)).await.unwrap().await.unwrap();
    let newer = client.producer(&topic_name(), options()).await.unwrap();
    newer.send(record(None, 2)).await.unwrap().await.unwrap();
    let failure = older.send(record(None, 3)).await.unwrap().await.unwrap_err();
    assert_eq!((failure.outcome, failure.error.kind()), (Outcome::NotApplied, Kind::Conflict));
    assert!(matches!(older.send(record(None, 4)).await, Err(Error::Refused(_))));
    assert_eq!(stored(&cluster, 1), [1, 2]);
}

#[tokio::test]
async fn a_named_producer_of_a_node_that_knows_no_fences_fails_and_says_why() {
    let cluster = Cluster::start(1, 1);
    cluster.change(|world| world.older = Some(NodeId(1)));
    let options = ProducerOptions { producer: Some(ProducerId(9)), ..quick() };
    let producer = cluster.client(&[1]).await.producer(&topic_name(), options).await.unwrap();
    let failure = producer.send(record(None, 1)).await.unwrap().await.unwrap_err();
    assert!(matches!(failure.error, Error::Unsupported { .. }), "{failure}");
    assert_eq!(failure.outcome, Outcome::NotApplied);
}

#[tokio::test]
async fn options_that_shards_could_not_honour_are_refused() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    for options in [
        ProducerOptions { in_flight: 9, ..ProducerOptions::default() },
        ProducerOptions { batch_records: 0, ..ProducerOptions::default() },
        ProducerOptions { batch_bytes: 1 << 30, ..ProducerOptions::default() },
        ProducerOptions { memory_bytes_max: 1, ..ProducerOptions::default() },
        ProducerOptions { producer: Some(ProducerId(0)), ..ProducerOptions::default() },
    ] {
        let refused = client.producer(&topic_name(), options).await.err().unwrap();
        assert_eq!(refused.kind(), Kind::Usage);
    }
}
