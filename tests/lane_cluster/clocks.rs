//! Laws of clocks that are wrong and do not know it: what a node's lane does when the others' clocks prove it.

use std::time::Duration;

use timberline::clock::{Fault, Standing};
use timberline::codec::{Frame, FrameKind, decode_order_mark};
use timberline::lane::ReadFrom;
use timberline::shard::Refusal;
use timberline::types::{NodeId, OrderMark, Timestamp};

use crate::world::{EPS_NS, NODES, World};
use crate::{ELECTION, SHARD, others, settle, started};

const MS: u64 = 1_000_000;
const LIE_NS: i64 = 50_000_000;

/// A world that has settled, and its leader.
fn led(seed: u64) -> (World, NodeId) {
    let mut world = started(seed);
    world.append_surely(SHARD, 1, "x");
    settle(&mut world);
    let leader = world.leader(SHARD).expect("it just acknowledged");
    (world, leader)
}

fn fault(world: &World, node: NodeId) -> Option<Fault> {
    world.clocks(node).fault.map(|(fault, _)| fault)
}

/// The others go on, each trusted, and this one leads no more.
fn go_on_without(world: &mut World, node: NodeId, sequence: u64) {
    world.run_until(2 * ELECTION, |world| world.leader(SHARD).is_some_and(|leader| leader != node));
    let receipt = world.append_surely(SHARD, sequence, "on");
    assert!(receipt.first_timestamp <= world.true_time());
    assert!(others(node).all(|other| fault(world, other).is_none()), "the others were right");
}

/// T3: nothing was stamped by it, and it is fenced at once, so within a second.
#[test]
fn a_leader_that_lies_ahead_refuses_the_very_next_append_and_others_lead_within_two_election_timeouts() {
    let (mut world, leader) = led(41);
    world.lie(leader, LIE_NS);
    let ticket = world.append(leader, SHARD, 2, "too late");
    let (answer, _) = &world.appended[&ticket];
    assert!(matches!(answer, Err(Refusal::Fenced { fault: Fault::Outvoted { .. } })), "{answer:?}");
    go_on_without(&mut world, leader, 2);
    let evidence = world.clocks(leader).fault.expect("it is fenced").1;
    assert!(evidence.contains(&format!("node {leader} misses the majority by")), "{evidence}");
}

/// T4: behind it would stamp too low.
#[test]
fn a_leader_that_lies_behind_stamps_nothing_and_acknowledges_nothing() {
    let (mut world, leader) = led(42);
    world.lie(leader, -LIE_NS);
    let ticket = world.append(leader, SHARD, 2, "too low");
    let (answer, _) = &world.appended[&ticket];
    assert!(matches!(answer, Err(Refusal::Fenced { .. })), "{answer:?}");
    go_on_without(&mut world, leader, 2);
}

/// T16: nothing on the machine tells that it stood still; the first answer to what it stamped too low does, before anything
/// of it is acknowledged or shown there.
#[test]
fn a_leader_whose_machine_stood_still_acknowledges_nothing_that_it_stamped_on_its_slipped_clock() {
    let (mut world, leader) = led(43);
    let released = world.status(leader, SHARD).expect("it runs").released;
    let end_ns = world.elapsed_ns + 300 * MS;
    world.freeze(leader, 300 * MS);
    world.run_for(Duration::from_millis(250));
    // A client's append is the first thing that it finds when it goes on.
    world.elapsed_ns = end_ns;
    let ticket = world.append(leader, SHARD, 2, "stamped too low");
    assert!(!world.appended.contains_key(&ticket), "it was taken in: {:?}", world.appended[&ticket]);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.status(leader, SHARD).expect("it runs").released, released, "nothing was shown");
    assert!(!matches!(world.appended.get(&ticket), Some((Ok(_), _))), "{:?}", world.appended.get(&ticket));
    assert!(matches!(fault(&world, leader), Some(Fault::Outvoted { .. })), "{:?}", fault(&world, leader));
    go_on_without(&mut world, leader, 3);
}

