//! Laws of whole lanes that need a quiet world: no faults, one thread, virtual time. The hostile one is `tools/sim`.

mod world;

use std::time::Duration;

use timberline::shard::Refusal;
use timberline::types::ShardId;
use world::{NODES, World};

const SHARD: ShardId = ShardId(1);
const OTHER: ShardId = ShardId(2);

fn started(seed: u64) -> World {
    let mut world = World::new(seed);
    for node in NODES {
        world.start(node, &[SHARD, OTHER]);
    }
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
fn an_idle_shard_is_closed_on_all_replicas_within_a_tick_and_two_round_trips() {
    let mut world = started(7);
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
fn a_follower_refuses_appends_and_names_the_leader() {
    let mut world = started(8);
    world.append_surely(SHARD, 1, "x");
    settle(&mut world);
    let leader = world.leader(SHARD).expect("it just acknowledged");
    let follower = NODES.into_iter().find(|node| *node != leader).expect("there are three");
    let ticket = world.append(follower, SHARD, 2, "y");
    let (answer, _) = &world.appended[&ticket];
    assert!(matches!(answer, Err(Refusal::NotLeader { leader: Some(_) })), "{answer:?}");
}
