//! What is promised, accepted and published, between one sender and one receiver.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::shard::Promise;
use crate::types::{Index, Membership, NodeId, ReplicaId, ShardId, Term, Timestamp};
use crate::wire::{ClosedAck, ClosedPublication, ClosedTick, ShardPromise};

const SHARD: ShardId = ShardId(4);
const PEER: NodeId = NodeId(2);

fn led(index: u64, nodes: u64) -> Led {
    let voters: Vec<ReplicaId> = (1..=nodes).map(ReplicaId).collect();
    Led {
        promise: Promise { term: Term(1), index: Index(index) },
        membership: Membership { voters, ..Membership::default() },
        own: ReplicaId(1),
        nodes: (1..=nodes).map(|n| (ReplicaId(n), NodeId(n))).collect::<BTreeMap<_, _>>(),
    }
}

/// One open shard promises, and the tick goes out.
fn promised(promiser: &mut Promiser, closed: u64, led: Led) -> Vec<(NodeId, ClosedTick)> {
    promiser.note_leader(SHARD);
    promiser.promise(SHARD, Some(led));
    promiser.tick(Timestamp(closed))
}

fn ack(tick: &ClosedTick, except: &[u64]) -> ClosedAck {
    ClosedAck { stream: tick.stream, sequence: tick.sequence, except: except.to_vec(), restart: false }
}

/// What is accepted once that acknowledgement came.
fn accepted(promiser: &mut Promiser, from: u64, ack: &ClosedAck) -> Vec<Timestamp> {
    promiser.acknowledge(NodeId(from), ack);
    promiser.publish_standing(None);
    promiser.accepted().into_iter().map(|(_, _, closed)| closed).collect()
}

/// A shard that stands, accepted by the peers 2 and 3 at 100, and the ticks that it stood through.
fn standing() -> (Promiser, Rc<crate::shard::Standing>, Vec<(NodeId, ClosedTick)>) {
    let mut promiser = Promiser::new(NodeId(1), 7);
    let ticks = promised(&mut promiser, 100, led(3, 3));
    for (node, tick) in &ticks {
        promiser.acknowledge(*node, &ack(tick, &[]));
    }
    promiser.publish(SHARD, Timestamp(100));
    let standing = promiser.stand(SHARD, Timestamp(100)).expect("a quorum accepted");
    let ticks = promiser.tick(Timestamp(200));
    (promiser, standing, ticks)
}

#[test]
fn nothing_is_published_before_a_quorum_accepted() {
    let mut promiser = Promiser::new(NodeId(1), 7);
    let ticks = promised(&mut promiser, 100, led(3, 5));
    assert_eq!(ticks.len(), 4);
    assert!(accepted(&mut promiser, 2, &ack(&ticks[0].1, &[])).is_empty());
    assert_eq!(accepted(&mut promiser, 3, &ack(&ticks[1].1, &[])), [Timestamp(100)]);
}

#[test]
fn a_lone_voter_needs_nobody_and_is_not_asked() {
    let mut promiser = Promiser::new(NodeId(1), 7);
    assert!(promised(&mut promiser, 100, led(3, 1)).is_empty());
    assert_eq!(promiser.accepted()[0].2, Timestamp(100), "never beyond what it promised");
    promiser.publish(SHARD, Timestamp(100));
    let standing = promiser.stand(SHARD, Timestamp(100)).unwrap();
    promiser.tick(Timestamp(200));
    assert!(promiser.publish_standing(None));
    assert_eq!(standing.published(), Timestamp(200));
}

#[test]
fn an_excepted_shard_does_not_count_as_accepted() {
    let mut promiser = Promiser::new(NodeId(1), 7);
    let ticks = promised(&mut promiser, 100, led(3, 3));
    assert!(accepted(&mut promiser, 2, &ack(&ticks[0].1, &[SHARD.0])).is_empty());
}

