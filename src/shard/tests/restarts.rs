//! What a replica that died still knows, and what it must admit to have forgotten.

use super::bench::Bench;
use crate::shard::test_time::EPS;
use crate::shard::{Admission, Promise};
use crate::types::Index;

#[test]
fn a_restarted_replica_exposes_nothing_before_its_clock_is_past_it() {
    let mut bench = Bench::led();
    bench.append(1, 2);
    bench.tick(1);
    bench.tick(1);
    let index = bench.node(2).log.data()[0].index;
    bench.restart(2);
    bench.settle();
    assert!(bench.shard(2).released() < index, "what it released before it died it must not remember");
    bench.pass_wait();
    bench.tick(1);
    bench.tick(1);
    bench.pass_wait();
    assert_eq!(bench.shard(2).released(), index);
}

#[test]
fn a_restarted_replica_knows_how_far_its_log_was_committed() {
    let mut bench = Bench::led();
    for _ in 0..4 {
        bench.append(1, 1);
        bench.pass_wait();
    }
    let last = bench.node(2).log.data()[3];
    assert!(last.committed > Index(1));
    bench.restart(2);
    bench.node(2).is_cut_off = true;
    bench.pass_wait();
    assert_eq!(bench.shard(2).released(), last.committed, "the last frame's header told");
}

#[test]
fn a_restarted_replica_recognises_a_retried_batch() {
    let mut bench = Bench::led();
    let ticket = bench.append(1, 3);
    bench.pass_wait();
    let original = bench.answer(1, ticket).unwrap().unwrap();
    for replica in 1..=3 {
        bench.restart(replica);
    }
    bench.elect(1);
    bench.pass_wait();
    let (again, admitted) = bench.try_append(1, 0, 3);
    assert_eq!(admitted, Ok(Admission::Duplicate));
    let repeated = bench.answer(1, again).unwrap().unwrap();
    assert_eq!(
        (repeated.first_offset, repeated.first_timestamp),
        (original.first_offset, original.first_timestamp)
    );
}

#[test]
fn a_duplicate_right_after_a_restart_waits_for_the_clock() {
    let mut bench = Bench::led();
    bench.append(1, 3);
    bench.append(1, 1);
    for _ in 0..4 {
        bench.tick(1);
    }
    for replica in 1..=3 {
        bench.restart(replica);
    }
    bench.elect(1);
    let (again, admitted) = bench.try_append(1, 0, 3);
    assert_eq!((admitted, bench.answer(1, again)), (Ok(Admission::Duplicate), None));
    bench.pass_wait();
    assert!(bench.answer(1, again).unwrap().is_ok());
}

#[test]
fn what_was_not_synced_is_gone_and_comes_again_from_the_leader() {
    let mut bench = Bench::led();
    bench.node(2).syncs = false;
    bench.append(1, 1);
    assert_eq!(bench.node(2).log.data().len(), 1);
    bench.restart(2);
    assert!(bench.node(2).log.data().is_empty());
    bench.node(2).syncs = true;
    for _ in 0..6 {
        bench.tick(1);
    }
    assert_eq!(bench.node(2).log.frames(), bench.node(1).log.frames());
}

#[test]
fn a_forgotten_promise_is_covered_by_four_uncertainties_of_the_new_leader() {
    let mut bench = Bench::led();
    bench.pass_wait();
    // The leader's clock is as fast, the next leader's as slow as honest clocks may be.
    bench.node(1).skew_ns = EPS.cast_signed();
    bench.node(2).skew_ns = -(EPS.cast_signed());
    let now = bench.now(1);
    let closed = now.interval.latest;
    let promise = bench.shard(1).promise(closed, &now).unwrap();
    let acceptor = bench.now(3);
    assert!(bench.shard(3).accept_promise(promise, closed, &acceptor));
    assert!(bench.shard(1).accept_promise(promise, closed, &now));
    bench.restart(3);
    bench.node(1).is_cut_off = true;
    bench.elect(2);
    assert!(bench.now(2).interval.latest < closed);
    bench.append(2, 1);
    let (stamped, latest) = (bench.node(2).log.data()[0].first_timestamp, bench.now(2).interval.latest);
    assert!(stamped > closed);
    assert_eq!(stamped, latest.plus_ns(4 * EPS).next());
}

#[test]
fn a_later_acceptance_does_not_mask_what_was_forgotten() {
    let mut bench = Bench::led();
    bench.restart(3);
    bench.settle();
    for _ in 0..4 {
        bench.tick(1);
    }
    let (now, term) = (bench.now(3), bench.shard(3).term());
    let late = Promise { term, index: Index(1) };
    assert!(bench.shard(3).accept_promise(late, now.interval.earliest, &now));
    let reply = bench.shard(3).answer_floor(term).unwrap();
    assert!(reply.forgotten && reply.max_promised == now.interval.earliest);
}
