//! Laws of shards that nobody appends to: they cost no message of Raft, and whatever happens to them finds them awake.

use std::time::Duration;

use timberline::clock::Fault;
use timberline::types::NodeId;

use crate::world::{NODES, World};
use crate::{ELECTION, OTHER, SHARD, others, settle, started};

/// A world whose shards rest, and the leader of one.
fn rested(seed: u64) -> (World, NodeId) {
    let mut world = started(seed);
    world.append_surely(SHARD, 1, "x");
    world.append_surely(OTHER, 2, "y");
    settle(&mut world);
    world.run_for(Duration::from_secs(1));
    let leader = world.leader(SHARD).expect("it just acknowledged");
    (world, leader)
}

fn raft_messages_within(world: &mut World, time: Duration) -> usize {
    let before = world.raft_messages;
    world.run_for(time);
    world.raft_messages - before
}

fn released(world: &World, node: NodeId) -> Option<timberline::types::Offset> {
    world.status(node, SHARD).map(|status| status.released)
}

#[test]
fn shards_that_nobody_appends_to_send_no_message_of_raft_and_are_closed_all_the_same() {
    let (mut world, leader) = rested(61);
    assert_eq!(raft_messages_within(&mut world, Duration::from_secs(10)), 0);
    assert_eq!(world.leader(SHARD), Some(leader));
    for node in NODES {
        let closed = world.status(node, SHARD).expect("it runs").closed;
        assert!(world.true_time().ns_since(closed) < 30_000_000, "node {node} closes");
    }
}

#[test]
fn an_append_to_a_resting_shard_is_acknowledged_at_once_and_the_shard_rests_again() {
    let (mut world, leader) = rested(62);
    let ticket = world.append(leader, SHARD, 3, "woken");
    world.run_until(Duration::from_millis(20), |world| world.appended.contains_key(&ticket));
    assert!(world.appended[&ticket].0.is_ok());
    world.run_for(Duration::from_secs(1));
    let everywhere = NODES.map(|node| released(&world, node));
    assert!(everywhere.iter().all(|at| *at == everywhere[0]), "all know it committed: {everywhere:?}");
    assert_eq!(raft_messages_within(&mut world, Duration::from_secs(5)), 0);
}

#[test]
fn a_dead_leaders_resting_shards_are_led_again_within_two_election_timeouts() {
    let (mut world, leader) = rested(63);
    world.stop(leader);
    world.run_until(2 * ELECTION, |world| world.leader(SHARD).is_some_and(|next| next != leader));
    world.append_surely(SHARD, 3, "on");
}

#[test]
fn a_dead_node_keeps_the_shards_of_the_others_from_resting_only_for_a_while() {
    let (mut world, leader) = rested(64);
    let dead = others(leader).next().expect("three nodes");
    world.stop(dead);
    world.append_surely(SHARD, 3, "without it");
    world.run_until(Duration::from_secs(5), |world| world.leader(OTHER).is_some_and(|node| node != dead));
    world.run_for(Duration::from_secs(3));
    assert_eq!(raft_messages_within(&mut world, Duration::from_secs(5)), 0);
}

#[test]
fn a_node_that_returns_is_given_what_it_missed_by_leaders_that_rest() {
    let (mut world, leader) = rested(65);
    let away = others(leader).next().expect("three nodes");
    world.stop(away);
    world.append_surely(SHARD, 3, "missed");
    world.run_for(Duration::from_secs(3));
    world.start(away, &[SHARD, OTHER]);
    let leader = world.leader(SHARD).expect("two of three live");
    world.run_until(ELECTION, |world| released(world, away) == released(world, leader));
    assert_eq!(world.leader(SHARD), Some(leader), "its return disturbs nobody");
    world.run_for(Duration::from_secs(1));
    assert_eq!(raft_messages_within(&mut world, Duration::from_secs(5)), 0);
}

/// A leader that it cannot answer sends it nothing after the first entry, and it misses no tick of that leader's node, so it does
/// not know that it lacks anything.
#[test]
fn a_node_whose_words_alone_were_lost_is_given_what_it_lacks_once_it_is_heard_again() {
    let mut world = World::of(5, 66);
    for node in world.node_ids() {
        world.start(node, &[SHARD]);
    }
    world.append_surely(SHARD, 1, "x");
    let first = world.leader(SHARD).expect("it just acknowledged");
    let mute = world.node_ids().into_iter().find(|node| *node != first).expect("there are five");
    world.mute = Some(mute);
    world.stop(first);
    world.append_surely(SHARD, 2, "by the next leader");
    let leader = world.leader(SHARD).expect("it just acknowledged");
    world.run_for(Duration::from_secs(5));
    assert_eq!(raft_messages_within(&mut world, Duration::from_secs(1)), 0, "its leader rests without it");
    assert!(released(&world, mute) < released(&world, leader));
    world.mute = None;
    world.run_until(ELECTION, |world| released(world, mute) == released(world, leader));
    assert_eq!(world.leader(SHARD), Some(leader), "nobody else was to lead");
}

/// A machine that stands still for less than an election timeout comes back to a cluster that did not miss it.
#[test]
fn a_pause_shorter_than_an_election_timeout_moves_no_leader_of_resting_shards() {
    let (mut world, leader) = rested(66);
    let follower = others(leader).next().expect("three nodes");
    world.hold(follower, Duration::from_millis(300));
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.leader(SHARD), Some(leader));
    assert_eq!(raft_messages_within(&mut world, Duration::from_secs(5)), 0);
}

#[test]
fn a_resting_leader_that_no_majority_hears_steps_down() {
    let (mut world, leader) = rested(67);
    for node in others(leader) {
        world.stop(node);
    }
    world.run_until(4 * ELECTION, |world| {
        world.status(leader, SHARD).is_some_and(|status| status.leader != Some(leader))
    });
}

#[test]
fn a_resting_leader_whose_clock_leaves_the_others_hands_over() {
    let (mut world, leader) = rested(68);
    world.lie(leader, 50_000_000);
    world.run_until(2 * ELECTION, |world| world.leader(SHARD).is_some_and(|next| next != leader));
    world.append_surely(SHARD, 3, "on");
}

/// A fenced follower may not campaign, and is told nothing of leaders that rest: it must not take that for their end.
#[test]
fn a_follower_that_is_trusted_again_after_long_disturbs_no_leader_that_rests() {
    let (mut world, leader) = rested(69);
    let follower = others(leader).next().expect("three nodes");
    world.distrust(follower, Some(Fault::Unsynchronised));
    world.run_for(3 * ELECTION);
    world.distrust(follower, None);
    assert_eq!(raft_messages_within(&mut world, Duration::from_secs(3)), 0);
    assert_eq!(world.leader(SHARD), Some(leader));
}

/// A node that starts again may not know the time yet, and so accepts nothing; who leads it has to be told all the same.
#[test]
fn a_node_that_starts_again_and_does_not_know_the_time_is_told_who_leads() {
    let (mut world, leader) = rested(70);
    let follower = others(leader).next().expect("three nodes");
    world.stop(follower);
    world.distrust(follower, Some(Fault::Unsynchronised));
    world.start(follower, &[SHARD, OTHER]);
    world.run_until(ELECTION, |world| {
        world.status(follower, SHARD).is_some_and(|status| status.leader == Some(leader))
    });
    world.distrust(follower, None);
    world.run_until(ELECTION, |world| released(world, follower) == released(world, leader));
}
