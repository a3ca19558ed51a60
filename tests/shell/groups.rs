//! A consumer group through crashes, cuts and its own members' deaths: nothing is passed over, and what was committed stays so.
//!
//! Members live short lives: each joins, reads for a while, then leaves in good order or falls silent. An observer asks the
//! group where it stands.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use timberline::client::{
    Client, CreateTopic, GroupConsumer, GroupInfo, GroupOptions, GroupStart, ProducerOptions,
};
use timberline::types::{GroupName, Record, Retention, ShardId, Timestamp, TopicName};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::cluster::{PATIENCE, connect, options, run_node_with};
use crate::seeds;
use crate::world::{Climate, World};

const LIMIT: Duration = Duration::from_secs(150);
const MEMBERS: u64 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a story goes.
#[derive(Clone, Copy)]
struct Plot {
    storm: Duration,
    records: u64,
    write_every: Duration,
    commit_every: Duration,
    /// What the topic of groups keeps, if it is not what it keeps by itself.
    kept_bytes: Option<u64>,
}

type Place = (ShardId, Timestamp);

/// How often a record was handed out by lives that ended well, and by others.
#[derive(Clone, Copy, Default)]
struct Handed {
    times: u32,
    /// When a life that ended well had read it and had left.
    settled: Option<Instant>,
}

/// What everybody knows who looks from outside.
#[derive(Default)]
struct Book {
    written: BTreeMap<Place, u64>,
    handed: BTreeMap<Place, Handed>,
    next: BTreeMap<ShardId, Timestamp>,
    is_written: bool,
    is_done: bool,
    repeats: u32,
}

type Shared = Rc<RefCell<Book>>;

impl Book {
    fn is_all_handed(&self) -> bool {
        self.is_written && self.written.keys().all(|place| self.handed.contains_key(place))
    }

    /// A life that began at `born` hands a record out.
    fn hand(&mut self, place: Place, born: Instant) {
        let handed = self.handed.entry(place).or_default();
        assert!(
            handed.settled.is_none_or(|settled| settled >= born),
            "{place:?} was read and committed by a member that left before this one joined"
        );
        handed.times += 1;
        self.repeats += u32::from(handed.times > 1);
    }

    /// Where the group stands now: no lower than before, and behind nothing that nobody was given.
    fn stand(&mut self, group: &GroupInfo) {
        for place in &group.places {
            let before = self.next.insert(place.shard, place.next);
            assert!(
                before <= Some(place.next),
                "shard {} fell from {before:?} to {}",
                place.shard,
                place.next
            );
            let passed = self.written.range((place.shard, Timestamp::ZERO)..(place.shard, place.next));
            for (passed, number) in passed {
                assert!(self.handed.contains_key(passed), "record {number} at {passed:?} was passed over");
            }
        }
    }
}

fn topic() -> TopicName {
    "events".parse().expect("a good name")
}

/// A long name, so that the topic of groups fills soon.
fn group() -> GroupName {
    format!("readers-{}", "x".repeat(100)).parse().expect("a good name")
}

fn groups_topic() -> TopicName {
    "timberline.groups".parse().expect("a good name")
}

async fn write(climate: Climate, plot: Plot, book: Shared) {
    let client = connect(&climate, 1).await;
    if let Some(bytes) = plot.kept_bytes {
        let retention = Retention { age: None, bytes: Some(bytes) };
        let shape = CreateTopic { shards: 1, retention, ..CreateTopic::named(&groups_topic()) };
        client.create_topic(shape).await.expect("the topic is created in the end");
    }
    let shape = CreateTopic { shards: 5, replicas: 3, ..CreateTopic::named(&topic()) };
    client.create_topic(shape).await.expect("the topic is created in the end");
    let options = ProducerOptions { timeout: PATIENCE, ..ProducerOptions::default() };
    let producer = client.producer(&topic(), options).await.expect("the topic is there");
    let mut turns = tokio::time::interval(plot.write_every);
    let mut under_way = JoinSet::new();
    for number in 0..plot.records {
        turns.tick().await;
        let record = Record { key: Some(format!("key {number}").into()), ..Record::default() };
        let delivery = producer.send(record).await.expect("there is room");
        let book = Rc::clone(&book);
        under_way.spawn_local(async move {
            let delivered = delivery.wait().await.expect("acknowledged in the end");
            let place = (delivered.receipt.shard, delivered.timestamp);
            assert_eq!(book.borrow_mut().written.insert(place, number), None);
        });
    }
    while let Some(ended) = under_way.join_next().await {
        ended.expect("no panic");
    }
    book.borrow_mut().is_written = true;
}

async fn topic_is_there(client: &Client) {
    let mut turns = tokio::time::interval(LOOK_EVERY);
    while client.describe_topic(&topic()).await.is_err() {
        turns.tick().await;
    }
}