/// T22: followers refuse its entries, so no transfer ever finishes.
#[test]
fn a_fenced_leader_whose_log_is_held_back_steps_down_within_an_election_timeout_and_never_campaigns() {
    let (mut world, leader) = led(44);
    let follower = others(leader).next().expect("there are two");
    // Nobody can take the leadership over: the other follower is gone, this one is fenced as well.
    let gone = others(leader).nth(1).expect("there are two");
    world.lie(leader, 8 * 3_600_000_000_000);
    let ticket = world.append(leader, SHARD, 2, "wild");
    assert!(matches!(world.appended[&ticket].0, Err(Refusal::Fenced { .. })));
    world.stop(gone);
    world.widen(follower, 11 * MS);
    let term = world.status(leader, SHARD).expect("it runs").term;
    world.run_until(ELECTION, |world| world.status(leader, SHARD).expect("it runs").leader != Some(leader));
    world.run_for(5 * ELECTION);
    let status = world.status(leader, SHARD).expect("it runs");
    assert_eq!((status.leader, status.term), (None, term), "it never stood for election");
}

/// Of a clock that runs away nothing beyond what votes cannot tell gets into a log, so nobody is moved by more: not at a
/// leap, near the edge of what is noticed, nor at five hundred millionths.
#[test]
fn a_leader_whose_clock_runs_away_stamps_nothing_beyond_its_bound_and_moves_nobody() {
    const HOURS_NS: i64 = 8 * 3_600_000_000_000;
    // In a step of 10 ms.
    const DRIFT_NS: i64 = 5_000;
    // An honest `latest` may be two bounds ahead of true time, and a lie of less than two more cannot be told by votes; the way adds
    // a little.
    const BEYOND_NS: u64 = 4 * EPS_NS + 100_000;
    let edge_ns = 2 * EPS_NS.cast_signed();
    let leaps = [HOURS_NS, -HOURS_NS, edge_ns, -edge_ns].map(|leap_ns| (leap_ns, 0));
    for (seed, (leap_ns, drift_ns)) in (60..).zip(leaps.into_iter().chain([(0, DRIFT_NS), (0, -DRIFT_NS)])) {
        let (mut world, liar) = led(seed);
        let mut sent = Vec::new();
        for step in 0..600 {
            world.lie(liar, leap_ns + drift_ns * step);
            if let Some(leader) = world.leader(SHARD) {
                let now = world.true_time();
                sent.push((world.append(leader, SHARD, 2 + step.cast_unsigned(), "on"), now));
            }
            world.run_for(Duration::from_millis(10));
        }
        let answers = sent.iter().filter_map(|(ticket, at)| Some((at, world.appended.get(ticket)?)));
        let stamped: Vec<_> = answers
            .filter_map(|(at, (answer, _))| Some((*at, answer.as_ref().ok()?.first_timestamp)))
            .collect();
        assert!(stamped.len() > 200, "{leap_ns} {drift_ns}: only {} are acknowledged", stamped.len());
        for (at, timestamp) in stamped {
            assert!(timestamp.0 <= at.0 + BEYOND_NS, "{leap_ns} {drift_ns}: {timestamp}, sent at {at}");
        }
        assert!(others(liar).all(|other| fault(&world, other).is_none()), "the others were right");
    }
}

/// T14: a follower that states a time one hour ahead neither moves anything nor stops anybody for longer than a vote takes.
#[test]
fn a_follower_an_hour_ahead_is_convicted_and_moves_no_floor() {
    let (mut world, leader) = led(45);
    let liar = others(leader).next().expect("there are two");
    world.lie(liar, 3_600_000_000_000);
    world.run_for(Duration::from_millis(500));
    assert_eq!(world.leader(SHARD), Some(leader), "nobody was put out of office");
    assert_eq!(fault(&world, leader), None);
    let peers = world.clocks(leader).peers;
    let standing = peers.iter().find(|peer| peer.node == liar).expect("it is a peer").standing;
    assert!(matches!(standing, Standing::Misses { .. }), "{standing:?}");
    let receipt = world.append_surely(SHARD, 2, "on");
    assert!(receipt.first_timestamp <= world.true_time());
}