#[test]
fn an_acceptance_of_the_old_index_does_not_publish_the_new_one() {
    let mut promiser = Promiser::new(NodeId(1), 7);
    let old = promised(&mut promiser, 100, led(3, 3));
    promised(&mut promiser, 200, led(4, 3));
    assert!(accepted(&mut promiser, 2, &ack(&old[0].1, &[])).is_empty());
}

#[test]
fn an_unchanged_shard_costs_no_change() {
    let mut promiser = Promiser::new(NodeId(1), 7);
    let first = promised(&mut promiser, 100, led(3, 3));
    assert!(first[0].1.whole);
    let second = promised(&mut promiser, 200, led(3, 3));
    assert!(second[0].1.set.is_empty() && second[0].1.unset.is_empty() && !second[0].1.whole);
}

#[test]
fn a_restart_begins_a_new_stream_with_the_whole_set() {
    let (mut promiser, _, first) = standing();
    let restart = ClosedAck { restart: true, ..ack(&first[0].1, &[]) };
    promiser.acknowledge(PEER, &restart);
    let second = promiser.tick(Timestamp(300));
    assert!(second[0].1.whole);
    assert_ne!(second[0].1.stream, first[0].1.stream);
    assert_eq!(second[0].1.set.len(), 1);
}

#[test]
fn each_peer_is_told_a_publication_once() {
    let mut promiser = Promiser::new(NodeId(1), 7);
    let ticks = promised(&mut promiser, 100, led(3, 3));
    promiser.acknowledge(PEER, &ack(&ticks[0].1, &[]));
    promiser.publish(SHARD, Timestamp(100));
    assert_eq!(promiser.publications().len(), 2);
    assert!(promiser.publications().is_empty());
}

#[test]
fn a_shard_that_stands_is_promised_and_published_without_being_looked_at() {
    let (mut promiser, standing, ticks) = standing();
    assert!(promiser.open().is_empty());
    assert!(ticks.iter().all(|(_, tick)| tick.set.is_empty() && tick.unset.is_empty()));
    assert_eq!((standing.promised(), standing.published()), (Timestamp(200), Timestamp(100)));
    promiser.acknowledge(PEER, &ack(&ticks[0].1, &[]));
    assert!(promiser.publish_standing(None));
    assert_eq!(standing.published(), Timestamp(200));
    let told = promiser.publications();
    assert!(told.iter().all(|(_, told)| told.closed_ns == 200 && told.except.is_empty()));
}

#[test]
fn one_that_a_peer_excepts_stands_no_longer_and_keeps_what_was_published() {
    let (mut promiser, standing, ticks) = standing();
    assert_eq!(promiser.acknowledge(PEER, &ack(&ticks[0].1, &[SHARD.0])), Some(vec![SHARD]));
    assert!(!promiser.publish_standing(None), "nobody stands");
    assert_eq!(standing.published(), Timestamp(100));
    assert!(promiser.accepted().is_empty());
    assert_eq!(promiser.open(), [SHARD]);
    promiser.acknowledge(NodeId(3), &ack(&ticks[1].1, &[]));
    assert_eq!(promiser.accepted()[0].2, Timestamp(200), "of the other peer and the leader");
}

#[test]
fn a_cohort_whose_peers_fell_silent_is_opened() {
    let (mut promiser, _, _) = standing();
    assert!(promiser.open_stalled().is_empty());
    promiser.tick(Timestamp(200 + 600_000_000));
    assert_eq!(promiser.open_stalled(), [SHARD]);
    assert_eq!(promiser.open(), [SHARD]);
}

fn tick(sequence: u64, whole: bool, set: &[(u64, u64)]) -> ClosedTick {
    let set = set.iter().map(|&(shard, index)| ShardPromise { shard, term: 1, index }).collect();
    ClosedTick { stream: 9, sequence, whole, closed_ns: 100 * sequence, set, unset: vec![] }
}

fn publication(sequence: u64, except: &[u64]) -> ClosedPublication {
    ClosedPublication { stream: 9, sequence, closed_ns: 100 * sequence, except: except.to_vec() }
}