/// One life after another, until all was read.
async fn live(climate: Climate, number: u64, plot: Plot, book: Shared) {
    let mut random = StdRng::seed_from_u64(climate.seed ^ (number << 40));
    let client = connect(&climate, 1 + number).await;
    topic_is_there(&client).await;
    let options = GroupOptions {
        from: GroupStart::Begin,
        name: format!("member {number}"),
        commit_every: plot.commit_every,
        ..GroupOptions::default()
    };
    while !book.borrow().is_done {
        let born = Instant::now();
        let joined = client.group_consumer(&group(), &topic(), options.clone()).await;
        let Ok(mut member) = joined else { continue };
        let life = Duration::from_millis(random.random_range(100..4000));
        let mut read = Vec::new();
        // A life that ends here falls silent, unless it leaves.
        let is_well = timeout(life, read_on(&mut member, born, &book, &mut read)).await.is_err();
        if (random.random() || book.borrow().is_done) && member.leave().await.is_ok() && is_well {
            let mut book = book.borrow_mut();
            for place in read {
                book.handed.entry(place).or_default().settled.get_or_insert(Instant::now());
            }
        }
    }
}

/// Reads until it fails. Within a life a shard's records come in order, each once.
async fn read_on(member: &mut GroupConsumer, born: Instant, book: &Shared, read: &mut Vec<Place>) {
    let mut last: BTreeMap<ShardId, Timestamp> = BTreeMap::new();
    while let Ok(record) = member.next().await {
        let before = last.insert(record.shard, record.timestamp);
        assert!(before < Some(record.timestamp), "shard {} goes on behind {before:?}", record.shard);
        let place = (record.shard, record.timestamp);
        book.borrow_mut().hand(place, born);
        read.push(place);
    }
}

/// Looks where the group stands until everything was read and committed.
async fn observe(climate: Climate, plot: Plot, book: Shared) {
    let client = connect(&climate, 9).await;
    topic_is_there(&client).await;
    let mut turns = tokio::time::interval(LOOK_EVERY);
    loop {
        turns.tick().await;
        let Ok(described) = client.describe_group(&group()).await else { continue };
        book.borrow_mut().stand(&described);
        let lags =
            || described.places.iter().map(|place| place.lag.as_ref().map_or(u64::MAX, |lag| lag.records));
        if book.borrow().is_all_handed() && lags().all(|records| records == 0) {
            break;
        }
    }
    let trimmed = trimmed(&client).await;
    println!("{trimmed} records of the topic of groups were trimmed");
    assert_eq!(trimmed > 0, plot.kept_bytes.is_some(), "{trimmed} records were trimmed");
    book.borrow_mut().is_done = true;
}

/// How many records of the topic of groups are gone on some node.
async fn trimmed(client: &Client) -> u64 {
    let rows = client.shard_statuses(&groups_topic()).await.unwrap_or_default();
    let shards = rows.iter().filter_map(|row| row.shards.as_ref().ok()).flatten();
    shards.map(|shard| shard.trimmed.0).max().unwrap_or_default()
}

fn through_the_storm(seed: u64, plot: Plot) -> u32 {
    let book = Shared::default();
    let mut world = World::new(seed, move |machine| {
        let mut options = options(machine.node);
        options.limits.groups_kept_bytes = plot.kept_bytes.unwrap_or(options.limits.groups_kept_bytes);
        run_node_with(machine, options)
    });
    let climate = world.climate();
    world.client("writer", write(climate.clone(), plot, Rc::clone(&book)));
    for number in 1..=MEMBERS {
        world.client(&format!("member-{number}"), live(climate.clone(), number, plot, Rc::clone(&book)));
    }
    world.client("observer", observe(climate, plot, Rc::clone(&book)));
    world.run(plot.storm, LIMIT, |_| false);
    let book = book.borrow();
    assert_eq!(book.written.len() as u64, plot.records);
    book.repeats
}

#[test]
fn a_group_passes_over_nothing_and_repeats_nothing_committed_whatever_happens_to_members_and_coordinators() {
    let plot = Plot {
        storm: Duration::from_secs(12),
        records: 300,
        write_every: Duration::from_millis(35),
        commit_every: Duration::from_secs(1),
        kept_bytes: None,
    };
    for seed in seeds() {
        let repeats = through_the_storm(seed, plot);
        println!("seed {seed}: {repeats} of {} records were handed out again", plot.records);
    }
}

#[test]
fn a_group_outlives_the_trimming_of_its_topic_on_nodes_that_begin_behind_it() {
    let plot = Plot {
        storm: Duration::from_secs(25),
        records: 1500,
        write_every: Duration::from_millis(15),
        commit_every: Duration::ZERO,
        kept_bytes: Some(64 << 10),
    };
    for seed in seeds().take(5) {
        let repeats = through_the_storm(seed, plot);
        println!("seed {seed}: {repeats} of {} records were handed out again", plot.records);
    }
}
