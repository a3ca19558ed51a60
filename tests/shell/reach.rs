//! A client from which most nodes are cut off: the one that is left answers soon, whichever it is.

use std::time::Duration;

use timberline::client::{Client, CreateTopic, GroupOptions, ProducerOptions};
use timberline::types::{GroupName, NodeId, Record};
use tokio::time::{Instant, timeout};

use crate::cluster::{connect, run_node};
use crate::world::{Climate, NODES, World, address};

const LIMIT: Duration = Duration::from_secs(120);
/// Two nodes that cannot be dialled are passed over in half of this; one alone, waited for in vain, takes three times as long.
const SOON: Duration = Duration::from_secs(1);
/// Two nodes that stood connected and fell silent.
const SOON_ENOUGH: Duration = Duration::from_millis(2500);
/// Clients begin with a node of their choice.
const CLIENTS: u64 = 6;

fn cut_off_but_for(left: u64) {
    for node in NODES.into_iter().filter(|node| *node != left) {
        turmoil::partition("asker", address(node).ip());
    }
}

fn mend() {
    for node in NODES {
        turmoil::repair("asker", address(node).ip());
    }
}

async fn ask(climate: Climate) {
    // Until the nodes have started.
    connect(&climate, 0).await;
    for number in 0..CLIENTS {
        let left = number % 3 + 1;
        cut_off_but_for(left);
        let asked = Instant::now();
        let dialling = connect(&climate, 10 + number).await;
        dialling.list_topics().await.expect("a node answers");
        assert!(asked.elapsed() < SOON, "node {left} answered a new client after {:?}", asked.elapsed());
        mend();
        let connected = connect(&climate, 20 + number).await;
        for node in NODES {
            connected.clock(Some(NodeId(node))).await.expect("it answers");
        }
        cut_off_but_for(left);
        let asked = Instant::now();
        connected.list_topics().await.expect("a node answers");
        assert!(asked.elapsed() < SOON_ENOUGH, "node {left} answered after {:?}", asked.elapsed());
        mend();
    }
}

#[test]
fn a_question_is_answered_soon_though_two_of_three_nodes_are_out_of_reach() {
    for seed in 1..=3 {
        let mut world = World::in_fair_weather(seed, run_node);
        let climate = world.climate();
        world.client("asker", ask(climate));
        world.run(Duration::ZERO, LIMIT, |_| false);
    }
}

/// A group that has read a topic of many shards.
async fn group_that_read(client: &Client) -> GroupName {
    let (topic, group) = ("flights".parse().unwrap(), "audit".parse().unwrap());
    let created = client.create_topic(CreateTopic { shards: 6, ..CreateTopic::named(&topic) }).await;
    created.expect("it is new");
    let producer = client.producer(&topic, ProducerOptions::default()).await.expect("nodes answer");
    let mut member =
        client.group_consumer(&group, &topic, GroupOptions::default()).await.expect("nodes answer");
    producer.send(Record::default()).await.expect("there is room").await.expect("a leader takes it");
    member.next().await.expect("it is there");
    member.leave().await.expect("the coordinator answers");
    group
}

async fn ask_for_lag(climate: Climate) {
    let client = connect(&climate, 0).await;
    let group = group_that_read(&client).await;
    let mut told = 0;
    for node in NODES {
        turmoil::partition("asker", address(node).ip());
        // The coordinator itself may be the one out of reach.
        if let Ok(info) = timeout(SOON_ENOUGH, client.describe_group(&group)).await {
            let places = info.expect("the coordinator answers").places;
            assert!(places.len() == 6 && places.iter().all(|place| place.lag.is_ok()), "{places:?}");
            told += 1;
        }
        mend();
    }
    assert!(told >= 2, "lag was told beside {told} of 3 nodes out of reach");
}

#[test]
fn how_far_behind_a_group_is_is_told_soon_though_leaders_of_its_shards_are_out_of_reach() {
    for seed in 1..=3 {
        let mut world = World::in_fair_weather(seed, run_node);
        let climate = world.climate();
        world.client("asker", ask_for_lag(climate));
        world.run(Duration::ZERO, LIMIT, |_| false);
    }
}
