//! The promise itself, over real nodes whose clocks are as wrong as they may be.

#[path = "../../benches/nodes/mod.rs"]
mod nodes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nodes::Nodes;
use timberline::client::{Client, Producer, ProducerOptions, Topic};
use timberline::types::{NodeId, Record, Timestamp, Token, Wait};

/// Wide enough that two appends in a row take less time than the clocks differ: a missing wait shows.
const EPS: Duration = Duration::from_millis(4);
const CHAINS: usize = 25;
/// Tries of one chain: each is an append on one shard, then, after its acknowledgement, one on the other.
const TRIES: usize = 400;

/// An append as its client saw it.
#[derive(Clone, Copy)]
struct Seen {
    timestamp: Timestamp,
    sent: Instant,
    acknowledged: Instant,
}

async fn producer(client: &Client, topic: &Topic, wait: Wait) -> Producer {
    let options =
        ProducerOptions { linger: Duration::ZERO, batch_records: 1, wait, ..ProducerOptions::default() };
    client.producer(&topic.name, options).await.expect("a producer")
}

async fn append(producer: &Producer, key: u8, after: Token) -> Seen {
    let record = Record { key: Some(Bytes::copy_from_slice(&[key])), ..Record::default() };
    let sent = Instant::now();
    let delivery = producer.after(after).send(record).await.expect("the producer takes it");
    let delivered = delivery.wait().await.expect("it is acknowledged");
    Seen { timestamp: delivered.timestamp, sent, acknowledged: Instant::now() }
}

/// The key of a shard that `node` leads.
fn key_led_by(topic: &Topic, node: NodeId) -> u8 {
    let place = topic.shards.iter().position(|shard| shard.leader == Some(node));
    place.expect("leaders are spread over the nodes") as u8
}

async fn chain(first: Producer, second: Producer, keys: [u8; 2]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    for _ in 0..TRIES {
        for (producer, key) in [(&first, keys[0]), (&second, keys[1])] {
            let now = append(producer, key, Token::default()).await;
            if let Some(before) = seen.last() {
                assert!(
                    before.timestamp < now.timestamp,
                    "acknowledged before it was sent, stamped after it"
                );
            }
            seen.push(now);
        }
    }
    seen
}

/// Sorts by timestamp, keeps the largest sending time, and fails if an earlier acknowledgement lies below it: linear
/// after the sort, and covers all pairs.
fn first_contradiction(mut seen: Vec<Seen>) -> Option<(Seen, Seen)> {
    seen.sort_by_key(|append| append.timestamp);
    let mut latest_sent: Option<Seen> = None;
    for append in seen {
        if let Some(latest) = latest_sent.filter(|latest| append.acknowledged < latest.sent) {
            return Some((latest, append));
        }
        if latest_sent.is_none_or(|latest| latest.sent < append.sent) {
            latest_sent = Some(append);
        }
    }
    None
}

#[test]
fn timestamps_never_contradict_the_order_of_acknowledgements_with_clocks_at_both_ends_of_their_bound() {
    let eps_ns = EPS.as_nanos() as i64;
    let nodes = Nodes::start(EPS, [0, eps_ns, -eps_ns]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let seen = runtime.block_on(async {
        let (one, other) = (Arc::new(nodes.client().await), nodes.client().await);
        let topic = nodes.topic(&one, "order", 12).await;
        let keys = [key_led_by(&topic, NodeId(2)), key_led_by(&topic, NodeId(3))];
        let mut chains = tokio::task::JoinSet::new();
        for _ in 0..CHAINS {
            let [first, second] =
                [producer(&one, &topic, Wait::Exposed).await, producer(&other, &topic, Wait::Exposed).await];
            chains.spawn(chain(first, second, keys));
        }
        chains.join_all().await.concat()
    });
    assert_eq!(seen.len(), 2 * CHAINS * TRIES);
    assert!(
        first_contradiction(seen).is_none(),
        "an append was acknowledged before one stamped below it was sent"
    );
}

/// Appends to one shard, waits for the commitment alone, appends to the other, and so on. Gives how many of the second were stamped
/// at or below the first.
async fn hasty_chain(first: &Producer, second: &Producer, keys: [u8; 2], with_token: bool) -> usize {
    let (mut disordered, mut last) = (0, Timestamp::ZERO);
    for _ in 0..TRIES {
        for (producer, key) in [(first, keys[0]), (second, keys[1])] {
            let after = if with_token { Token(last) } else { Token::default() };
            let timestamp = append(producer, key, after).await.timestamp;
            disordered += usize::from(timestamp <= last);
            last = timestamp;
        }
    }
    disordered
}

#[test]
fn committed_then_after_token_keeps_order_and_without_the_token_it_does_not() {
    let eps_ns = EPS.as_nanos() as i64;
    let nodes = Nodes::start(EPS, [0, eps_ns, -eps_ns]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (with, without) = runtime.block_on(async {
        let (one, other) = (nodes.client().await, nodes.client().await);
        let topic = nodes.topic(&one, "hasty", 12).await;
        let keys = [key_led_by(&topic, NodeId(2)), key_led_by(&topic, NodeId(3))];
        let first = producer(&one, &topic, Wait::Committed).await;
        let second = producer(&other, &topic, Wait::Committed).await;
        let with = hasty_chain(&first, &second, keys, true).await;
        (with, hasty_chain(&first, &second, keys, false).await)
    });
    assert_eq!(with, 0, "stamped at or below its token");
    assert!(without > 0, "the clocks are too close for this test to tell anything");
}

#[test]
fn the_checker_rejects_a_history_with_two_timestamps_swapped() {
    let now = Instant::now();
    let at = |ms: u64, timestamp: u64| Seen {
        timestamp: Timestamp(timestamp),
        sent: now + Duration::from_millis(ms),
        acknowledged: now + Duration::from_millis(ms + 1),
    };
    assert!(first_contradiction(vec![at(0, 10), at(5, 20), at(10, 30)]).is_none());
    assert!(first_contradiction(vec![at(0, 30), at(5, 20), at(10, 40)]).is_some());
}
