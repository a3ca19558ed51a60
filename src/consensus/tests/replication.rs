//! How entries travel.

use bytes::Bytes;

use super::network::{ELECTION_TICKS, Network};
use crate::consensus::{Error, LogReader, MessageKind};
use crate::types::{Index, ReplicaId, Term};

#[test]
fn proposal_is_told_its_place_at_once_and_arrives_intact_everywhere() {
    let mut network = Network::led_by_1(3);
    let (term, index) = network.propose(1, "a");
    assert_eq!((term, index), (Term(1), Index(2)));
    assert_eq!(network.propose(1, "b"), (Term(1), Index(3)));
    network.pump();
    for id in 1..=3 {
        let entry = network.group(id).log().entries(index, index.plus(1), 0).unwrap().remove(0);
        assert_eq!((entry.term, entry.index, entry.membership), (term, index, false));
        assert_eq!((entry.context, entry.data), (Bytes::from("header of a"), Bytes::from("a")));
    }
}

#[test]
fn follower_refuses_a_proposal_and_forwards_nothing() {
    let mut network = Network::led_by_1(3);
    let refused = network.group(2).propose(Bytes::new(), Bytes::from("a"));
    assert_eq!(refused, Err(Error::NotLeader { leader: Some(ReplicaId(1)) }));
    assert!(!network.group(2).has_ready());
}

#[test]
fn leaders_own_first_entry_has_an_empty_context() {
    let mut network = Network::led_by_1(3);
    let entry = network.group(2).log().entries(Index(1), Index(2), 0).unwrap().remove(0);
    assert!(entry.context.is_empty() && entry.data.is_empty() && !entry.membership);
}

#[test]
fn proposals_between_two_readies_share_one_message_per_peer() {
    let mut network = Network::led_by_1(3);
    network.sent.clear();
    for data in ["a", "b", "c"] {
        network.propose(1, data);
    }
    network.write(1);
    assert_eq!(network.sent_by(1, MessageKind::Append).len(), 2);
}

#[test]
fn lagging_follower_catches_up_within_message_and_flight_bounds() {
    let mut network = Network::led_by_1(3);
    network.isolate(3);
    for number in 0..200 {
        network.propose(1, &format!("entry {number}"));
        network.pump();
    }
    network.cut.clear();
    network.sent.clear();
    network.tick(ELECTION_TICKS);
    assert_eq!(network.committed(3).len(), 200);
    let appends = network.sent_by(1, MessageKind::Append);
    assert!(appends.len() > 50);
    for append in appends {
        let bytes: usize = append.entries.iter().map(|entry| entry.context.len() + entry.data.len()).sum();
        assert!(bytes <= 100 || append.entries.len() == 1, "{bytes} bytes in one message");
    }
    assert!(network.get(3).errors.is_empty());
}

#[test]
fn no_more_messages_are_in_flight_than_allowed() {
    let mut network = Network::led_by_1(3);
    network.cut.extend([(2, 1), (3, 1)]);
    network.sent.clear();
    for _ in 0..20 {
        network.propose(1, "a");
        network.pump();
    }
    let to_2 =
        network.sent.iter().filter(|message| message.to == ReplicaId(2) && !message.entries.is_empty());
    assert_eq!(to_2.count(), 4);
}

#[test]
fn deposed_leaders_unacknowledged_entries_give_way() {
    let mut network = Network::led_by_1(3);
    network.isolate(1);
    network.propose(1, "lost");
    network.propose(1, "lost too");
    network.pump();
    network.tick(3 * ELECTION_TICKS);
    let leader = network.leaders()[0];
    network.propose(leader, "kept");
    network.pump();
    network.cut.clear();
    network.tick(ELECTION_TICKS);
    for id in 1..=3 {
        assert_eq!(network.committed(id), ["kept"], "replica {id}");
    }
    assert_eq!(network.group(1).log().last_index(), network.group(leader).log().last_index());
}

#[test]
fn lost_messages_are_sent_again_once_the_peer_is_reported_unreachable() {
    let mut network = Network::led_by_1(3);
    network.cut.insert((1, 2));
    network.propose(1, "a");
    network.pump();
    network.cut.clear();
    network.group(1).report_unreachable(ReplicaId(2));
    network.tick(3);
    assert_eq!(network.committed(2), ["a"]);
    assert_eq!(network.group(1).peer_matched(ReplicaId(2)), Some(Index(2)));
    assert_eq!(network.group(2).peer_matched(ReplicaId(1)), None, "only a leader knows");
}
