//! Consistency levels, one step of the chain after the other: what the weaker level may leave out, and that the next one does not. A
//! follower is cut off; its replicas are read.

use std::time::Duration;

use timberline::clock::{Level, TimeInterval, Unfit};
use timberline::codec::decode_records;
use timberline::lane::ReadFrom;
use timberline::types::{NodeId, Timestamp, Token};

use crate::world::{NODES, World};
use crate::{OTHER, SHARD, settle, started};

const NO_TIME: TimeInterval = TimeInterval { earliest: Timestamp::ZERO, latest: Timestamp::ZERO };
const NOBODY: Token = Token(Timestamp::ZERO);
/// Longer than a clock counts as heard, and than all ages here.
const LONG: Duration = Duration::from_secs(4);
const AGE: Duration = Duration::from_secs(1);

/// A world at rest in which one record stands, a node that leads, and a follower.
fn settled(seed: u64) -> (World, NodeId, NodeId) {
    let mut world = started(seed);
    world.append_surely(SHARD, 1, "known to all");
    world.append_surely(OTHER, 1, "known to all, too");
    settle(&mut world);
    world.run_for(Duration::from_secs(2));
    let leads = [SHARD, OTHER].map(|shard| world.leader(shard).expect("it just acknowledged"));
    let follower = NODES.into_iter().find(|node| !leads.contains(node)).expect("two lead at most");
    (world, leads[0], follower)
}

/// Sends a read of both shards to a node's replicas; its mark is made by the clock of `asked`. Where it ends.
fn send(world: &mut World, node: NodeId, asked: NodeId, level: Level, own: Token) -> Timestamp {
    let now = if level.needs_clock() {
        world.moment(asked).vouched(level.needs_majority()).expect("its clock is trusted")
    } else {
        NO_TIME
    };
    let closed = |shard| world.status(node, shard).expect("it runs").closed;
    level.mark(now, own).max(closed(SHARD).min(closed(OTHER)))
}

/// What a read that ends there hands out; `None` while it waits.
fn read(world: &mut World, node: NodeId, end: Timestamp) -> Option<Vec<String>> {
    let mut values = Vec::new();
    for shard in [SHARD, OTHER] {
        let (mut from, mut closed) = (ReadFrom::Time(Timestamp::ZERO), Timestamp::ZERO);
        while closed < end {
            let ticket = world.read_above(node, shard, from, end.minus_ns(1));
            let answer = world.reads.remove(&ticket)?.expect("its log is whole");
            for frame in &answer.frames {
                let (header, body) = (&frame.header, &frame.body);
                let records = decode_records(body, header.compression, header.record_count).unwrap();
                values.extend(records.into_iter().filter_map(|record| record.value));
            }
            (from, closed) = (ReadFrom::Index(answer.next), answer.closed);
        }
    }
    Some(values.into_iter().map(|value| String::from_utf8_lossy(&value).into_owned()).collect())
}

/// Whether the read is answered there at once, and without that record.
fn lacks(world: &mut World, node: NodeId, level: Level, own: Token, record: &str) -> bool {
    let end = send(world, node, node, level, own);
    read(world, node, end).is_some_and(|values| !values.iter().any(|value| value == record))
}

/// The read waits for as long as the node is cut off, and is answered with the record once it is heard again.
fn forbids(world: &mut World, node: NodeId, asked: NodeId, level: Level, own: Token, record: &str) {
    let end = send(world, node, asked, level, own);
    for _ in 0..10 {
        assert_eq!(read(world, node, end), None, "{level:?} was answered without knowing");
        world.run_for(Duration::from_millis(100));
    }
    world.cut_off = None;
    world.run_for(Duration::from_secs(2));
    let values = read(world, node, end).expect("it is closed there");
    assert!(values.iter().any(|value| value == record), "{level:?} lacks {record}: {values:?}");
}

#[test]
fn an_eventual_read_may_lack_what_is_old_and_a_bounded_one_waits_for_it() {
    let (mut world, _, follower) = settled(71);
    world.cut_off = Some(follower);
    world.append_surely(SHARD, 2, "old");
    world.run_for(LONG);
    assert!(lacks(&mut world, follower, Level::Eventual, NOBODY, "old"));
    // An isolated clock that is trusted is good enough for an age.
    forbids(&mut world, follower, follower, Level::Bounded(AGE), NOBODY, "old");
}

#[test]
fn a_bounded_read_may_lack_what_its_own_client_just_wrote_and_a_session_waits_for_it() {
    let (mut world, _, follower) = settled(72);
    world.cut_off = Some(follower);
    let mine = Token(world.append_surely(SHARD, 2, "mine").last_timestamp());
    assert!(lacks(&mut world, follower, Level::Bounded(AGE), mine, "mine"));
    forbids(&mut world, follower, follower, Level::Session, mine, "mine");
}

#[test]
fn a_session_may_lack_what_somebody_told_of_and_a_causal_read_waits_for_it() {
    let (mut world, _, follower) = settled(73);
    world.cut_off = Some(follower);
    let mine = Token(world.append_surely(SHARD, 1, "known to all").last_timestamp());
    let token = Token(world.append_surely(SHARD, 2, "told of").last_timestamp());
    assert!(lacks(&mut world, follower, Level::Session, mine, "told of"));
    forbids(&mut world, follower, follower, Level::Causal(token), mine, "told of");
}

#[test]
fn a_causal_read_may_lack_what_was_told_of_without_a_token_and_a_linearizable_one_waits_for_it() {
    let (mut world, leader, follower) = settled(74);
    let mine = Token(world.append_surely(SHARD, 2, "mine").last_timestamp());
    world.run_for(Duration::from_secs(1));
    world.cut_off = Some(follower);
    world.append_surely(OTHER, 2, "told of by word of mouth");
    assert!(lacks(&mut world, follower, Level::Causal(mine), mine, "told of by word of mouth"));
    forbids(&mut world, follower, leader, Level::Linearizable, mine, "told of by word of mouth");
}

#[test]
fn a_node_that_nobody_hears_gives_no_mark_for_a_linearizable_read() {
    let (mut world, leader, follower) = settled(75);
    assert!(world.moment(follower).vouched(true).is_ok());
    world.cut_off = Some(follower);
    world.run_for(LONG);
    assert_eq!(world.moment(follower).vouched(true), Err(Unfit::Unheard));
    assert!(world.moment(follower).vouched(false).is_ok(), "nothing is held against its clock");
    assert!(world.moment(leader).vouched(true).is_ok());
}

/// A clock that lies behind would give marks that lie below what was acknowledged.
#[test]
fn a_clock_that_lies_gives_no_mark_from_its_first_reading_on() {
    let (mut world, leader, follower) = settled(76);
    world.append_surely(SHARD, 2, "acknowledged");
    for lie_ns in [-50_000_000, 50_000_000] {
        world.lie(follower, lie_ns);
        let refused = world.moment(follower).vouched(false);
        assert!(matches!(refused, Err(Unfit::Distrusted(_))), "{refused:?}");
    }
    assert!(world.moment(leader).vouched(true).is_ok());
}
