//! Closed timestamps: C1 to C7, with the counterexamples that broke each shortened rule.

use super::bench::Bench;
use crate::shard::test_time::EPS;
use crate::shard::{FloorReply, Promise};
use crate::types::{Index, Term, Timestamp};

/// The leader promises its `latest`, every replica in `acceptors` accepts, and all are told.
fn close(bench: &mut Bench, leader: u64, acceptors: &[u64]) -> (Promise, Timestamp) {
    let now = bench.now(leader);
    let closed = now.interval.latest;
    let promise = bench.shard(leader).promise(closed, &now).expect("the leader may promise");
    for acceptor in acceptors {
        let now = bench.now(*acceptor);
        assert!(bench.shard(*acceptor).accept_promise(promise, closed, &now));
    }
    (promise, closed)
}

fn publish(bench: &mut Bench, promise: Promise, closed: Timestamp, to: &[u64]) {
    for replica in to {
        bench.shard(*replica).publish(closed, promise.index);
    }
}

fn closed(bench: &mut Bench, replica: u64) -> Timestamp {
    let now = bench.now(replica);
    bench.shard(replica).closed(&now)
}

#[test]
fn a_released_entry_closes_its_own_timestamp() {
    let mut bench = Bench::led();
    bench.append(1, 5);
    let last = bench.node(1).log.data()[0].last_timestamp();
    assert!(closed(&mut bench, 1) < last);
    bench.pass_wait();
    assert_eq!(closed(&mut bench, 1), last);
}

#[test]
fn a_promise_before_an_entry_of_the_own_term_is_committed_is_refused() {
    let mut bench = Bench::led();
    bench.pass_wait();
    for peer in [1, 3] {
        bench.node(peer).is_cut_off = true;
    }
    bench.node(3).is_cut_off = false;
    bench.lost = vec![crate::consensus::MessageKind::AppendAnswer];
    bench.elect(2);
    let now = bench.now(2);
    assert!(bench.shard(2).floor_request().is_none(), "the floor is known");
    assert_eq!(bench.shard(2).promise(now.interval.latest, &now), None);
    bench.lost.clear();
    for _ in 0..4 {
        bench.tick(2);
    }
    assert!(bench.shard(2).promise(now.interval.latest, &now).is_some());
}

#[test]
fn a_promise_names_the_last_assigned_index_and_raises_the_next_stamp() {
    let mut bench = Bench::led();
    bench.node(2).is_cut_off = true;
    bench.node(3).is_cut_off = true;
    bench.append(1, 1);
    let uncommitted = bench.node(1).log.data()[0].index;
    bench.true_ns += 10 * EPS;
    let (promise, closed) = close(&mut bench, 1, &[1]);
    assert_eq!(promise.index, uncommitted, "not the committed one");
    bench.node(1).skew_ns = -1;
    bench.append(1, 1);
    assert!(bench.node(1).log.data()[1].first_timestamp > closed, "the clock fell behind, the stamp did not");
}

#[test]
fn a_promise_beyond_the_leaders_latest_or_by_a_follower_is_not_given() {
    let mut bench = Bench::led();
    let now = bench.now(1);
    assert_eq!(bench.shard(1).promise(now.interval.latest.next(), &now), None);
    assert_eq!(bench.shard(2).promise(now.interval.latest, &now), None);
}

#[test]
fn promises_of_another_term_or_too_far_ahead_are_not_accepted() {
    let mut bench = Bench::led();
    let (now, term) = (bench.now(2), bench.shard(2).term());
    let latest = now.interval.latest;
    let promise = Promise { term, index: Index(1) };
    let old = Promise { term: Term(term.0 - 1), ..promise };
    assert!(!bench.shard(2).accept_promise(old, latest, &now));
    assert!(!bench.shard(2).accept_promise(promise, latest.plus_ns(2 * EPS + 1), &now));
    assert!(bench.shard(2).accept_promise(promise, latest.plus_ns(2 * EPS), &now));
    assert_eq!(bench.shard(2).status(&now).guarded, 1);
}

