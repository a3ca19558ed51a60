//! Producers that a shard forgets: what may have been applied is stored once, through restarts and changes of leader.

use std::time::Duration;

use timberline::codec::PRODUCERS_MAX;
use timberline::lane::{ReadFrom, Ticket};
use timberline::shard::{Outcome, Refusal};
use timberline::types::{BatchId, Fate, NodeId, ProducerId, Timestamp};

use crate::world::{NODES, World};
use crate::{SHARD, others, settle, started};

const PRODUCER: ProducerId = ProducerId(900);
const BATCH: BatchId = BatchId { producer: PRODUCER, epoch: 0, sequence: 1 };

fn leader(world: &mut World) -> NodeId {
    world.run_until(Duration::from_secs(20), |world| world.leader(SHARD).is_some());
    world.leader(SHARD).expect("just seen")
}

/// A world whose shard takes appends.
fn led(seed: u64) -> World {
    let mut world = started(seed);
    world.append_surely(SHARD, 1, "first");
    settle(&mut world);
    world
}

/// So many producers that all others are forgotten append a batch each; gives the last one's timestamp.
fn crowd(world: &mut World, first: u64, mut floor: Timestamp) -> Timestamp {
    let node = leader(world);
    let ids: Vec<u64> = (first..first + PRODUCERS_MAX as u64).collect();
    for few in ids.chunks(32) {
        let send = |id: &u64| {
            let batch = BatchId { producer: ProducerId(*id), epoch: 0, sequence: 1 };
            world.append_as(node, SHARD, batch, floor, "x")
        };
        let tickets: Vec<Ticket> = few.iter().map(send).collect();
        world.run_until(Duration::from_secs(5), |world| {
            tickets.iter().all(|ticket| world.appended.contains_key(ticket))
        });
        let receipts = tickets.iter().map(|ticket| world.appended[ticket].0.clone().expect("it leads"));
        floor = receipts.map(|receipt| receipt.last_timestamp()).max().expect("there are some");
    }
    floor
}

/// Why the batch is refused.
fn refusal(world: &mut World, batch: BatchId, floor: Timestamp) -> Refusal {
    for _ in 0..100 {
        let node = leader(world);
        let ticket = world.append_as(node, SHARD, batch, floor, "once");
        world.run_for(Duration::from_millis(200));
        match world.appended.get(&ticket) {
            Some((Err(refusal), _))
                if refusal.is_retryable() && !matches!(refusal, Refusal::Forgotten { .. }) => {}
            Some((Err(refusal), _)) => return refusal.clone(),
            Some((Ok(receipt), _)) => panic!("it was taken: {receipt:?}"),
            None => {}
        }
    }
    panic!("never told");
}

/// How many batches of the producer every replica holds.
fn stored(world: &mut World) -> usize {
    settle(world);
    let of_it = NODES.map(|node| {
        let (mut from, mut found) = (ReadFrom::Time(Timestamp::ZERO), 0);
        loop {
            let answer = world.read_now(node, SHARD, from).expect("nothing is trimmed");
            found += answer.frames.iter().filter(|frame| frame.header.batch.producer == PRODUCER).count();
            from = ReadFrom::Index(answer.next);
            if answer.next > world.status(node, SHARD).expect("it runs").committed_index {
                return found;
            }
        }
    });
    assert!(of_it.iter().all(|found| *found == of_it[0]), "{of_it:?}");
    of_it[0]
}

#[test]
fn batch_applied_unanswered_and_evicted_is_refused_as_forgotten_and_stored_once() {
    let mut world = led(21);
    let node = leader(&mut world);
    let unheard = world.append_as(node, SHARD, BATCH, Timestamp::ZERO, "once");
    settle(&mut world);
    let applied_at = world.appended[&unheard].0.clone().expect("it leads").last_timestamp();
    crowd(&mut world, 1_000, applied_at);
    for _ in 0..2 {
        let refused = refusal(&mut world, BATCH, Timestamp::ZERO);
        assert!(matches!(refused, Refusal::Forgotten { .. }), "{refused}");
        assert_eq!(refused.outcome(), Outcome::NotApplied, "by this attempt");
        // Whatever the next leader knows comes from its disk.
        for node in NODES {
            world.stop(node);
        }
        for node in NODES {
            world.start(node, &[SHARD, crate::OTHER]);
        }
    }
    assert_eq!(stored(&mut world), 1);
}

