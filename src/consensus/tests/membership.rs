//! Who belongs, and since when.

use bytes::Bytes;

use super::network::{Disk, ELECTION_TICKS, Network, options, replicas, voters};
use crate::consensus::{
    Error, Group, LogReader, MembershipChange, MembershipStep, MessageKind, Role, encode_membership_change,
};
use crate::types::{Index, Membership, ReplicaId};

impl Network {
    fn change(&mut self, leader: u64, change: &MembershipChange) -> Index {
        let proposed = self.group(leader).propose_membership(change, Bytes::from("stamp"));
        self.pump();
        proposed.expect("accepted").1
    }

    fn start_blank(&mut self, id: u64) {
        self.start(id, Disk { membership: voters(&[1, 2, 3]), ..Disk::default() });
    }
}

#[test]
fn learner_is_added_by_a_stamped_entry_catches_up_and_is_promoted() {
    let mut network = Network::led_by_1(3);
    network.propose(1, "a");
    network.start_blank(4);
    let index = network.change(1, &MembershipChange::Simple(MembershipStep::Learner(ReplicaId(4))));
    network.tick(3);
    let entry = network.group(2).log().entries(index, index.plus(1), 0).unwrap().remove(0);
    assert!(entry.membership);
    assert_eq!(entry.context, "stamp");
    assert_eq!(network.committed(4), ["a"]);
    assert_eq!(network.group(4).status().membership.learners, replicas(&[4]));
    network.group(4).campaign();
    assert_eq!(network.group(4).status().role, Role::Follower, "a learner does not stand");

    network.change(1, &MembershipChange::Simple(MembershipStep::Voter(ReplicaId(4))));
    network.tick(3);
    for id in 1..=4 {
        assert_eq!(network.group(id).status().membership, voters(&[1, 2, 3, 4]), "replica {id}");
    }
}

#[test]
fn learner_counts_for_no_quorum() {
    let mut network = Network::led_by_1(3);
    network.start_blank(4);
    network.change(1, &MembershipChange::Simple(MembershipStep::Learner(ReplicaId(4))));
    network.isolate(2);
    network.isolate(3);
    let (_, index) = network.propose(1, "a");
    network.tick(3);
    assert_eq!(network.group(4).log().last_index(), index);
    assert!(network.group(1).status().committed < index);
}

#[test]
fn joint_change_stays_until_left_by_an_entry_of_ours() {
    let mut network = Network::led_by_1(3);
    network.start_blank(4);
    let steps = vec![MembershipStep::Voter(ReplicaId(4)), MembershipStep::Learner(ReplicaId(3))];
    network.change(1, &MembershipChange::EnterJoint(steps));
    network.tick(ELECTION_TICKS);
    let joint =
        Membership { voters: replicas(&[1, 2, 4]), learners: replicas(&[3]), outgoing: replicas(&[1, 2, 3]) };
    for id in 1..=4 {
        assert_eq!(network.group(id).status().membership, joint, "replica {id}");
    }
    let disk = network.crash(2);
    assert_eq!(disk.membership, joint);
    network.start(2, disk);
    assert_eq!(network.group(2).status().membership, joint, "a joint configuration survives a restart");

    let index = network.change(1, &MembershipChange::LeaveJoint);
    network.tick(3);
    let left = Membership { outgoing: vec![], ..joint };
    for id in 1..=4 {
        assert_eq!(network.group(id).status().membership, left, "replica {id}");
        assert_eq!(network.group(id).log().last_index(), index, "nobody added an entry of its own");
    }
}

#[test]
fn joint_change_with_a_single_step_is_left_explicitly_too() {
    let mut network = Network::led_by_1(3);
    network.change(1, &MembershipChange::EnterJoint(vec![MembershipStep::Remove(ReplicaId(3))]));
    network.tick(ELECTION_TICKS);
    assert_eq!(network.group(2).status().membership.outgoing, replicas(&[1, 2, 3]));
}

#[test]
fn second_change_before_the_first_is_applied_is_refused_without_an_entry() {
    let mut network = Network::led_by_1(3);
    let add = |id| MembershipChange::Simple(MembershipStep::Learner(ReplicaId(id)));
    let (_, index) = network.group(1).propose_membership(&add(4), Bytes::new()).unwrap();
    let refused = network.group(1).propose_membership(&add(5), Bytes::new());
    assert!(matches!(refused, Err(Error::MembershipRefused { .. })));
    assert_eq!(network.group(1).status().last, index);
    network.pump();
    network.change(1, &add(5));
}

#[test]
fn change_that_the_configuration_forbids_is_refused_without_an_entry() {
    let mut network = Network::led_by_1(1);
    let last = network.group(1).status().last;
    let remove_all = MembershipChange::Simple(MembershipStep::Remove(ReplicaId(1)));
    let nobody = MembershipChange::Simple(MembershipStep::Voter(ReplicaId(0)));
    let nothing = MembershipChange::EnterJoint(vec![]);
    for change in [remove_all, nobody, nothing, MembershipChange::LeaveJoint] {
        let refused = network.group(1).propose_membership(&change, Bytes::new());
        assert!(matches!(refused, Err(Error::MembershipRefused { .. })), "{change:?}");
    }
    assert_eq!(network.group(1).status().last, last);
}

#[test]
fn leader_that_is_removed_steps_down_and_the_others_go_on() {
    let mut network = Network::led_by_1(3);
    network.change(1, &MembershipChange::Simple(MembershipStep::Remove(ReplicaId(1))));
    assert_eq!(network.group(1).status().role, Role::Follower);
    network.tick(4 * ELECTION_TICKS);
    assert_eq!(network.leaders().len(), 1);
    assert!(network.sent_by(1, MessageKind::RequestVote).len() <= 2, "it stands no more");
    let leader = network.leaders()[0];
    network.propose(leader, "a");
    network.pump();
    assert_eq!(network.committed(leader), ["a"]);
}

#[test]
fn membership_data_that_raft_would_act_on_by_itself_is_not_applied() {
    let mut network = Network::led_by_1(3);
    let group = network.group(2);
    let before = group.status().membership;
    // Field 1, the transition: 1 is implicit. Then one change, then rubbish.
    for data in [&[8u8, 1, 18, 2, 16, 9][..], &[18, 2, 16, 8, 18, 2, 16, 9], &[8, 2], &[255; 9]] {
        let applied = group.apply_membership(Index(9), data);
        assert!(matches!(applied, Err(Error::InvalidMembership { .. })), "{data:?}");
    }
    assert_eq!(group.status().membership, before);
    let add = encode_membership_change(&MembershipChange::Simple(MembershipStep::Voter(ReplicaId(9))));
    assert_eq!(group.apply_membership(Index(9), &add).unwrap(), voters(&[1, 2, 3, 9]));
}

#[test]
fn every_membership_with_a_voter_opens_and_reads_back() {
    for mut code in 0..6u32.pow(4) {
        let mut membership = Membership::default();
        for id in (1..=4).map(ReplicaId) {
            match code % 6 {
                1 | 3 => membership.voters.push(id),
                2 | 4 => membership.learners.push(id),
                _ => {}
            }
            if code % 6 > 2 {
                membership.outgoing.push(id);
            }
            code /= 6;
        }
        let disk = Disk { membership: membership.clone(), ..Disk::default() };
        let opened = Group::open(&options(1, &disk), disk.log.clone());
        if membership.voters.is_empty() {
            assert!(matches!(opened.err(), Some(Error::InvalidOptions { .. })));
        } else {
            assert_eq!(opened.expect("opens").status().membership, membership);
        }
    }
}
