//! Conditional appends, waits and tokens against a test cluster over real connections.

use std::time::Duration;

use super::ProducerOptions;
use crate::client::testing::{Cluster, Fault, topic_name};
use crate::client::{Error, Outcome, Producer};
use crate::types::{Condition, Found, NodeId, Offset, Record, Timestamp, Token, Wait};
use crate::wire::{APPEND_AFTER, CONDITIONAL_APPEND, ErrorCode, WAIT_COMMITTED};

fn record(key: &'static str) -> Record {
    Record { key: Some(key.into()), ..Record::default() }
}

async fn producer_of(cluster: &Cluster, options: ProducerOptions) -> Producer {
    let attempt_timeout = Duration::from_millis(100);
    let options = ProducerOptions { attempt_timeout, batch_records: 1, ..options };
    cluster.client(&[1]).await.producer(&topic_name(), options).await.unwrap()
}

/// Epochs and sequences of the appends that came, in order.
fn attempts(cluster: &Cluster) -> Vec<(u32, u64)> {
    cluster.world().shard(1).attempts.iter().map(|batch| (batch.epoch, batch.sequence)).collect()
}

fn next(offset: u64) -> Condition {
    Condition::NextOffset(Offset(offset))
}

#[tokio::test]
async fn a_refused_condition_says_what_was_found_and_gives_its_sequence_back() {
    let cluster = Cluster::start(1, 1);
    let producer = producer_of(&cluster, ProducerOptions::default()).await;
    let first = producer.append_if(next(0), &[record("a"), record("b")]).await.unwrap();
    assert_eq!((first.first_offset, first.record_count), (Offset(0), 2));
    let failure = producer.append_if(next(1), &[record("a")]).await.unwrap_err();
    assert_eq!((failure.outcome, failure.retryable), (Outcome::NotApplied, false));
    let found = Found::NextOffset(Offset(2));
    assert!(
        matches!(failure.error, Error::ConditionFailed { found: what, .. } if what == found),
        "{failure}"
    );
    let unchanged = |as_of| Condition::KeyUnchangedSince { key: "a".into(), as_of };
    let failure = producer.append_if(unchanged(Timestamp(1)), &[record("a")]).await.unwrap_err();
    let found = Found::KeyChanged(first.first_timestamp);
    assert!(
        matches!(failure.error, Error::ConditionFailed { found: what, .. } if what == found),
        "{failure}"
    );
    producer.append_if(unchanged(first.first_timestamp), &[record("a")]).await.unwrap();
    assert_eq!(attempts(&cluster), [(0, 1), (0, 2), (0, 2), (0, 2)]);
}

#[tokio::test]
async fn a_shard_that_forgets_its_producers_takes_conditions_all_the_same() {
    let cluster = Cluster::start(1, 1);
    let producer = producer_of(&cluster, ProducerOptions::default()).await;
    for _turn in 0..2 {
        cluster.change(|world| world.crowd(1));
        let next_offset = cluster.world().shard(1).frames.last().unwrap().header.next_offset();
        let receipt = producer.append_if(next(next_offset.0), &[record("a")]).await.unwrap();
        assert_eq!(receipt.first_offset, next_offset);
    }
    // Stored, forgotten, and tried again: nobody can tell.
    cluster.change(|world| world.shard(1).faults.extend([Fault::ApplyAndCut, Fault::Crowd]));
    let next_offset = cluster.world().shard(1).frames.last().unwrap().header.next_offset();
    let failure = producer.append_if(next(next_offset.0), &[record("a")]).await.unwrap_err();
    assert_eq!(failure.outcome, Outcome::Unknown, "{failure}");
    assert!(failure.batch.is_some());
}

#[tokio::test]
async fn a_conditional_batch_that_was_applied_but_not_answered_gets_its_receipt() {
    let cluster = Cluster::start(1, 1);
    let producer = producer_of(&cluster, ProducerOptions::default()).await;
    cluster.change(|world| world.shard(1).faults.push_back(Fault::ApplyAndCut));
    let receipt = producer.append_if(next(0), &[record("a")]).await.unwrap();
    assert_eq!(receipt.first_offset, Offset(0));
    assert_eq!((attempts(&cluster), cluster.world().shard(1).frames.len()), (vec![(0, 1), (0, 1)], 1));
}

