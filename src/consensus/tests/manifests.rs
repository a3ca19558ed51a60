//! A replica too far behind for the leader's log starts from the manifest at its start.

use bytes::Bytes;

use super::network::{Disk, ELECTION_TICKS, Network, replicas, voters};
use crate::consensus::{LogReader, MembershipChange, MembershipStep, MessageKind};
use crate::types::{Index, ReplicaId};

/// Replicas 1 to 3 with entries up to index 11, trimmed to 6; learner 4 was added at 12.
fn trimmed() -> Network {
    let mut network = Network::led_by_1(3);
    for number in 0..10 {
        network.propose(1, &format!("entry {number}"));
        network.pump();
    }
    for id in 1..=3 {
        network.group(id).log_mut().trim(Index(6), &voters(&[1, 2, 3]));
    }
    let add = MembershipChange::Simple(MembershipStep::Learner(ReplicaId(4)));
    network.group(1).propose_membership(&add, Bytes::from("stamp")).unwrap();
    network.pump();
    network
}

#[test]
fn blank_replica_starts_from_the_manifest_with_the_current_configuration() {
    let mut network = trimmed();
    network.start(4, Disk { membership: voters(&[1, 2, 3]), ..Disk::default() });
    network.tick(ELECTION_TICKS);

    let sent = network.sent_by(1, MessageKind::Manifest);
    let manifest = sent.last().unwrap().manifest.clone().unwrap();
    assert_eq!((manifest.index, manifest.membership_index), (Index(6), Index(12)));
    assert_eq!(manifest.membership.learners, replicas(&[4]));
    assert_eq!(manifest.shard_state, "state at 6");

    assert_eq!(network.group(4).log().start, manifest);
    assert_eq!(network.group(4).log().last_index(), Index(12));
    assert_eq!(network.committed(4), network.committed(1));
    assert_eq!(network.group(4).status().membership, network.group(1).status().membership);
    assert!(network.get(4).errors.is_empty());
}

#[test]
fn lost_manifest_is_sent_again() {
    let mut network = trimmed();
    network.start(4, Disk { membership: voters(&[1, 2, 3]), ..Disk::default() });
    network.get(4).slow_disk = true;
    network.tick(3);
    let first = network.sent_by(1, MessageKind::Manifest).len();
    // The replica crashes before the manifest is durable.
    let disk = network.crash(4);
    assert_eq!(disk.log.start.index, Index(0));
    network.start(4, disk);
    network.tick(ELECTION_TICKS);
    assert!(network.sent_by(1, MessageKind::Manifest).len() > first);
    assert_eq!(network.committed(4), network.committed(1));
}

#[test]
fn replica_restored_from_a_manifest_can_be_promoted_and_lead() {
    let mut network = trimmed();
    network.start(4, Disk { membership: voters(&[1, 2, 3]), ..Disk::default() });
    network.tick(ELECTION_TICKS);
    let promote = MembershipChange::Simple(MembershipStep::Voter(ReplicaId(4)));
    network.group(1).propose_membership(&promote, Bytes::from("stamp")).unwrap();
    network.pump();
    network.group(1).transfer_leader(ReplicaId(4));
    network.pump();
    assert_eq!(network.leaders(), [4]);
}

#[test]
fn manifest_that_does_not_name_the_receiver_is_ignored() {
    let mut network = trimmed();
    let blank = Disk { membership: voters(&[1, 2, 3]), ..Disk::default() };
    network.start(4, blank.clone());
    network.tick(3);
    network.start(4, blank);
    let mut message = network.sent_by(1, MessageKind::Manifest)[0].clone();
    let manifest = message.manifest.as_mut().unwrap();
    manifest.membership.learners.clear();
    network.group(4).step(message).unwrap();
    assert_eq!(network.group(4).take_ready().unwrap().manifest, None);
}
