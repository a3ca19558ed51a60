//! Who leads, and who must not.

use bytes::Bytes;

use super::network::{ELECTION_TICKS, Network};
use crate::consensus::{Error, Group, LogReader, MessageKind, Role};
use crate::types::ReplicaId;

#[test]
fn silence_makes_exactly_one_leader() {
    let mut network = Network::of(3);
    network.tick(2 * ELECTION_TICKS);
    assert_eq!(network.leaders().len(), 1);
}

#[test]
fn same_seed_gives_the_same_trace() {
    let story = || {
        let mut network = Network::of(5);
        network.tick(3 * ELECTION_TICKS);
        let leader = network.leaders()[0];
        network.isolate(leader);
        network.tick(5 * ELECTION_TICKS);
        network.cut.clear();
        network.tick(ELECTION_TICKS);
        network.sent
    };
    let first = story();
    assert!(first.len() > 100);
    for _ in 0..5 {
        assert!(first == story());
    }
}

#[test]
fn election_timeouts_keep_their_range() {
    let mut seen = std::collections::BTreeSet::new();
    let mut clock = crate::consensus::election::ElectionClock::new(1, 1, 10, 20);
    for _ in 0..1000 {
        clock.redraw();
        seen.insert(clock.ticks());
    }
    assert!(seen.into_iter().eq(10..20));
}

#[test]
fn isolated_replica_raises_no_term_and_disturbs_no_leader_when_it_returns() {
    let mut network = Network::led_by_1(3);
    let term = network.group(1).status().term;
    network.isolate(3);
    network.tick(10 * ELECTION_TICKS);
    network.cut.clear();
    network.tick(2 * ELECTION_TICKS);
    assert_eq!(network.leaders(), [1]);
    assert_eq!(network.group(3).status().term, term);
}

#[test]
fn leader_without_a_quorum_steps_down() {
    let mut network = Network::led_by_1(3);
    network.isolate(1);
    network.tick(2 * ELECTION_TICKS);
    assert_ne!(network.group(1).status().role, Role::Leader);
}

#[test]
fn fenced_replica_never_stands_but_votes_and_replicates() {
    let mut network = Network::led_by_1(3);
    network.group(3).set_campaigning(false);
    network.isolate(1);
    network.group(2).set_campaigning(false);
    network.tick(10 * ELECTION_TICKS);
    assert!(network.sent_by(3, MessageKind::RequestPreVote).is_empty());
    assert!(network.leaders().is_empty());

    network.group(2).set_campaigning(true);
    network.tick(2 * ELECTION_TICKS);
    assert_eq!(network.leaders(), [2], "3 voted for 2");
    network.propose(2, "a");
    network.pump();
    assert_eq!(network.committed(3), ["a"]);
}

#[test]
fn fenced_replica_ignores_an_old_leaders_handover_and_its_own_campaign() {
    let mut network = Network::led_by_1(3);
    network.group(2).set_campaigning(false);
    network.group(1).transfer_leader(ReplicaId(2));
    network.pump();
    network.group(2).campaign();
    network.pump();
    assert_eq!(network.leaders(), [1]);
    assert_eq!(network.sent_by(1, MessageKind::TimeoutNow).len(), 1);
    network.tick(ELECTION_TICKS);
    assert_eq!(network.group(1).status().transferring, None, "given up after an election timeout");
}

#[test]
fn replica_fenced_while_standing_gives_up() {
    let mut network = Network::of(3);
    network.group(1).campaign();
    network.write(1);
    network.group(1).set_campaigning(false);
    assert_eq!(network.group(1).status().role, Role::Follower);
    network.pump();
    assert!(network.leaders().is_empty());
}

#[test]
fn transfer_hands_over_at_once_and_refuses_proposals_meanwhile() {
    let mut network = Network::led_by_1(3);
    network.group(1).set_campaigning(false);
    network.propose(1, "a");
    network.group(1).transfer_leader(ReplicaId(2));
    assert_eq!(network.group(1).status().transferring, Some(ReplicaId(2)));
    let refused = network.group(1).propose(Bytes::new(), Bytes::new());
    assert_eq!(refused, Err(Error::Transferring { to: ReplicaId(2) }));
    network.pump();
    assert_eq!(network.leaders(), [2]);
    assert_eq!(network.committed(2), ["a"]);
}

#[test]
fn followers_request_for_a_transfer_goes_nowhere() {
    let mut network = Network::led_by_1(3);
    network.group(2).transfer_leader(ReplicaId(2));
    assert!(!network.group(2).has_ready());
}

#[test]
fn leader_that_steps_down_keeps_its_log_and_its_next_ready_is_a_followers() {
    let mut network = Network::led_by_1(3);
    let (_, index) = network.propose(1, "a");
    network.group(1).step_down();
    let ready = network.group(1).take_ready().expect("the entry is still to be written");
    assert_eq!(ready.entries.last().map(|entry| entry.index), Some(index));
    assert_eq!((ready.vote, ready.send_now), (None, vec![]), "a follower's messages wait");
    assert!(!ready.send_after_persist.is_empty());
}

#[test]
fn lone_voter_that_stepped_down_stands_only_when_its_log_is_durable() {
    let mut network = Network::led_by_1(1);
    network.get(1).slow_disk = true;
    network.propose(1, "a");
    network.pump();
    network.group(1).step_down();
    network.tick(5 * ELECTION_TICKS);
    assert!(network.leaders().is_empty());
    network.get(1).slow_disk = false;
    network.tick(2 * ELECTION_TICKS);
    assert_eq!(network.leaders(), [1]);
    assert_eq!(network.committed(1), ["a"]);
}

#[test]
fn fenced_leader_that_steps_down_does_not_come_back() {
    let mut network = Network::led_by_1(3);
    network.group(1).set_campaigning(false);
    network.propose(1, "a");
    network.pump();
    network.group(1).step_down();
    network.tick(4 * ELECTION_TICKS);
    assert_eq!(network.leaders().len(), 1);
    assert_ne!(network.leaders(), [1]);
    assert_eq!(network.committed(1), ["a"]);
}

#[test]
fn group_moves_between_threads_if_its_log_does() {
    fn assert_send<T: Send>() {}
    assert_send::<Group<Box<dyn LogReader + Send>>>();
}
