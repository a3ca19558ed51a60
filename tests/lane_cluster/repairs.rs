//! Laws of damaged segments: named, never served, refetched from a peer, while the shard goes on.

use std::path::PathBuf;
use std::time::Duration;

use timberline::disk::Disk;
use timberline::lane::{ReadFrom, ReadRefusal};
use timberline::types::{NodeId, Offset, Timestamp};

use crate::world::{NODES, World};
use crate::{OTHER, SHARD, append_much, settle, started, trimmed};

/// Where the first frame of these segments starts.
const HEAD: u64 = 4096;

/// A node's segment of the shard, the first, second or third: numbers have gaps.
fn segment(world: &World, node: NodeId, place: usize) -> PathBuf {
    let folder = PathBuf::from("shards").join(SHARD.to_string());
    let files = world.disk(node).sizes().into_iter().map(|(path, _)| path);
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "segment");
    let mut segments: Vec<_> = files.filter(|path| path.starts_with(&folder) && is_segment(path)).collect();
    segments.sort();
    segments.swap_remove(place - 1)
}

/// A world with two sealed segments and an active one, and a follower in it.
fn filled(seed: u64) -> (World, NodeId) {
    let mut world = started(seed);
    for sequence in 1..=8 {
        world.append_surely(SHARD, sequence, &"x".repeat(8_000));
    }
    settle(&mut world);
    let leader = world.leader(SHARD).expect("it just acknowledged");
    let follower = NODES.into_iter().find(|node| *node != leader).expect("there are three");
    (world, follower)
}

fn content(world: &World, node: NodeId, place: usize) -> Vec<u8> {
    world.disk(node).read(&segment(world, node, place)).unwrap().expect("the segment is there")
}

/// Rots a byte in the body of the segment's first frame; gives the file as it was before.
fn rot(world: &World, node: NodeId, place: usize) -> Vec<u8> {
    let before = content(world, node, place);
    world.disk(node).flip(&segment(world, node, place), HEAD + 1000, 8).unwrap();
    before
}

/// Everything that a node shows of the shard.
fn read_all(world: &mut World, node: NodeId) -> Result<Vec<timberline::codec::Frame>, ReadRefusal> {
    let (mut from, mut frames) = (ReadFrom::Time(Timestamp::ZERO), Vec::new());
    let end = world.status(node, SHARD).expect("it runs").released;
    loop {
        let answer = world.read_now(node, SHARD, from)?;
        from = ReadFrom::Index(answer.next);
        frames.extend(answer.frames);
        if frames.last().is_some_and(|frame: &timberline::codec::Frame| frame.header.next_offset() >= end) {
            return Ok(frames);
        }
    }
}

fn is_repaired_under_appends(world: &mut World, node: NodeId) {
    let whole = read_all(world, node).expect("nothing is damaged yet");
    let before = rot(world, node, 2);
    let ReadRefusal::Failed { reason, .. } = read_all(world, node).expect_err("damage is not served") else {
        panic!("damage is named")
    };
    let file = segment(world, node, 2);
    assert!(reason.contains(&format!("{} at byte", file.display())) && reason.contains("frame "), "{reason}");
    let receipt = world.append_surely(SHARD, 9, "while it is repaired");
    assert!(receipt.record_count == 1 && !world.repaired(node), "the shard took it meanwhile");
    world.run_until(Duration::from_secs(5), |world| world.repaired(node));
    assert_eq!(content(world, node, 2), before);
    settle(world);
    let again = read_all(world, node).expect("it is whole again");
    assert_eq!(again[..whole.len()], whole[..]);
}

#[test]
fn rot_in_a_sealed_segment_is_refetched_while_the_shard_takes_appends() {
    let (mut world, follower) = filled(21);
    is_repaired_under_appends(&mut world, follower);
}