#[test]
fn a_promise_or_floor_answer_waits_until_the_term_is_on_the_disk() {
    let mut bench = Bench::led();
    bench.node(1).is_cut_off = true;
    // Replica 2 sees the new term, and cannot write it.
    bench.node(2).syncs = false;
    for _ in 0..40 {
        bench.tick(3);
        bench.tick(2);
    }
    let (now, term) = (bench.now(2), bench.shard(2).term());
    assert!(term > bench.shard(1).term(), "an election is under way");
    let promise = Promise { term, index: Index(1) };
    assert!(!bench.shard(2).accept_promise(promise, now.interval.latest, &now));
    assert_eq!(bench.shard(2).answer_floor(term), None);
    bench.node(2).syncs = true;
    bench.settle();
    let term = bench.shard(2).term();
    assert!(bench.shard(2).answer_floor(term).is_some());
    assert_eq!(bench.shard(2).answer_floor(Term(term.0 - 1)), None, "an old leader gets no answer");
}

#[test]
fn nobody_serves_a_promise_before_it_is_published() {
    let mut bench = Bench::led();
    bench.pass_wait();
    let (promise, time) = close(&mut bench, 1, &[2, 3, 1]);
    bench.pass_wait();
    assert!((1..=3).all(|replica| closed(&mut bench, replica) < time), "not even the leader");
    publish(&mut bench, promise, time, &[1, 2]);
    assert_eq!((closed(&mut bench, 1), closed(&mut bench, 2)), (time, time));
    assert!(closed(&mut bench, 3) < time);
}

#[test]
fn a_batch_that_straddles_the_closed_time_is_released_before_that_time_is_served() {
    let mut bench = Bench::led();
    bench.pass_wait();
    // 900 records from `latest` on: the promise, 400 ns later, falls into their midst.
    bench.append(1, 900);
    let straddler = bench.node(1).log.data()[0];
    bench.true_ns += 400;
    let (promise, time) = close(&mut bench, 1, &[2, 1]);
    assert!(straddler.first_timestamp < time && time < straddler.last_timestamp());
    publish(&mut bench, promise, time, &[1, 2]);
    bench.true_ns = time.0 + EPS + 1;
    bench.settle();
    let now = bench.now(1);
    assert!(now.interval.earliest > time && bench.shard(1).committed() == straddler.index);
    assert!(closed(&mut bench, 1) < time, "committed is not released: its first records are still hidden");
    bench.pass(900);
    assert!(closed(&mut bench, 1) >= time);
}

#[test]
fn a_new_leader_with_a_slower_clock_stamps_above_what_was_promised() {
    let mut bench = Bench::led();
    bench.pass_wait();
    bench.node(1).skew_ns = EPS.cast_signed();
    bench.node(2).skew_ns = -(EPS.cast_signed());
    let (promise, time) = close(&mut bench, 1, &[3, 1]);
    publish(&mut bench, promise, time, &[1]);
    bench.node(1).is_cut_off = true;
    bench.elect(2);
    assert!(bench.now(2).interval.latest < time, "its own clock would stamp below");
    bench.append(2, 1);
    assert!(bench.node(2).log.data()[0].first_timestamp > time);
}

#[test]
fn a_leader_assigns_and_promises_nothing_before_a_quorum_told_its_floor() {
    let mut bench = Bench::led();
    bench.pass_wait();
    bench.floors = false;
    bench.elect(2);
    let (now, term) = (bench.now(2), bench.shard(2).term());
    assert_eq!(bench.try_append(2, 0, 1).1, Err(crate::shard::Refusal::FloorPending));
    assert_eq!(bench.shard(2).promise(now.interval.latest, &now), None);
    let question = bench.shard(2).floor_request().unwrap();
    assert_eq!((question.term, question.peers.len()), (term, 2), "its own answer is in already");
    let reply = FloorReply { max_promised: Timestamp(1), forgotten: false };
    let peer = question.peers[0];
    bench.shard(2).on_floor_answer(peer, Term(term.0 - 1), reply, &now);
    assert!(bench.shard(2).floor_request().is_some(), "an answer for an old term is none");
    bench.shard(2).on_floor_answer(peer, term, reply, &now);
    assert!(bench.shard(2).floor_request().is_none());
    assert!(bench.try_append(2, 0, 1).1.is_ok());
}
