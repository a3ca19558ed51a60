//! What waits for whose disk.

use super::network::{Disk, Network, options, voters};
use crate::consensus::{Error, Group, MessageKind};
use crate::types::{Index, ReplicaId, Vote};

#[test]
fn leader_sends_before_its_own_sync_and_commits_with_two_followers_acks() {
    let mut network = Network::led_by_1(3);
    network.get(1).slow_disk = true;
    let (_, index) = network.propose(1, "a");
    network.pump();
    let status = network.group(1).status();
    assert_eq!(status.committed, index);
    assert!(status.persisted < index);
    assert_eq!(network.committed(2), ["a"]);
    assert_eq!(network.get(1).applied, index, "the owner may apply what raft may not yet");
    network.sync(1);
    assert_eq!(network.group(1).status().persisted, index);
}

#[test]
fn followers_answer_leaves_only_after_its_own_sync() {
    let mut network = Network::led_by_1(3);
    network.isolate(3);
    network.get(2).slow_disk = true;
    let (_, index) = network.propose(1, "a");
    network.sent.clear();
    network.pump();
    assert!(network.sent_by(2, MessageKind::AppendAnswer).is_empty());
    assert!(network.group(1).status().committed < index);
    network.sync(2);
    network.pump();
    assert_eq!(network.group(1).status().committed, index);
}

#[test]
fn several_writes_under_way_are_acknowledged_in_order() {
    let mut network = Network::led_by_1(3);
    network.isolate(3);
    network.get(2).slow_disk = true;
    for data in ["a", "b", "c"] {
        network.propose(1, data);
        network.pump();
    }
    network.get(2).slow_disk = false;
    network.pump();
    assert_eq!(network.committed(1), ["a", "b", "c"]);
}

#[test]
fn followers_answer_to_a_heartbeat_waits_for_nothing_when_nothing_is_unwritten() {
    let mut network = Network::led_by_1(3);
    network.get(2).slow_disk = true;
    network.sent.clear();
    network.tick(2);
    assert!(!network.sent_by(2, MessageKind::HeartbeatAnswer).is_empty());
}

#[test]
fn vote_is_handed_over_exactly_when_term_or_vote_changes_and_before_the_answer() {
    let mut network = Network::of(3);
    network.get(2).slow_disk = true;
    network.get(3).slow_disk = true;
    network.group(1).campaign();
    network.pump();
    assert!(network.sent_by(2, MessageKind::VoteAnswer).is_empty());
    assert!(network.leaders().is_empty());
    network.get(2).slow_disk = false;
    network.get(3).slow_disk = false;
    network.pump();
    assert_eq!(network.leaders(), [1]);
    for _ in 0..3 {
        network.propose(1, "a");
        network.tick(3);
    }
    let term = network.group(1).status().term;
    for id in 1..=3 {
        let votes: Vec<_> = network.get(id).votes.iter().map(|vote| (vote.term, vote.voted_for)).collect();
        assert_eq!(votes.last(), Some(&(term, Some(ReplicaId(1)))), "replica {id}");
        assert!(votes.windows(2).all(|pair| pair[0] != pair[1]), "replica {id}: {votes:?}");
    }
}

#[test]
fn lone_voter_tells_its_learner_nothing_before_its_vote_is_durable() {
    let mut network = Network::default();
    let mut membership = voters(&[1]);
    membership.learners = vec![ReplicaId(2)];
    for id in 1..=2 {
        network.start(id, Disk { membership: membership.clone(), ..Disk::default() });
    }
    network.get(1).slow_disk = true;
    network.group(1).campaign();
    network.pump();
    assert_eq!(network.leaders(), [1]);
    assert!(network.sent.is_empty());
    network.sync(1);
    network.pump();
    assert!(!network.sent_by(1, MessageKind::Append).is_empty());
}

#[test]
fn replica_restarts_from_log_vote_and_applied_and_catches_up() {
    let mut network = Network::led_by_1(3);
    network.propose(1, "a");
    network.pump();
    let disk = network.crash(3);
    let vote = disk.vote;
    assert_eq!(vote.voted_for, Some(ReplicaId(1)));
    network.propose(1, "b");
    network.pump();
    network.start(3, disk);
    let status = network.group(3).status();
    assert_eq!(status.term, vote.term);
    assert!(status.committed >= Index(2));
    assert!(!network.group(3).has_ready());
    network.tick(5);
    assert_eq!(network.committed(3), ["a", "b"]);
}

#[test]
fn unsynced_entries_lost_in_a_crash_come_back_from_the_leader() {
    let mut network = Network::led_by_1(3);
    network.get(3).slow_disk = true;
    network.propose(1, "a");
    network.pump();
    assert_eq!(network.committed(3), ["a"]);
    let disk = network.crash(3);
    assert_eq!(disk.log.entries.len(), 1, "only the leader's first entry was synced");
    network.start(3, disk);
    network.tick(5);
    assert_eq!(network.committed(3), ["a"]);
    assert!(network.get(3).errors.is_empty());
}

#[test]
fn entries_that_reached_the_disk_without_their_terms_vote_raise_the_term() {
    let mut network = Network::led_by_1(3);
    let mut disk = network.crash(3);
    disk.vote = Vote::default();
    disk.applied = Index(0);
    network.start(3, disk);
    assert_eq!(network.group(3).status().term, network.group(1).status().term);
}

#[test]
fn log_that_is_shorter_than_its_memory_does_not_open() {
    let vote = Vote { committed: Index(5), ..Vote::default() };
    let disk = Disk { vote, membership: voters(&[1, 2, 3]), ..Disk::default() };
    let opened = Group::open(&options(1, &disk), disk.log.clone());
    assert_eq!(opened.err(), Some(Error::Forgotten { needed: Index(5), last: Index(0) }));
}

#[test]
fn group_whose_entries_were_not_written_stops() {
    let mut network = Network::led_by_1(3);
    let (_, index) = network.propose(1, "a");
    let group = network.group(1);
    group.take_ready().expect("an entry to write");
    group.tick();
    assert_eq!(group.failure(), Some(&Error::Unwritten { expected: index, found: index.before() }));
    assert!(!group.has_ready());
}
