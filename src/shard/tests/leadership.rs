//! Leaders that come, go, and must not be trusted: what becomes of their entries and of their answers.

use super::bench::{Bench, ELECTION_TICKS};
use crate::clock::Fault;
use crate::codec::FrameKind;
use crate::consensus::{MessageKind, Role};
use crate::shard::test_time::EPS;
use crate::shard::{Admission, Outcome, Refusal};
use crate::types::{NodeId, ReplicaId};

fn fault(bench: &mut Bench, replica: u64) {
    bench.node(replica).fault = Some(Fault::Unsynchronised);
}

#[test]
fn timestamps_rise_across_terms_even_to_a_leader_with_a_slower_clock() {
    let mut bench = Bench::led();
    bench.node(1).skew_ns = EPS.cast_signed();
    bench.node(2).skew_ns = -(EPS.cast_signed());
    bench.append(1, 10);
    bench.elect(2);
    bench.append(2, 10);
    let frames = bench.node(2).log.frames();
    let stamps: Vec<_> = frames.iter().map(|frame| frame.header.last_timestamp()).collect();
    assert!(stamps.is_sorted(), "{stamps:?}");
    let data = bench.node(2).log.data();
    assert!(data[0].last_timestamp() < data[1].first_timestamp);
}

#[test]
fn a_leaders_start_is_the_same_frame_on_all_replicas_and_takes_no_time() {
    let mut bench = Bench::led();
    bench.append(1, 4);
    bench.elect(3);
    for _ in 0..4 {
        bench.tick(3);
    }
    let frames = bench.node(1).log.frames();
    for replica in 2..=3 {
        assert_eq!(bench.node(replica).log.frames(), frames);
    }
    let (before, start) = (frames[1].header, frames[2].header);
    assert_eq!((start.kind, start.record_count), (FrameKind::LeaderStart, 0));
    assert_eq!(start.first_timestamp, before.last_timestamp());
    assert_eq!(start.first_offset, before.next_offset());
    assert_eq!(start.chain, frames[1].header_crc());
}

#[test]
fn a_follower_refuses_appends_and_names_the_leader() {
    let mut bench = Bench::led();
    let refused = bench.try_append(2, 0, 1).1;
    assert_eq!(refused, Err(Refusal::NotLeader { leader: Some(ReplicaId(1)) }));
}

#[test]
fn a_batch_that_another_leaders_entry_replaced_is_of_unknown_fate() {
    let mut bench = Bench::led();
    bench.pass_wait();
    bench.node(1).is_cut_off = true;
    let lost = bench.append(1, 1);
    bench.elect(2);
    bench.node(1).is_cut_off = false;
    for _ in 0..4 {
        bench.tick(2);
    }
    let refusal = bench.answer(1, lost).unwrap().unwrap_err();
    assert_eq!((refusal.clone(), refusal.outcome()), (Refusal::Replaced, Outcome::Unknown));
    assert!(bench.node(1).log.data().is_empty());
    let (_, retried) = bench.try_append(2, 0, 1);
    assert_eq!(retried, Ok(Admission::Assigned), "dedup was rolled back with the log");
    assert_eq!(bench.node(1).log.frames(), bench.node(2).log.frames());
}

/// With five replicas the entry that replaced a batch may itself be replaced, by a leader that still holds the batch
/// (mutant `OverwrittenIsFailed` of the model `appends`).
#[test]
fn a_replaced_batch_may_still_be_committed_by_a_third_leader() {
    let mut bench = Bench::new(5);
    bench.elect(1);
    bench.pass_wait();
    let reach = |bench: &mut Bench, nodes: &[u64]| {
        (1..=5).for_each(|n| bench.node(n).is_cut_off = !nodes.contains(&n));
    };
    reach(&mut bench, &[1, 2]);
    let batch = bench.append(1, 1);
    reach(&mut bench, &[3, 4, 5]);
    bench.lost = vec![MessageKind::Append];
    bench.elect(3);
    bench.lost.clear();
    reach(&mut bench, &[1, 3]);
    (0..4).for_each(|_| bench.tick(3));
    let refusal = bench.answer(1, batch).unwrap().unwrap_err();
    reach(&mut bench, &[2, 4, 5]);
    bench.elect(2);
    bench.pass_wait();
    assert_eq!(bench.node(4).log.data().len(), 1, "the batch is committed after all");
    assert_eq!(refusal.outcome(), Outcome::Unknown);
}

#[test]
fn a_batch_of_unknown_fate_is_answered_as_unknown_after_an_election_timeout() {
    let mut bench = Bench::led();
    bench.node(1).is_cut_off = true;
    let ticket = bench.append(1, 1);
    for _ in 0..5 * ELECTION_TICKS {
        bench.tick(1);
    }
    assert!(!bench.shard(1).is_leader(), "it heard from no quorum");
    let refusal = bench.answer(1, ticket).unwrap().unwrap_err();
    assert_eq!((refusal.clone(), refusal.outcome()), (Refusal::LeadershipLost, Outcome::Unknown));
}

#[test]
fn a_batch_that_the_next_leader_commits_is_acknowledged_by_the_old_one() {
    let mut bench = Bench::led();
    bench.lost = vec![MessageKind::AppendAnswer];
    let ticket = bench.append(1, 1);
    bench.lost.clear();
    bench.node(1).is_cut_off = true;
    bench.elect(2);
    bench.node(1).is_cut_off = false;
    for _ in 0..4 {
        bench.tick(2);
    }
    assert!(!bench.shard(1).is_leader());
    bench.pass_wait();
    assert!(bench.answer(1, ticket).unwrap().is_ok());
}

