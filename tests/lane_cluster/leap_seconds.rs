//! Laws of a leap second (docs/TIME.md): T17.

use std::time::Duration;

use timberline::clock::Fault;
use timberline::shard::Refusal;
use timberline::types::NodeId;

use crate::world::{EPS_NS, NODES, World};
use crate::{ELECTION, SHARD, settle, started};

const SECOND: Duration = Duration::from_secs(1);
const SECOND_NS: i64 = 1_000_000_000;

/// The kernels of all nodes step within their bounds of each other, and each source samples anew some time later.
fn leap(world: &mut World, by_ns: i64) {
    for node in NODES {
        world.lie(node, by_ns);
        world.distrust(node, Some(Fault::Stepped { by_ns }));
    }
    let leader = world.leader(SHARD).expect("it led until now");
    let ticket = world.append(leader, SHARD, 2, "meanwhile");
    assert!(matches!(world.appended[&ticket].0, Err(Refusal::Fenced { .. })), "nobody stamps meanwhile");
    for node in NODES {
        world.run_for(SECOND);
        world.distrust(node, None);
    }
}

fn led(seed: u64) -> World {
    let mut world = started(seed);
    world.append_surely(SHARD, 1, "before");
    settle(&mut world);
    world
}

#[test]
fn an_inserted_second_that_all_step_repeats_no_timestamp_and_stalls_for_a_second_and_an_election() {
    let mut world = led(61);
    let before = world.append_surely(SHARD, 2, "before").first_timestamp;
    leap(&mut world, -SECOND_NS);
    let back_ns = world.elapsed_ns;
    let after = world.append_surely(SHARD, 3, "after").first_timestamp;
    assert!(after > before);
    let stalled = Duration::from_nanos(world.elapsed_ns - back_ns);
    assert!(stalled <= SECOND + 2 * ELECTION, "{stalled:?}");
    assert!(NODES.iter().all(|node| world.clocks(*node).fault.is_none()), "nobody is fenced for it");
}

#[test]
fn a_deleted_second_that_all_step_stalls_for_an_election() {
    let mut world = led(62);
    let before = world.append_surely(SHARD, 2, "before").first_timestamp;
    leap(&mut world, SECOND_NS);
    let back_ns = world.elapsed_ns;
    let after = world.append_surely(SHARD, 3, "after").first_timestamp;
    assert!(after > before.plus_ns(900_000_000));
    assert!(Duration::from_nanos(world.elapsed_ns - back_ns) <= 2 * ELECTION);
    assert!(NODES.iter().all(|node| world.clocks(*node).fault.is_none()), "nobody is fenced for it");
}

#[test]
fn a_node_that_smears_what_others_step_is_fenced_once_it_leaves_their_bounds_and_they_go_on() {
    let mut world = led(63);
    let leader = world.leader(SHARD).expect("it just acknowledged");
    let smears: NodeId = NODES.into_iter().find(|node| *node != leader).expect("there are three");
    // Half a day before the leap a smearing clock parts from the others by 11.6 ppm; here a hundred times as fast.
    let mut parted_ns = 0;
    while world.clocks(smears).fault.is_none() {
        assert!(parted_ns < 5 * EPS_NS, "seen by now");
        parted_ns += EPS_NS / 10;
        world.lie(smears, parted_ns.cast_signed());
        world.run_for(Duration::from_millis(90));
        let faults = NODES.into_iter().filter(|node| *node != smears).map(|node| world.clocks(node).fault);
        // A word of the smearing node may be open for a round trip.
        assert!(faults.flatten().all(|(fault, _)| fault.is_open()), "the others are right");
    }
    assert!(matches!(world.clocks(smears).fault, Some((Fault::Outvoted { .. }, _))));
    assert!(parted_ns > EPS_NS, "not while their bounds could all be true");
    world.append_surely(SHARD, 2, "on");
}