#[tokio::test]
async fn a_condition_refused_behind_a_lost_attempt_ends_unknown_and_the_next_batch_begins_an_epoch() {
    let cluster = Cluster::start(1, 1);
    let producer = producer_of(&cluster, ProducerOptions::default()).await;
    let refused = Fault::Refuse(ErrorCode::ConditionFailed, Outcome::NotApplied.into());
    cluster.change(|world| world.shard(1).faults.extend([Fault::Cut, refused]));
    let failure = producer.append_if(next(0), &[record("a")]).await.unwrap_err();
    assert_eq!(failure.outcome, Outcome::Unknown);
    assert!(matches!(failure.error, Error::ConditionFailed { .. }), "{failure}");
    producer.append_if(next(0), &[record("a")]).await.unwrap();
    assert_eq!(attempts(&cluster), [(0, 1), (0, 1), (1, 1)]);
}

#[tokio::test]
async fn a_conditional_append_ends_in_time_and_follows_the_leader() {
    let cluster = Cluster::start(3, 1);
    let timeout = Duration::from_millis(1500);
    let producer = producer_of(&cluster, ProducerOptions { timeout, ..ProducerOptions::default() }).await;
    producer.append_if(next(0), &[record("a")]).await.unwrap();
    cluster.change(|world| world.shard(1).leader = NodeId(3));
    producer.append_if(next(1), &[record("a")]).await.unwrap();
    let busy = || Fault::Refuse(ErrorCode::Busy, Outcome::NotApplied.into());
    cluster.change(|world| world.shard(1).faults.extend((0..10_000).map(|_| busy())));
    let failure = producer.append_if(next(2), &[record("a")]).await.unwrap_err();
    assert_eq!(failure.outcome, Outcome::NotApplied);
    assert!(matches!(failure.error, Error::Timeout { last: Some(_), .. }), "{failure}");
}

#[tokio::test]
async fn terms_are_sent_only_to_a_node_whose_hello_names_their_feature() {
    let cluster = Cluster::start(1, 1);
    cluster.change(|world| world.older = Some(NodeId(1)));
    let hasty = ProducerOptions { wait: Wait::Committed, ..ProducerOptions::default() };
    let (plain, hasty) =
        (producer_of(&cluster, ProducerOptions::default()).await, producer_of(&cluster, hasty).await);
    let token = Token(Timestamp(5));
    let failures = [
        (CONDITIONAL_APPEND, plain.append_if(next(0), &[record("a")]).await.unwrap_err()),
        (WAIT_COMMITTED, hasty.send(record("a")).await.unwrap().await.unwrap_err()),
        (APPEND_AFTER, plain.after(token).send(record("a")).await.unwrap().await.unwrap_err()),
    ];
    for (lacking, failure) in failures {
        assert_eq!(failure.outcome, Outcome::NotApplied);
        assert!(
            matches!(failure.error, Error::Unsupported { node: NodeId(1), feature } if feature == lacking),
            "{failure}"
        );
    }
    assert_eq!(attempts(&cluster), []);
    let delivered = plain.send(record("a")).await.unwrap().await.unwrap();
    assert_eq!(delivered.offset, Offset(0));
}

#[tokio::test]
async fn a_batch_is_stamped_above_the_highest_token_of_its_records() {
    let cluster = Cluster::start(1, 1);
    let options =
        ProducerOptions { batch_records: 3, linger: Duration::from_secs(5), ..ProducerOptions::default() };
    let producer = cluster.client(&[1]).await.producer(&topic_name(), options).await.unwrap();
    let mut deliveries = Vec::new();
    for token in [0, 50_000, 100] {
        deliveries.push(producer.after(Token(Timestamp(token))).send(record("a")).await.unwrap());
    }
    for delivery in deliveries {
        assert!(delivery.await.unwrap().timestamp > Timestamp(50_000));
    }
}

#[tokio::test]
async fn a_condition_and_its_records_belong_to_one_shard() {
    let cluster = Cluster::start(1, 2);
    let client = cluster.client(&[1]).await;
    let router = client.describe_topic(&topic_name()).await.unwrap().router;
    let producer = producer_of(&cluster, ProducerOptions::default()).await;
    let keys = ["a", "b", "c", "d", "e", "f"];
    let elsewhere = keys.into_iter().find(|key| router.shard_of(key.as_bytes()) != router.shard_of(b"a"));
    let refused = [
        producer.append_if(next(0), &[record("a"), record(elsewhere.unwrap())]).await,
        producer.append_if(next(0), &[Record::default()]).await,
        producer.append_if(next(0), &[]).await,
    ];
    for result in refused {
        let failure = result.unwrap_err();
        assert!(matches!(failure.error, Error::Option { .. }) && failure.outcome == Outcome::NotApplied);
    }
    producer.append_if(next(0), &[record("a"), Record::default()]).await.unwrap();
}