/// T10: what waits for its time waits by the bound of now.
#[test]
fn a_bound_that_widens_while_an_append_waits_moves_its_acknowledgement() {
    let (mut world, leader) = led(46);
    let ticket = world.append(leader, SHARD, 2, "waits");
    for node in NODES {
        world.widen(node, 9 * EPS_NS);
    }
    world.run_until(ELECTION, |world| world.appended.contains_key(&ticket));
    let (answer, at_ns) = &world.appended[&ticket];
    let receipt = answer.as_ref().expect("it is acknowledged");
    // True time, less what the leader's clock is off by, less the wider bound: that is past the stamp.
    let acknowledged = Timestamp(world.true_time().0 - (world.elapsed_ns - at_ns));
    assert!(acknowledged.ns_since(receipt.first_timestamp) > 7 * EPS_NS, "{receipt:?} {acknowledged}");
}

#[test]
fn a_leader_that_hears_no_majority_assigns_nothing_but_shows_what_it_has() {
    let (mut world, leader) = led(47);
    let receipt = world.append_surely(SHARD, 2, "there");
    world.run_for(Duration::from_millis(100));
    // Clocks that do not answer any more, on links that carry everything else.
    world.loses_probes = true;
    world.run_for(Duration::from_secs(2));
    let leader_now = world.leader(SHARD).expect("raft needs no clock");
    assert_eq!((leader_now, fault(&world, leader)), (leader, None));
    let ticket = world.append(leader, SHARD, 3, "not now");
    assert!(matches!(world.appended[&ticket].0, Err(Refusal::Unheard)), "{:?}", world.appended[&ticket]);
    let frames =
        world.read_now(leader, SHARD, ReadFrom::Time(receipt.first_timestamp)).expect("it reads").frames;
    assert_eq!(frames[0].header.first_offset, receipt.first_offset);
    world.loses_probes = false;
    world.append_surely(SHARD, 3, "now");
}

/// A world of so many nodes in which one leads, and all have agreed on the time.
fn led_among(nodes: u64, seed: u64) -> (World, NodeId) {
    let mut world = World::of(nodes, seed);
    for node in world.node_ids() {
        world.start(node, &[SHARD]);
    }
    world.append_surely(SHARD, 1, "x");
    world.run_for(Duration::from_secs(2));
    let leader = world.leader(SHARD).expect("it just acknowledged");
    (world, leader)
}

/// T5: the one that leads is among them.
#[test]
fn two_of_five_that_lie_together_are_fenced_and_the_three_go_on() {
    for (seed, lie_ns) in [(48, LIE_NS), (49, -LIE_NS)] {
        let (mut world, leader) = led_among(5, seed);
        let friend = world.node_ids().into_iter().find(|node| *node != leader).expect("there are five");
        let liars = [leader, friend];
        for node in liars {
            world.lie(node, lie_ns);
        }
        let ticket = world.append(leader, SHARD, 2, "stamped by a liar");
        world.run_until(2 * ELECTION, |world| {
            world.leader(SHARD).is_some_and(|next| !liars.contains(&next))
                && liars.iter().all(|node| matches!(fault(world, *node), Some(Fault::Outvoted { .. })))
        });
        assert!(
            !matches!(world.appended.get(&ticket), Some((Ok(_), _))),
            "{:?}",
            world.appended.get(&ticket)
        );
        let receipt = world.append_surely(SHARD, 3, "on");
        assert!(receipt.first_timestamp <= world.true_time());
        for node in world.node_ids().into_iter().filter(|node| !liars.contains(node)) {
            assert_eq!(fault(&world, node), None, "node {node} was right");
        }
    }
}