fn open_of(acceptor: &mut Acceptor, publication: &ClosedPublication) -> Vec<(ShardId, Index)> {
    let told = acceptor.published(PEER, publication);
    told.map(|told| told.open)
        .unwrap_or_default()
        .into_iter()
        .map(|(shard, it, _)| (shard, it.index))
        .collect()
}

/// Three members, of which 5 stands.
fn one_of_three_stands() -> Acceptor {
    let mut acceptor = Acceptor::default();
    acceptor.apply(PEER, &tick(1, true, &[(5, 3), (6, 8), (7, 1)]));
    acceptor.accept(PEER, Timestamp(100), &[5, 6, 7].map(|shard| (ShardId(shard), true)));
    acceptor.published(PEER, &publication(1, &[])).unwrap();
    acceptor.note_standing(PEER, ShardId(5));
    acceptor
}

#[test]
fn a_missed_tick_is_answered_with_a_wish_to_restart_and_publishes_nothing_more() {
    let mut acceptor = Acceptor::default();
    assert!(matches!(acceptor.apply(PEER, &tick(1, true, &[(5, 3)])), Applied::Offer { .. }));
    assert!(matches!(acceptor.apply(PEER, &tick(3, false, &[])), Applied::Restart { .. }));
    assert!(acceptor.published(PEER, &publication(3, &[])).is_none());
    assert!(matches!(acceptor.apply(PEER, &tick(4, false, &[])), Applied::Restart { .. }));
}

#[test]
fn an_open_shard_is_offered_every_tick_and_one_that_stands_none() {
    let mut acceptor = one_of_three_stands();
    let applied = acceptor.apply(PEER, &tick(2, false, &[]));
    assert_eq!(applied, Applied::Offer { closed: Timestamp(200), changed: vec![] });
    let open: Vec<ShardId> = acceptor.open(PEER).into_iter().map(|(shard, _)| shard).collect();
    assert_eq!(open, [ShardId(6), ShardId(7)]);
}

#[test]
fn what_changes_leaves_and_is_open() {
    let mut acceptor = one_of_three_stands();
    let applied = acceptor.apply(PEER, &tick(2, false, &[(5, 4)]));
    assert_eq!(applied, Applied::Offer { closed: Timestamp(200), changed: vec![ShardId(5)] });
    assert_eq!(acceptor.open(PEER).len(), 3);
    let whole = acceptor.apply(PEER, &tick(3, true, &[(6, 8)]));
    let Applied::Offer { changed, .. } = whole else { panic!("a whole set follows on anything") };
    assert!([5, 6, 7].iter().all(|shard| changed.contains(&ShardId(*shard))), "all leave the old set");
}

#[test]
fn a_publication_leaves_out_excepted_shards_and_those_changed_after_it() {
    let mut acceptor = Acceptor::default();
    acceptor.apply(PEER, &tick(1, true, &[(5, 3), (6, 8), (7, 1)]));
    acceptor.apply(PEER, &tick(2, false, &[(6, 9)]));
    assert_eq!(open_of(&mut acceptor, &publication(1, &[7])), [(ShardId(5), Index(3))]);
}

#[test]
fn one_that_stands_and_is_excepted_leaves_before_the_others_are_told() {
    let mut acceptor = one_of_three_stands();
    acceptor.apply(PEER, &tick(2, false, &[]));
    let told = acceptor.published(PEER, &publication(2, &[5])).unwrap();
    assert_eq!(told.excepted, [ShardId(5)]);
    assert_eq!(acceptor.open(PEER).len(), 3);
}

#[test]
fn a_publication_that_overtakes_its_tick_waits_for_it() {
    let mut acceptor = Acceptor::default();
    acceptor.apply(PEER, &tick(1, true, &[(5, 3)]));
    assert!(acceptor.published(PEER, &publication(2, &[])).is_none());
    assert_eq!(acceptor.take_early(PEER), None);
    acceptor.apply(PEER, &tick(2, false, &[(5, 4)]));
    let early = acceptor.take_early(PEER).expect("it waited for tick 2");
    assert_eq!(open_of(&mut acceptor, &early), [(ShardId(5), Index(4))]);
}
