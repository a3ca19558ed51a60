//! Trims, agreed through the log, and replicas that find their place trimmed away.

use super::bench::{Bench, START};
use crate::codec::FrameKind;
use crate::consensus::{LogReader as _, Manifest, MembershipChange, MembershipStep, Message, MessageKind};
use crate::shard::{Admission, Promise, Refusal};
use crate::types::{Index, ReplicaId, Term, Timestamp};

/// Ten batches, all released everywhere; gives the entry of the sixth.
fn written(bench: &mut Bench) -> Index {
    for _ in 0..10 {
        bench.append(1, 2);
        bench.pass_wait();
    }
    settle_all(bench);
    bench.node(1).log.data()[5].index
}

fn settle_all(bench: &mut Bench) {
    for _ in 0..4 {
        bench.tick(1);
        bench.pass_wait();
    }
}

fn trim(bench: &mut Bench, start: Index) -> Index {
    let now = bench.now(1);
    bench.shard(1).trim(start, &now).unwrap().expect("it is a new start")
}

/// Replica 3 sleeps while the others write, trim and forget what it lacks.
fn left_behind() -> (Bench, Index) {
    let mut bench = Bench::led();
    bench.append(1, 1);
    settle_all(&mut bench);
    bench.node(3).is_cut_off = true;
    let start = written(&mut bench);
    trim(&mut bench, start);
    settle_all(&mut bench);
    for replica in 1..=2 {
        assert_eq!(durable_start(&mut bench, replica), start);
        bench.node(replica).log.trim(start);
    }
    (bench, start)
}

/// The leader's message to replica 3 that carries `manifest`.
fn carrying(manifest: Manifest, term: Term) -> Message {
    Message {
        kind: MessageKind::Manifest,
        from: ReplicaId(1),
        to: ReplicaId(3),
        term,
        log_term: Term(0),
        index: Index(0),
        commit: Index(0),
        commit_term: Term(0),
        reject: false,
        reject_hint: Index(0),
        context: bytes::Bytes::new(),
        entries: Vec::new(),
        manifest: Some(manifest),
    }
}

/// Where the log begins as the disk has it: here all that is synced is on it.
fn durable_start(bench: &mut Bench, replica: u64) -> Index {
    let now = bench.now(replica);
    let shard = bench.shard(replica);
    shard.start_told_by(shard.status(&now).synced.index)
}

#[test]
fn a_trim_is_stamped_and_takes_effect_on_each_replica_once_it_is_released_there() {
    let mut bench = Bench::led();
    let start = written(&mut bench);
    let index = trim(&mut bench, start);
    bench.settle();
    assert_eq!(bench.shard(1).committed(), index);
    assert!(bench.shard(1).start() < start, "committed is not enough");
    settle_all(&mut bench);
    for replica in 1..=3 {
        assert_eq!(bench.shard(replica).start(), start);
    }
    let frames = bench.node(2).log.frames();
    let (trim, before) = (frames[index.0 as usize - 1].header, frames[index.0 as usize - 2].header);
    assert_eq!((trim.kind, trim.start, trim.record_count), (FrameKind::Trim, start, 0));
    assert!(trim.first_timestamp > before.last_timestamp());
}

#[test]
fn a_start_only_moves_forward_and_is_said_once() {
    let mut bench = Bench::led();
    let start = written(&mut bench);
    trim(&mut bench, start);
    let now = bench.now(1);
    assert_eq!(bench.shard(1).trim(start, &now), Ok(None));
    assert_eq!(bench.shard(1).trim(start.before(), &now), Ok(None));
    let follower = bench.now(2);
    assert!(matches!(bench.shard(2).trim(start, &follower), Err(Refusal::NotLeader { .. })));
}

#[test]
fn a_trim_that_another_leader_overwrites_never_takes_effect() {
    let mut bench = Bench::led();
    let start = written(&mut bench);
    bench.node(1).is_cut_off = true;
    trim(&mut bench, start);
    bench.settle();
    bench.elect(2);
    bench.node(1).is_cut_off = false;
    for _ in 0..4 {
        bench.tick(2);
        bench.pass_wait();
    }
    assert_eq!(bench.node(1).log.frames(), bench.node(2).log.frames());
    assert!(bench.shard(1).start() < start && bench.shard(2).start() < start);
}

#[test]
fn files_go_only_once_the_trim_is_durable_here() {
    let mut bench = Bench::led();
    let start = written(&mut bench);
    bench.node(1).syncs = false;
    trim(&mut bench, start);
    settle_all(&mut bench);
    assert_eq!((bench.shard(1).start(), durable_start(&mut bench, 1)), (start, Index(0)));
    bench.node(1).syncs = true;
    bench.settle();
    assert_eq!(durable_start(&mut bench, 1), start);
}

#[test]
fn a_replica_behind_the_start_begins_anew_there_and_fetches_the_rest() {
    let (mut bench, start) = left_behind();
    let released = bench.shard(3).released();
    assert!(released < start.before());
    bench.node(3).is_cut_off = false;
    for _ in 0..2 {
        bench.tick(1);
    }
    settle_all(&mut bench);
    assert_eq!(bench.node(3).log.frames(), bench.node(1).log.frames());
    let now = bench.now(3);
    let (found, leader) = (bench.shard(3).status(&now), bench.shard(1).status(&now));
    assert_eq!((found.released, found.synced), (leader.released, leader.synced));
    assert_eq!(bench.shard(3).start(), start);
    // It recognises what it never saw, and can lead.
    bench.elect(3);
    let (_, again) = bench.try_append(3, 8, 2);
    assert_eq!(again, Ok(Admission::Duplicate));
}