#[test]
fn a_first_attempt_that_arrives_behind_the_eviction_of_its_retry_is_refused_as_forgotten_and_stored_once() {
    let mut world = led(22);
    let floor = crowd(&mut world, 1_000, Timestamp::ZERO);
    let node = leader(&mut world);
    // The retry overtakes the first attempt.
    let retry = world.append_as(node, SHARD, BATCH, floor, "once");
    settle(&mut world);
    let applied_at = world.appended[&retry].0.clone().expect("it is new").last_timestamp();
    crowd(&mut world, 2_000, applied_at);
    let refused = refusal(&mut world, BATCH, floor);
    assert!(matches!(refused, Refusal::Forgotten { .. }), "{refused}");
    assert_eq!(stored(&mut world), 1);
}

#[test]
fn a_forgotten_producer_goes_on_with_the_floor_that_it_was_told() {
    let mut world = led(23);
    let end = crowd(&mut world, 1_000, Timestamp::ZERO);
    let Refusal::Forgotten { floor } = refusal(&mut world, BATCH, Timestamp::ZERO) else {
        panic!("it may be one of those forgotten");
    };
    assert!(floor >= end);
    crowd(&mut world, 2_000, floor);
    let node = leader(&mut world);
    let ticket = world.append_as(node, SHARD, BATCH, floor, "once");
    settle(&mut world);
    let receipt = world.appended[&ticket].0.clone().expect("its floor shows that it was never applied");
    assert!(receipt.first_timestamp > floor);
    assert_eq!(stored(&mut world), 1);
}

/// Asks whoever leads what became of the batch until that is told.
fn fate(world: &mut World, batch: BatchId) -> Fate {
    for _ in 0..200 {
        let node = leader(world);
        let ticket = world.settle_fate(node, SHARD, batch);
        world.run_for(Duration::from_millis(200));
        match world.fenced.get(&ticket) {
            Some(Ok(fenced)) => return fenced.fate.expect("that was asked"),
            Some(Err(refusal)) => assert!(refusal.is_retryable(), "{refusal}"),
            None => {}
        }
    }
    panic!("never told");
}

#[test]
fn fate_not_applied_is_never_followed_by_the_batch_and_applied_is_what_every_replica_holds() {
    let (mut applied, mut not_applied) = (0, 0);
    for seed in 30..50 {
        let mut world = led(seed);
        let old = leader(&mut world);
        // The leader dies with the append on its way to the others, or, in every other world, in its own log alone.
        world.mute = Some(old).filter(|_| seed % 2 == 0);
        world.append_as(old, SHARD, BATCH, Timestamp::ZERO, "once");
        world.run_for(Duration::from_micros(100 * (seed % 10)));
        world.lose_power(old);
        world.mute = None;
        world.run_until(Duration::from_secs(20), |world| world.leader(SHARD).is_some());
        let told = fate(&mut world, BATCH);
        world.start(old, &[SHARD, crate::OTHER]);
        settle(&mut world);
        // An attempt that comes late, from a queue somewhere.
        let node = leader(&mut world);
        world.append_as(node, SHARD, BATCH, Timestamp::ZERO, "once");
        match told {
            Fate::Applied(_) => applied += 1,
            Fate::NotApplied => not_applied += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(
            stored(&mut world),
            usize::from(matches!(told, Fate::Applied(_))),
            "seed {seed}: {told:?}"
        );
    }
    assert!(applied > 0 && not_applied > 0, "{applied} applied, {not_applied} not");
}

#[test]
fn a_fence_that_only_its_deposed_leader_holds_settles_nothing() {
    let mut world = led(51);
    let old = leader(&mut world);
    world.cut_off = Some(old);
    let ticket = world.settle_fate(old, SHARD, BATCH);
    world.run_until(Duration::from_secs(20), |world| {
        others(old).any(|node| world.status(node, SHARD).is_some_and(|status| status.leader == Some(node)))
    });
    let new = others(old)
        .find(|node| world.status(*node, SHARD).is_some_and(|status| status.leader == Some(*node)))
        .expect("just seen");
    // The batch reaches the new leader, which knows of no fence.
    let mut taken = None;
    world.run_for(Duration::from_secs(1));
    for _ in 0..20 {
        let attempt = world.append_as(new, SHARD, BATCH, Timestamp::ZERO, "once");
        world.run_for(Duration::from_millis(200));
        taken = world.appended.get(&attempt).and_then(|(result, _)| result.clone().ok());
        if taken.is_some() {
            break;
        }
    }
    assert!(taken.is_some());
    world.cut_off = None;
    settle(&mut world);
    assert!(!matches!(world.fenced.get(&ticket), Some(Ok(_))), "{:?}", world.fenced.get(&ticket));
    assert_eq!(stored(&mut world), 1);
}