#[test]
fn a_leader_without_a_trusted_clock_refuses_exposes_nothing_and_hands_over() {
    let mut bench = Bench::led();
    let ticket = bench.append(1, 1);
    fault(&mut bench, 1);
    let refused = bench.try_append(1, 1, 1).1;
    assert_eq!(refused, Err(Refusal::Fenced { fault: Fault::Unsynchronised }));
    let now = bench.now(1);
    assert_eq!(bench.shard(1).promise(now.interval.latest, &now), None);
    bench.pass_wait();
    assert!(!bench.shard(1).is_leader() && (bench.shard(2).is_leader() || bench.shard(3).is_leader()));
    assert_eq!(bench.answer(1, ticket), None, "committed and past, but by which clock?");
    bench.node(1).fault = None;
    bench.pass(1);
    assert!(bench.answer(1, ticket).unwrap().is_ok());
}

#[test]
fn a_reading_wider_than_eps_max_fences_like_any_fault() {
    let mut bench = Bench::led();
    let mut now = bench.now(1);
    now.interval.latest = now.interval.latest.plus_ns(2);
    let appended = bench.shard(1).append(super::bench::request(1, 0, 1), &now);
    assert!(matches!(appended, Err(Refusal::Fenced { fault: Fault::TooWide { .. } })), "{appended:?}");
}

#[test]
fn a_fenced_leader_whose_transfer_does_not_finish_steps_down() {
    let mut bench = Bench::led();
    bench.lost = vec![MessageKind::TimeoutNow];
    fault(&mut bench, 1);
    for _ in 0..ELECTION_TICKS {
        bench.tick(1);
        assert!(bench.shard(1).is_leader());
    }
    bench.tick(1);
    bench.tick(1);
    let now = bench.now(1);
    assert_eq!(bench.shard(1).status(&now).role, Role::Follower);
}

#[test]
fn a_leader_that_is_contradicted_exposes_nothing_and_keeps_its_office_for_an_election_timeout() {
    let mut bench = Bench::led();
    let ticket = bench.append(1, 1);
    bench.node(1).fault = Some(Fault::Contradicted { by: NodeId(2), by_ns: 1 });
    for _ in 0..ELECTION_TICKS {
        bench.tick(1);
        bench.settle();
        assert!(bench.shard(1).is_leader());
    }
    bench.pass_wait();
    assert_eq!(bench.answer(1, ticket), None, "nothing is acknowledged meanwhile");
    for _ in 0..3 {
        bench.tick(1);
        bench.settle();
    }
    assert!(!bench.shard(1).is_leader(), "nobody told who is wrong");
}

#[test]
fn a_leader_that_is_outvoted_while_contradicted_hands_over_at_once() {
    let mut bench = Bench::led();
    bench.node(1).fault = Some(Fault::Contradicted { by: NodeId(2), by_ns: 1 });
    bench.tick(1);
    bench.node(1).fault = Some(Fault::Outvoted { by_ns: 1 });
    bench.tick(1);
    bench.settle();
    assert!(!bench.shard(1).is_leader());
}

#[test]
fn a_fenced_replica_never_campaigns_and_does_again_once_trusted() {
    let mut bench = Bench::new(3);
    fault(&mut bench, 1);
    for _ in 0..5 * ELECTION_TICKS {
        bench.tick(1);
        bench.shard(1).campaign();
        bench.settle();
    }
    let now = bench.now(1);
    assert_eq!((bench.shard(1).status(&now).role, bench.shard(1).term().0), (Role::Follower, 0));
    assert_eq!(bench.shard(1).status(&now).fault, Some(Fault::Unsynchronised));
    bench.node(1).fault = None;
    for _ in 0..5 * ELECTION_TICKS {
        bench.tick(1);
    }
    assert!(bench.shard(1).is_leader());
}

#[test]
fn a_fenced_replica_still_replicates_and_votes() {
    let mut bench = Bench::led();
    fault(&mut bench, 2);
    bench.node(3).is_cut_off = true;
    let ticket = bench.append(1, 1);
    bench.pass_wait();
    assert!(bench.answer(1, ticket).unwrap().is_ok(), "replica 2 made the quorum");
    let released = bench.shard(2).released();
    bench.tick(1);
    bench.tick(1);
    assert_eq!(bench.shard(2).released(), released, "but it shows nobody");
    bench.node(3).is_cut_off = false;
    for _ in 0..6 {
        bench.tick(1);
    }
    bench.node(1).is_cut_off = true;
    bench.elect(3);
}

#[test]
fn leadership_goes_where_it_is_handed() {
    let mut bench = Bench::led();
    bench.shard(1).transfer(ReplicaId(3));
    bench.settle();
    assert!(bench.shard(3).is_leader() && !bench.shard(1).is_leader());
}

#[test]
fn a_lone_replica_leads_itself() {
    let mut bench = Bench::new(1);
    bench.elect(1);
    let ticket = bench.append(1, 1);
    bench.pass_wait();
    assert!(bench.answer(1, ticket).unwrap().is_ok());
}