#[test]
fn a_leaders_own_rot_is_repaired_from_a_follower() {
    let (mut world, _) = filled(22);
    let leader = world.leader(SHARD).expect("it just acknowledged");
    is_repaired_under_appends(&mut world, leader);
    assert_eq!(world.leader(SHARD), Some(leader), "it led on");
}

#[test]
fn a_replica_that_finds_rot_at_start_repairs_exactly_and_joins() {
    let (mut world, follower) = filled(23);
    world.stop(follower);
    let before = rot(&world, follower, 3);
    world.expects_stops = true;
    world.start(follower, &[SHARD, OTHER]);
    let told = world.status(follower, SHARD).expect("it is listed").failure.expect("it does not run");
    assert!(told.contains("has rotted") && told.contains("repairing"), "{told}");
    world.run_until(Duration::from_secs(5), |world| world.repaired(follower));
    assert_eq!(content(&world, follower, 3), before);
    world.append_surely(SHARD, 9, "it joins");
    settle(&mut world);
    assert_eq!(world.status(follower, SHARD).expect("it runs").failure, None);
}

#[test]
fn rot_in_the_segment_that_is_written_stops_the_replica_until_it_is_repaired() {
    let (mut world, follower) = filled(24);
    world.run_for(Duration::from_secs(1));
    let before = rot(&world, follower, 3);
    world.expects_stops = true;
    read_all(&mut world, follower).expect_err("damage is not served");
    let told = world.status(follower, SHARD).expect("it is listed").failure.expect("it stopped");
    assert!(told.contains("repairing"), "{told}");
    world.run_until(Duration::from_secs(5), |world| world.repaired(follower));
    assert_eq!(content(&world, follower, 3), before);
    // The others rest: they have to be asked what is committed.
    settle(&mut world);
    world.append_surely(SHARD, 9, "it joins");
    settle(&mut world);
}

#[test]
fn nobody_to_repair_from_stays_stopped_and_says_so() {
    let (mut world, follower) = filled(25);
    for node in NODES {
        world.stop(node);
    }
    let before = rot(&world, follower, 3);
    world.expects_stops = true;
    world.start(follower, &[SHARD, OTHER]);
    world.run_for(Duration::from_secs(10));
    let told = world.status(follower, SHARD).expect("it is listed").failure.expect("it does not run");
    assert!(told.contains("no peer has frames"), "{told}");
    for node in NODES.into_iter().filter(|node| *node != follower) {
        world.start(node, &[SHARD, OTHER]);
    }
    world.run_until(Duration::from_secs(60), |world| world.repaired(follower));
    assert_eq!(content(&world, follower, 3), before);
    world.append_surely(SHARD, 9, "it joins");
    settle(&mut world);
}

#[test]
fn the_scrubber_finds_what_nobody_reads() {
    let (mut world, follower) = filled(26);
    let before = rot(&world, follower, 1);
    world.run_until(Duration::from_secs(30), |world| world.repaired(follower));
    assert_eq!(content(&world, follower, 1), before);
}

#[test]
fn rot_in_what_all_others_have_trimmed_is_given_up_and_the_log_begins_where_theirs_do() {
    let (mut world, follower) = filled(27);
    let leader = world.leader(SHARD).expect("it just acknowledged");
    world.stop(follower);
    rot(&world, follower, 3);
    append_much(&mut world, 9);
    assert!(trimmed(&world, leader) > Offset(20));
    world.expects_stops = true;
    world.start(follower, &[SHARD, OTHER]);
    world.run_until(Duration::from_secs(60), |world| {
        world.status(follower, SHARD).is_some_and(|status| status.failure.is_none())
    });
    settle(&mut world);
    world.run_for(Duration::from_secs(3));
    let (ours, theirs) = (world.status(follower, SHARD).unwrap(), world.status(leader, SHARD).unwrap());
    assert_eq!((ours.trimmed, ours.released, ours.synced), (theirs.trimmed, theirs.released, theirs.synced));
}
