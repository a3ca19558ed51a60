//! The seam on which the simulator stands: whole lanes driven in one thread, with one seed.

mod world;

use std::time::Duration;

use timberline::shard::Refusal;
use timberline::types::ShardId;
use world::{NODES, Weather, World};

const SHARD: ShardId = ShardId(1);
const OTHER: ShardId = ShardId(2);
const FAIR: Weather = Weather { lost: 0, doubled: 0 };
const STORM: Weather = Weather { lost: 5, doubled: 5 };

fn started(seed: u64, weather: Weather) -> World {
    let mut world = World::new(seed, weather);
    for node in NODES {
        world.start(node, &[SHARD, OTHER]);
    }
    world
}

/// Appends through leader changes and restarts, then reads all replicas.
fn eventful(seed: u64) -> World {
    let mut world = started(seed, STORM);
    let mut receipts = Vec::new();
    for sequence in 1..=60 {
        if sequence % 20 == 10 {
            let leader = world.leader(SHARD).expect("someone led a moment ago");
            world.kill(leader, sequence == 30);
            receipts.push(world.append_surely(SHARD, sequence, &format!("event {sequence}")));
            world.start(leader, &[SHARD, OTHER]);
        } else {
            receipts.push(world.append_surely(SHARD, sequence, &format!("event {sequence}")));
        }
    }
    settle(&mut world);
    let all = NODES.map(|node| world.read_all(node, SHARD));
    assert_eq!(all[0].len(), 60, "nothing lost, nothing twice");
    assert!(all[0] == all[1] && all[1] == all[2], "replicas are byte-equal");
    for (receipt, (timestamp, _, _)) in receipts.iter().zip(&all[0]) {
        assert_eq!(receipt.first_timestamp, *timestamp, "a receipt tells what is read");
    }
    assert!(all[0].windows(2).all(|pair| pair[0].0 < pair[1].0), "timestamps strictly rise");
    world
}

/// Until every replica has released what the leader has.
fn settle(world: &mut World) {
    world.run_until(Duration::from_secs(20), |world| {
        let released = NODES.map(|node| world.status(node, SHARD).map(|status| status.released));
        world.leader(SHARD).is_some()
            && released[0] == released[1]
            && released[1] == released[2]
            && NODES.iter().all(|node| {
                world.status(*node, SHARD).is_some_and(|status| status.released == status.appended)
            })
    });
}

#[test]
fn one_seed_tells_one_story_line_by_line() {
    let (first, second) = (eventful(11), eventful(11));
    for (line, (a, b)) in first.trace.iter().zip(&second.trace).enumerate() {
        assert_eq!(a, b, "line {line}");
    }
    assert_eq!(first.trace.len(), second.trace.len());
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_through_kills_and_a_power_cut() {
    for seed in 20..40 {
        eventful(seed);
    }
}

#[test]
fn timestamps_lie_between_true_arrival_and_true_acknowledgement() {
    let mut world = started(5, FAIR);
    for sequence in 1..=50 {
        let arrival = world.true_time();
        let receipt = world.append_surely(SHARD, sequence, "x");
        assert!(arrival <= receipt.first_timestamp || sequence == 1, "stamped after it arrived");
        assert!(receipt.first_timestamp < world.true_time(), "acknowledged after its time has passed");
    }
}

#[test]
fn acknowledgement_before_sending_means_a_lower_timestamp_across_shards() {
    let mut world = started(6, FAIR);
    let mut last = None;
    for sequence in 1..=50 {
        for shard in [SHARD, OTHER] {
            let receipt = world.append_surely(shard, sequence, "x");
            assert!(last < Some(receipt.first_timestamp));
            last = Some(receipt.first_timestamp);
        }
    }
}

#[test]
fn an_idle_shard_is_closed_on_all_replicas_within_a_tick_and_two_round_trips() {
    let mut world = started(7, FAIR);
    world.append_surely(SHARD, 1, "x");
    settle(&mut world);
    world.run_for(Duration::from_secs(2));
    for _ in 0..50 {
        world.run_for(Duration::from_millis(7));
        for node in NODES {
            let closed = world.status(node, SHARD).expect("running").closed;
            let behind_ns = world.true_time().ns_since(closed);
            let bound_ns = 20_000_000 + 4 * 500_000 + 4 * world::EPS_NS;
            assert!(behind_ns <= bound_ns, "node {node} is {behind_ns} ns behind");
        }
    }
}

#[test]
fn everything_acknowledged_survives_a_power_cut_of_all_nodes() {
    for seed in 50..60 {
        let mut world = started(seed, STORM);
        let mut receipts: Vec<_> =
            (1..=20).map(|s| world.append_surely(SHARD, s, &format!("event {s}"))).collect();
        for node in NODES {
            world.kill(node, true);
        }
        for node in NODES {
            world.start(node, &[SHARD, OTHER]);
        }
        receipts.push(world.append_surely(SHARD, 21, "after"));
        settle(&mut world);
        let read = world.read_all(NODES[0], SHARD);
        let times: Vec<_> = read.iter().map(|(timestamp, _, _)| *timestamp).collect();
        let acknowledged: Vec<_> = receipts.iter().map(|receipt| receipt.first_timestamp).collect();
        assert_eq!(times, acknowledged, "seed {seed}");
    }
}

#[test]
fn a_follower_refuses_appends_and_names_the_leader() {
    let mut world = started(8, FAIR);
    world.append_surely(SHARD, 1, "x");
    settle(&mut world);
    let leader = world.leader(SHARD).expect("it just acknowledged");
    let follower = NODES.into_iter().find(|node| *node != leader).expect("there are three");
    let ticket = world.append(follower, SHARD, 2, "y");
    let (answer, _) = &world.appended[&ticket];
    assert!(matches!(answer, Err(Refusal::NotLeader { leader: Some(_) })), "{answer:?}");
}