#[test]
fn what_a_manifest_brings_waits_for_the_clock_like_anything_else() {
    let (mut bench, start) = left_behind();
    let released = bench.shard(3).released();
    bench.node(3).is_cut_off = false;
    // A clock so slow that nothing of the manifest has passed yet.
    let passed_ns = bench.true_ns - START;
    bench.node(3).skew_ns = -passed_ns.cast_signed();
    for _ in 0..3 {
        bench.tick(1);
    }
    assert!(bench.shard(3).committed() >= start.before(), "the manifest is taken");
    assert_eq!((bench.shard(3).released(), bench.shard(3).start()), (released, Index(0)));
    bench.node(3).skew_ns = 0;
    settle_all(&mut bench);
    assert!(bench.shard(3).released() > start && bench.shard(3).start() == start);
}

#[test]
fn a_lost_manifest_is_sent_again_and_a_second_one_changes_nothing() {
    let (mut bench, start) = left_behind();
    bench.lost = vec![MessageKind::Manifest];
    bench.node(3).is_cut_off = false;
    for _ in 0..5 {
        bench.tick(1);
    }
    assert!(bench.shard(3).committed() < start);
    bench.lost.clear();
    for _ in 0..5 {
        bench.tick(1);
    }
    settle_all(&mut bench);
    assert_eq!(bench.node(3).log.frames(), bench.node(1).log.frames());
}

/// Found by the simulator: raft asks for the term of an entry that became durable after a manifest had replaced it.
#[test]
fn an_entry_that_is_durable_only_after_the_log_began_anew_changes_nothing() {
    let mut bench = Bench::led();
    bench.node(3).syncs = false;
    bench.append(1, 1);
    settle_all(&mut bench);
    bench.node(3).is_cut_off = true;
    let start = written(&mut bench);
    trim(&mut bench, start);
    settle_all(&mut bench);
    for replica in 1..=2 {
        bench.node(replica).log.trim(start);
    }
    let manifest = bench.node(1).log.manifest();
    let (now, term) = (bench.now(3), bench.shard(1).term());
    bench.shard(3).step(carrying(manifest, term), &now).unwrap();
    bench.node(3).syncs = true;
    bench.settle();
    assert_eq!(bench.shard(3).failure(), None);
    assert_eq!(bench.shard(3).committed(), start.before(), "the manifest is taken");
    bench.node(3).is_cut_off = false;
    settle_all(&mut bench);
    assert_eq!(bench.node(3).log.frames(), bench.node(1).log.frames());
}

#[test]
fn a_replica_that_began_anew_restarts_from_there() {
    let (mut bench, start) = left_behind();
    bench.node(3).is_cut_off = false;
    for _ in 0..2 {
        bench.tick(1);
    }
    settle_all(&mut bench);
    bench.append(1, 1);
    bench.restart(3);
    settle_all(&mut bench);
    assert_eq!(bench.node(3).log.frames(), bench.node(1).log.frames());
    assert_eq!(bench.shard(3).start(), start);
}

#[test]
fn a_crash_right_after_a_reset_finds_a_log_that_goes_on() {
    let (mut bench, _) = left_behind();
    let now = bench.now(1);
    let add = MembershipChange::Simple(MembershipStep::Learner(ReplicaId(4)));
    bench.shard(1).change_membership(&add, &now).unwrap();
    settle_all(&mut bench);
    bench.node(3).is_cut_off = false;
    bench.node(3).syncs = false;
    for _ in 0..2 {
        bench.tick(1);
    }
    // The manifest's membership is newer than all that its log holds.
    bench.restart(3);
    assert!(bench.node(3).log.frames().is_empty(), "only the new beginning is durable");
    assert_eq!(bench.shard(3).voters().learners, [ReplicaId(4)]);
    bench.node(3).syncs = true;
    for _ in 0..4 {
        bench.tick(1);
    }
    settle_all(&mut bench);
    assert_eq!(bench.node(3).log.frames(), bench.node(1).log.frames());
    assert_eq!(bench.shard(3).voters(), bench.shard(1).voters());
}

#[test]
fn a_manifest_that_makes_no_sense_is_refused_and_changes_nothing() {
    let (mut bench, _) = left_behind();
    let (now, term) = (bench.now(3), bench.shard(1).term());
    let good = bench.node(1).log.manifest();
    let wrong = [
        Manifest { shard_state: good.shard_state.slice(..good.shard_state.len() - 1), ..good.clone() },
        Manifest { index: good.index.plus(1), ..good.clone() },
        Manifest { term: Term(good.term.0 + 1), ..good },
    ];
    for manifest in wrong {
        let later = Term(term.0 + 1);
        assert!(bench.shard(3).step(carrying(manifest, later), &now).is_err());
    }
    assert_eq!(bench.shard(3).failure(), None);
    assert_eq!(bench.shard(3).committed(), Index(2));
}

#[test]
fn a_reset_forgets_no_promise() {
    let (mut bench, _) = left_behind();
    let (now, term) = (bench.now(3), bench.shard(3).term());
    let closed = now.interval.latest;
    assert!(bench.shard(3).accept_promise(Promise { term, index: Index(2) }, closed, &now));
    bench.node(3).is_cut_off = false;
    for _ in 0..2 {
        bench.tick(1);
    }
    settle_all(&mut bench);
    let term = bench.shard(3).term();
    assert_eq!(bench.shard(3).answer_floor(term).unwrap().max_promised, closed);
    assert!(closed > Timestamp::ZERO);
}
