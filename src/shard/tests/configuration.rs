//! Membership entries: stamped, in force when committed, remembered.

use super::bench::Bench;
use crate::codec::FrameKind;
use crate::consensus::{MembershipChange, MembershipStep};
use crate::shard::Refusal;
use crate::types::ReplicaId;

fn add_learner() -> MembershipChange {
    MembershipChange::Simple(MembershipStep::Learner(ReplicaId(4)))
}

#[test]
fn a_membership_entry_is_stamped_and_in_force_on_all_replicas_once_committed() {
    let mut bench = Bench::led();
    bench.append(1, 3);
    let now = bench.now(1);
    let index = bench.shard(1).change_membership(&add_learner(), &now).unwrap();
    assert!(bench.shard(1).voters().learners.is_empty());
    bench.settle();
    for _ in 0..4 {
        bench.tick(1);
    }
    for replica in 1..=3 {
        assert_eq!(bench.shard(replica).voters().learners, [ReplicaId(4)]);
        assert!(bench.shard(replica).applied() >= index);
    }
    let (data, frames) = (bench.node(1).log.data()[0], bench.node(1).log.frames());
    let header = frames[index.0 as usize - 1].header;
    assert_eq!((header.kind, header.first_offset), (FrameKind::Membership, data.next_offset()));
    assert!(header.first_timestamp > data.last_timestamp());
}

#[test]
fn a_promise_covers_membership_entries() {
    let mut bench = Bench::led();
    bench.true_ns += 10;
    let now = bench.now(1);
    let closed = now.interval.latest;
    assert!(bench.shard(1).promise(closed, &now).is_some());
    let index = bench.shard(1).change_membership(&add_learner(), &now).unwrap();
    bench.settle();
    assert!(bench.node(1).log.frames()[index.0 as usize - 1].header.first_timestamp > closed);
}

#[test]
fn a_restarted_replica_has_the_membership_its_log_tells() {
    let mut bench = Bench::led();
    let now = bench.now(1);
    bench.shard(1).change_membership(&add_learner(), &now).unwrap();
    bench.settle();
    bench.append(1, 1);
    bench.pass_wait();
    bench.append(1, 1);
    for replica in 1..=3 {
        bench.restart(replica);
        assert_eq!(bench.shard(replica).voters().learners, [ReplicaId(4)]);
    }
}

#[test]
fn a_follower_a_fenced_or_a_busy_leader_changes_no_membership() {
    let mut bench = Bench::led();
    let now = bench.now(2);
    let refused = bench.shard(2).change_membership(&add_learner(), &now);
    assert!(matches!(refused, Err(Refusal::NotLeader { .. })), "{refused:?}");
    for replica in 2..=3 {
        bench.node(replica).is_cut_off = true;
    }
    let now = bench.now(1);
    assert!(bench.shard(1).change_membership(&add_learner(), &now).is_ok());
    let refused = bench.shard(1).change_membership(&add_learner(), &now);
    assert!(matches!(refused, Err(Refusal::Membership { .. })), "{refused:?}");
}