/// T6: nobody can tell who is right, so nobody shows anything; when they agree again, they go on, and all is there.
#[test]
fn two_against_two_stop_exposing_and_lose_nothing() {
    let (mut world, leader) = led_among(4, 50);
    let friend = world.node_ids().into_iter().find(|node| *node != leader).expect("there are four");
    let kept = world.append_surely(SHARD, 2, "kept");
    for node in [leader, friend] {
        world.lie(node, LIE_NS);
    }
    world.run_until(2 * ELECTION, |world| {
        world.node_ids().iter().all(|node| matches!(fault(world, *node), Some(Fault::NoMajority)))
    });
    let released = |world: &World, node| world.status(node, SHARD).expect("it runs").released;
    let shown: Vec<_> = world.node_ids().into_iter().map(|node| released(&world, node)).collect();
    for (sequence, node) in (3..).zip(world.node_ids()) {
        let ticket = world.append(node, SHARD, sequence, "not now");
        world.run_for(2 * ELECTION);
        assert!(world.appended[&ticket].0.is_err(), "{:?}", world.appended[&ticket]);
    }
    let still: Vec<_> = world.node_ids().into_iter().map(|node| released(&world, node)).collect();
    assert_eq!(still, shown, "nothing was shown meanwhile");
    for node in [leader, friend] {
        world.lie(node, 0);
    }
    world.run_for(Duration::from_secs(31));
    let receipt = world.append_surely(SHARD, 7, "on");
    assert!(receipt.first_timestamp > kept.first_timestamp);
    let leader = world.leader(SHARD).expect("it just acknowledged");
    let frames =
        world.read_now(leader, SHARD, ReadFrom::Time(kept.first_timestamp)).expect("it reads").frames;
    assert_eq!(frames[0].header.first_timestamp, kept.first_timestamp);
}

/// Appends to a leader that runs ahead by less than the others can prove; gives how early the acknowledgement came, in ns.
fn early_by_ns(quorum_wait: bool, seed: u64) -> u64 {
    const WIDE_NS: u64 = 9_000_000;
    let mut world = World::of(3, seed);
    world.agreement.quorum_wait = quorum_wait;
    for node in world.node_ids() {
        world.widen(node, WIDE_NS);
        world.start(node, &[SHARD]);
    }
    world.append_surely(SHARD, 1, "x");
    world.run_for(Duration::from_secs(2));
    let leader = world.leader(SHARD).expect("it just acknowledged");
    world.lie(leader, (WIDE_NS * 7 / 4).cast_signed());
    world.run_for(Duration::from_secs(2));
    let ticket = world.append(leader, SHARD, 2, "ahead");
    world.run_until(ELECTION, |world| world.appended.contains_key(&ticket));
    assert_eq!(fault(&world, leader), None, "nobody can prove it");
    let (receipt, acknowledged_ns) = &world.appended[&ticket];
    let last = receipt.as_ref().expect("acknowledged").first_timestamp;
    let true_time = world.true_time().minus_ns(world.elapsed_ns - acknowledged_ns);
    last.plus_ns(1).ns_since(true_time)
}

#[test]
fn a_leader_that_runs_ahead_unproved_exposes_nothing_early_if_a_quorum_is_waited_for() {
    for seed in 70..75 {
        assert!(early_by_ns(false, seed) > 1_000_000, "its own clock alone tells it too early");
        assert_eq!(early_by_ns(true, seed), 0);
    }
}

/// What a leader stamped on a slipped clock may be committed by its successor: the successor's log says that its order is in
/// doubt.
#[test]
fn a_successor_marks_every_timestamp_that_a_leader_stamped_while_its_clock_was_wrong() {
    let (mut world, leader) = led(48);
    let end_ns = world.elapsed_ns + 300 * MS;
    world.freeze(leader, 300 * MS);
    world.run_for(Duration::from_millis(250));
    world.elapsed_ns = end_ns;
    world.append(leader, SHARD, 2, "stamped too low");
    world.run_for(Duration::from_secs(1));
    go_on_without(&mut world, leader, 3);
    world.run_for(Duration::from_secs(4));
    let successor = world.leader(SHARD).expect("they go on");
    let frames = world.read_now(successor, SHARD, ReadFrom::Time(Timestamp::ZERO)).expect("it reads").frames;
    let wrong = frames.iter().find(|frame| frame.header.batch.sequence == 2).expect("it was committed");
    let marks: Vec<_> =
        frames.iter().filter(|frame| frame.header.kind == FrameKind::OrderMark).map(mark_of).collect();
    assert!(
        marks.iter().any(|mark| mark.node == leader && mark.covers(wrong.header.first_timestamp)),
        "{marks:?}"
    );
    assert!(!marks.iter().any(|mark| mark.node != leader), "{marks:?}");
    let told = world.marked.iter().map(|(by, shard, mark)| (*by, *shard, *mark));
    assert!(told.eq(marks.iter().map(|mark| (successor, SHARD, *mark))), "each that is written is told once");
}

fn mark_of(frame: &Frame) -> OrderMark {
    decode_order_mark(&frame.body).expect("a leader wrote it")
}
