//! Laws of durability `memory`: acknowledged before any sync, and a replica whose machine lost its memory neither votes nor
//! answers before it knows again what it had.

use std::time::Duration;

use timberline::types::{Durability, NodeId, Offset};

use crate::world::{NODES, World};
use crate::{SHARD, VOLATILE};

const LONG: Duration = Duration::from_secs(20);

/// A world whose disks stand still once it has a leader: what is appended from then on is in memory only.
fn volatile(seed: u64) -> World {
    let mut world = World::new(seed);
    for node in NODES {
        world.start(node, &[SHARD, VOLATILE]);
    }
    world.append_surely(VOLATILE, 1, "synced");
    world.append_surely(SHARD, 1, "synced");
    world.run_for(Duration::from_secs(3));
    world.holds_syncs = true;
    world
}

fn appended(world: &World, node: NodeId) -> Offset {
    world.status(node, VOLATILE).expect("it is hosted").appended
}

/// Appends records that every replica holds and no disk.
fn in_memory_everywhere(world: &mut World, sequences: std::ops::Range<u64>) -> Offset {
    for sequence in sequences {
        world.append_surely(VOLATILE, sequence, "in memory");
    }
    let leader = world.leader(VOLATILE).expect("it just acknowledged");
    let end = appended(world, leader);
    world.run_until(LONG, |world| NODES.into_iter().all(|node| appended(world, node) == end));
    end
}

/// The disks move again, one follower is back without what was in its memory, and the other one is down; in this order.
fn one_forgets_and_one_is_down(world: &mut World) -> (NodeId, NodeId) {
    let leader = world.leader(VOLATILE).expect("it just acknowledged");
    let [lost, other] = NODES.into_iter().filter(|node| *node != leader).collect::<Vec<_>>()[..] else {
        panic!("there are three")
    };
    world.holds_syncs = false;
    world.stop(other);
    world.lose_power(lost);
    world.start(lost, &[SHARD, VOLATILE]);
    (lost, other)
}

#[test]
fn memory_is_acknowledged_while_all_disks_stand_still_and_the_receipt_says_so() {
    let mut world = volatile(31);
    let receipt = world.append_surely(VOLATILE, 2, "in memory");
    assert_eq!(receipt.durability, Durability::Memory);
    let leader = world.leader(SHARD).expect("it led before");
    let ticket = world.append(leader, SHARD, 2, "on disk");
    world.run_for(Duration::from_millis(300));
    assert!(!world.appended.contains_key(&ticket), "a quorum of disks is waited for");
}

#[test]
fn a_replica_that_lost_its_memory_stays_still_until_all_others_told_it_what_it_had() {
    let mut world = volatile(32);
    let end = in_memory_everywhere(&mut world, 2..6);
    let (lost, other) = one_forgets_and_one_is_down(&mut world);
    world.run_for(Duration::from_secs(5));
    let told = world.status(lost, VOLATILE).expect("it is listed").failure.expect("it does not run");
    assert!(told.contains("may have lost") && told.contains(&other.to_string()), "{told}");
    assert!(!world.recalled(lost), "one of the others has not answered");
    world.start(other, &[SHARD, VOLATILE]);
    world.run_until(LONG, |world| world.recalled(lost));
    assert!(appended(&world, lost) >= end, "it has all that it had answered for");
    world.append_surely(VOLATILE, 6, "it joins");
}

#[test]
fn a_process_that_ends_in_good_order_has_nothing_to_recollect() {
    let mut world = volatile(33);
    let end = in_memory_everywhere(&mut world, 2..6);
    let leader = world.leader(VOLATILE).expect("it just acknowledged");
    let follower = NODES.into_iter().find(|node| *node != leader).expect("there are three");
    world.close(follower);
    world.lose_power(follower);
    world.start(follower, &[SHARD, VOLATILE]);
    let status = world.status(follower, VOLATILE).expect("it is hosted");
    assert_eq!((status.failure, status.appended), (None, end));
    assert!(!world.recalled(follower));
}

#[test]
fn a_killed_process_has_nothing_to_recollect_while_its_machine_runs_on() {
    let mut world = volatile(34);
    let end = in_memory_everywhere(&mut world, 2..6);
    let leader = world.leader(VOLATILE).expect("it just acknowledged");
    let follower = NODES.into_iter().find(|node| *node != leader).expect("there are three");
    world.stop(follower);
    world.start(follower, &[SHARD, VOLATILE]);
    let status = world.status(follower, VOLATILE).expect("it is hosted");
    assert_eq!((status.failure, status.appended), (None, end));
}

#[test]
fn a_replica_that_loses_its_memory_again_while_it_recollects_still_knows_that_it_may_have_forgotten() {
    let mut world = volatile(35);
    let end = in_memory_everywhere(&mut world, 2..6);
    let (lost, other) = one_forgets_and_one_is_down(&mut world);
    world.run_for(Duration::from_secs(1));
    // Killed, not without power: the boot is the one in which it began to ask.
    world.stop(lost);
    world.start(lost, &[SHARD, VOLATILE]);
    assert!(world.status(lost, VOLATILE).expect("it is listed").failure.is_some());
    world.start(other, &[SHARD, VOLATILE]);
    world.run_until(LONG, |world| world.recalled(lost));
    assert!(appended(&world, lost) >= end);
}

#[test]
fn where_every_machine_lost_its_memory_the_longest_log_is_gone_on_with() {
    let mut world = volatile(36);
    in_memory_everywhere(&mut world, 2..6);
    for node in NODES {
        world.lose_power(node);
    }
    world.holds_syncs = false;
    for node in NODES {
        world.start(node, &[SHARD, VOLATILE]);
    }
    world.run_until(LONG, |world| NODES.into_iter().all(|node| world.recalled(node)));
    let receipt = world.append_surely(VOLATILE, 6, "on with it");
    assert!(receipt.first_offset >= Offset(1), "what was synced once is there");
}
