//! Laws of whole lanes that need a quiet world: no faults, one thread, virtual time. The hostile one is `tools/sim`.

mod clocks;
mod consistency;
mod leap_seconds;
mod producers;
mod receipts;
mod recollections;
mod repairs;
mod resting;
mod world;

use std::time::Duration;

use timberline::lane::{ReadFrom, ReadRefusal};
use timberline::shard::{Outcome, Refusal};
use timberline::types::{Index, NodeId, Offset, ShardId, Timestamp};
use world::{NODES, World};

pub(crate) const SHARD: ShardId = ShardId(1);
pub(crate) const OTHER: ShardId = ShardId(2);
/// Durability `memory`.
pub(crate) const VOLATILE: ShardId = ShardId(3);

/// Election timeouts are drawn from up to so much here.
pub(crate) const ELECTION: Duration = Duration::from_secs(1);

pub(crate) fn others(node: NodeId) -> impl Iterator<Item = NodeId> {
    NODES.into_iter().filter(move |other| *other != node)
}

pub(crate) fn started(seed: u64) -> World {
    let mut world = World::new(seed);
    for node in NODES {
        world.start(node, &[SHARD, OTHER]);
    }
    world
}

/// Until every replica has released what the leader has.
pub(crate) fn settle(world: &mut World) {
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

/// Appends to the shard's leader until one is refused; gives the leader, the sequence and the refusal.
fn append_until_refused(world: &mut World, sequence: &mut u64) -> (NodeId, Refusal) {
    for _ in 0..2000 {
        let Some(leader) = world.leader(SHARD) else {
            world.run_for(Duration::from_millis(20));
            continue;
        };
        *sequence += 1;
        let ticket = world.append(leader, SHARD, *sequence, &"x".repeat(400));
        world.run_for(Duration::from_millis(5));
        if let Some((Err(refusal), _)) = world.appended.get(&ticket) {
            return (leader, refusal.clone());
        }
    }
    panic!("every append was taken");
}

#[test]
fn full_disks_refuse_appends_while_reads_go_on_and_recover_by_themselves() {
    // Other seeds meet a leadership under way when the last disk fills: then nobody leads until one has room.
    let mut world = started(12);
    let first = world.append_surely(SHARD, 1, "x");
    settle(&mut world);
    for node in NODES {
        world.fill_disk(node);
    }
    let mut sequence = 1;
    let refused = loop {
        match append_until_refused(&mut world, &mut sequence) {
            (node, Refusal::NoSpace) => break node,
            // A full leader offers its leadership, and takes no appends until that has come to nothing.
            (_, Refusal::Moving | Refusal::NotLeader { .. }) => sequence -= 1,
            (_, refusal) => panic!("{refusal}"),
        }
    };
    assert_eq!(Refusal::NoSpace.outcome(), Outcome::NotApplied);
    assert!(world.status(refused, SHARD).expect("it runs on").is_full);
    let ticket = world.read(refused, SHARD, ReadFrom::Time(first.first_timestamp));
    world.run_until(Duration::from_secs(1), |world| world.reads.contains_key(&ticket));
    let frames = &world.reads[&ticket].as_ref().expect("a full disk is read").frames;
    assert_eq!(frames[0].header.first_offset, first.first_offset);
    world.run_for(Duration::from_secs(10));
    for node in NODES {
        world.empty_disk(node);
    }
    world.run_for(Duration::from_secs(2));
    world.append_surely(SHARD, sequence, "room again");
    settle(&mut world);
    assert!(NODES.iter().all(|node| !world.status(*node, SHARD).expect("it runs").is_full));
}

#[test]
fn a_leader_whose_disk_is_full_gives_its_leadership_to_one_with_room() {
    let mut world = started(12);
    world.append_surely(SHARD, 1, "x");
    settle(&mut world);
    let full = world.leader(SHARD).expect("it just acknowledged");
    world.fill_disk(full);
    for sequence in 2..400 {
        world.append_surely(SHARD, sequence, &"x".repeat(400));
        if world.leader(SHARD) != Some(full) {
            break;
        }
    }
    assert_ne!(world.leader(SHARD), Some(full));
    assert!(world.status(full, SHARD).expect("it follows on").is_full);
    world.empty_disk(full);
    settle(&mut world);
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

/// Appends so much that most of it is trimmed away.
fn append_much(world: &mut World, first_sequence: u64) {
    let value = "x".repeat(8_000);
    for sequence in first_sequence..first_sequence + 60 {
        world.append_surely(SHARD, sequence, &value);
    }
    world.run_for(Duration::from_secs(3));
}

fn trimmed(world: &World, node: NodeId) -> Offset {
    world.status(node, SHARD).expect("running").trimmed
}

#[test]
fn replicas_agree_on_the_start_give_the_space_back_and_tell_readers_that_fell_behind() {
    let mut world = started(9);
    append_much(&mut world, 1);
    settle(&mut world);
    let start = trimmed(&world, NODES[0]);
    assert!(start > Offset(20), "{start}");
    for node in NODES {
        assert_eq!(trimmed(&world, node), start);
        assert!(world.segment_bytes(node, SHARD) <= 6 * (64 << 10), "the files are gone");
        let first = world.read_now(node, SHARD, ReadFrom::Time(Timestamp::ZERO)).unwrap();
        assert_eq!((first.frames[0].header.first_offset, first.kept_from), (start, start));
        let stamped = first.frames[0].header.first_timestamp;
        let resumed = world.read_now(node, SHARD, ReadFrom::Time(stamped)).unwrap();
        assert_eq!(resumed.frames[0].header.first_offset, start);
        for behind in [ReadFrom::Index(Index(2)), ReadFrom::Time(Timestamp(2))] {
            let told = world.read_now(node, SHARD, behind).unwrap_err();
            assert!(matches!(told, ReadRefusal::Trimmed { kept_from, .. } if kept_from == start), "{told}");
        }
    }
}

#[test]
fn a_node_that_slept_through_trims_begins_anew_where_the_others_begin() {
    let mut world = started(10);
    world.append_surely(SHARD, 1, "x");
    settle(&mut world);
    let leader = world.leader(SHARD).expect("it just acknowledged");
    let sleeper = NODES.into_iter().find(|node| *node != leader).expect("there are three");
    world.stop(sleeper);
    append_much(&mut world, 2);
    assert!(trimmed(&world, leader) > Offset(20));
    world.start(sleeper, &[SHARD, OTHER]);
    settle(&mut world);
    world.run_for(Duration::from_secs(3));
    assert_eq!(trimmed(&world, sleeper), trimmed(&world, leader));
    let (ours, theirs) = (world.status(sleeper, SHARD).unwrap(), world.status(leader, SHARD).unwrap());
    assert_eq!((ours.released, ours.synced), (theirs.released, theirs.synced));
    let begin = ReadFrom::Time(Timestamp::ZERO);
    let (ours, theirs) =
        (world.read_now(sleeper, SHARD, begin).unwrap(), world.read_now(leader, SHARD, begin).unwrap());
    assert_eq!(ours.frames, theirs.frames);
}
