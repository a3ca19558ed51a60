//! What would make raft panic, and does not reach it.

use bytes::Bytes;

use super::network::{ELECTION_TICKS, Network, voters};
use crate::consensus::{Error, LogEntry, Manifest, Message, MessageKind, ReadError};
use crate::types::{Index, ReplicaId, Term};

fn message(kind: MessageKind, from: u64, to: u64) -> Message {
    Message {
        kind,
        from: ReplicaId(from),
        to: ReplicaId(to),
        term: Term(1),
        log_term: Term(0),
        index: Index(0),
        commit: Index(0),
        commit_term: Term(0),
        reject: false,
        reject_hint: Index(0),
        context: Bytes::new(),
        entries: vec![],
        manifest: None,
    }
}

#[test]
fn replica_that_lost_acknowledged_entries_stops_at_the_next_heartbeat() {
    let mut network = Network::led_by_1(3);
    for data in ["a", "b", "c"] {
        network.propose(1, data);
        network.pump();
    }
    let mut disk = network.crash(3);
    disk.log.entries.truncate(1);
    disk.vote.committed = Index(1);
    disk.applied = Index(1);
    network.start(3, disk);
    network.tick(2);
    let forgotten = Error::Forgotten { needed: Index(4), last: Index(1) };
    assert_eq!(network.get(3).errors.first(), Some(&forgotten));
    assert_eq!(network.group(3).failure(), Some(&forgotten));
    network.isolate(1);
    network.sent.clear();
    network.tick(3 * ELECTION_TICKS);
    assert!(network.sent.iter().all(|message| message.from != ReplicaId(3)), "it answers and votes no more");
}

#[test]
fn replica_whose_disk_holds_another_entry_where_it_acknowledged_one_stops_before_it_takes_it_for_committed() {
    let mut network = Network::led_by_1(3);
    for data in ["a", "b", "c"] {
        network.propose(1, data);
        network.pump();
    }
    network.sent.clear();
    network.tick(2);
    let told = network.sent.iter().filter(|message| message.kind == MessageKind::Heartbeat);
    assert!(
        told.clone().count() > 0
            && told.clone().all(|beat| (beat.commit, beat.commit_term) == (Index(4), Term(1)))
    );
    let beat = Message { commit: Index(4), commit_term: Term(2), ..message(MessageKind::Heartbeat, 1, 3) };
    let diverged = Error::Diverged { index: Index(4), expected: Term(2), found: Term(1) };
    assert_eq!(network.group(3).step(Message { term: Term(3), ..beat }), Err(diverged.clone()));
    assert_eq!(network.group(3).failure(), Some(&diverged));
}

#[test]
fn leader_whose_follower_holds_more_than_its_log_stops() {
    let mut network = Network::led_by_1(3);
    let answer = Message { index: Index(9), ..message(MessageKind::AppendAnswer, 2, 1) };
    let refused = network.group(1).step(answer);
    assert_eq!(refused, Err(Error::Forgotten { needed: Index(9), last: Index(1) }));
}

#[test]
fn malformed_messages_are_refused_and_change_nothing() {
    let entry = |term, index| LogEntry { term: Term(term), index: Index(index), ..LogEntry::default() };
    let append = |entries| Message {
        index: Index(1),
        log_term: Term(1),
        entries,
        ..message(MessageKind::Append, 1, 2)
    };
    let manifest = |manifest| Message { manifest: Some(manifest), ..message(MessageKind::Manifest, 1, 2) };
    let good =
        Manifest { index: Index(5), term: Term(1), membership: voters(&[1, 2]), ..Manifest::default() };
    let mut both = voters(&[1, 2]);
    both.learners = both.voters.clone();
    let bad = [
        Message { to: ReplicaId(3), ..message(MessageKind::Heartbeat, 1, 2) },
        Message { from: ReplicaId(0), ..message(MessageKind::Heartbeat, 1, 2) },
        Message { from: ReplicaId(2), ..message(MessageKind::Heartbeat, 1, 2) },
        Message { term: Term(0), ..message(MessageKind::Append, 1, 2) },
        Message { term: Term(u64::MAX), ..message(MessageKind::RequestVote, 1, 2) },
        Message { reject_hint: Index(u64::MAX), ..message(MessageKind::AppendAnswer, 1, 2) },
        Message { entries: vec![entry(1, 2)], ..message(MessageKind::Heartbeat, 1, 2) },
        append(vec![entry(1, 3)]),
        append(vec![entry(1, 2), entry(1, 2)]),
        append(vec![entry(2, 2)]),
        append(vec![entry(0, 2)]),
        message(MessageKind::Manifest, 1, 2),
        Message { manifest: Some(good.clone()), ..message(MessageKind::Append, 1, 2) },
        manifest(Manifest { index: Index(0), ..good.clone() }),
        manifest(Manifest { term: Term(2), ..good.clone() }),
        manifest(Manifest { membership: voters(&[]), ..good.clone() }),
        manifest(Manifest { membership: voters(&[1, 2, 2]), ..good.clone() }),
        manifest(Manifest { membership: both, ..good }),
    ];
    let mut network = Network::led_by_1(3);
    let before = network.group(2).status();
    for message in bad {
        let refused = network.group(2).step(message.clone());
        assert!(matches!(refused, Err(Error::InvalidMessage { .. })), "{message:?} gave {refused:?}");
    }
    assert_eq!(network.group(2).status(), before);
    assert!(!network.group(2).has_ready());
}

#[test]
fn strangers_answers_are_refused_without_harm() {
    let mut network = Network::led_by_1(3);
    let refused = network.group(1).step(message(MessageKind::AppendAnswer, 9, 1));
    assert_eq!(refused, Err(Error::UnknownPeer { from: ReplicaId(9) }));
    assert_eq!(network.group(1).failure(), None);
}

#[test]
fn damaged_entry_that_must_be_sent_stops_the_leader_and_sends_nothing() {
    let mut network = Network::led_by_1(3);
    network.isolate(3);
    for data in ["a", "b", "c"] {
        network.propose(1, data);
        network.pump();
    }
    network.group(1).log_mut().damaged = Some(Index(3));
    network.cut.clear();
    network.sent.clear();
    network.tick(2);
    let failure = network.group(1).failure().cloned();
    assert!(
        matches!(failure, Some(Error::Unreadable(ReadError::Damaged { index: Index(3), .. }))),
        "{failure:?}"
    );
    assert!(network.sent_by(1, MessageKind::Append).iter().all(|append| append.entries.is_empty()));
}

#[test]
fn damaged_unapplied_entry_stops_a_replica_before_it_stands() {
    let mut network = Network::led_by_1(3);
    network.propose(1, "a");
    network.propose(1, "b");
    network.pump();
    let mut disk = network.crash(3);
    disk.applied = Index(1);
    disk.vote.committed = Index(3);
    disk.log.damaged = Some(Index(2));
    network.start(3, disk);
    network.group(3).campaign();
    assert!(matches!(network.group(3).failure(), Some(Error::Unreadable(_))));
    assert_eq!(network.group(3).take_ready(), None);
}

#[test]
fn damaged_last_entry_is_found_at_opening_or_stops_the_vote() {
    let mut network = Network::led_by_1(3);
    network.propose(1, "a");
    network.pump();
    network.group(3).log_mut().damaged = Some(Index(2));
    let vote = Message { term: Term(9), index: Index(1), ..message(MessageKind::RequestPreVote, 2, 3) };
    network.isolate(1);
    network.isolate(3);
    network.group(3).set_campaigning(false);
    network.tick(2 * ELECTION_TICKS);
    let answered = network.group(3).step(vote);
    assert!(matches!(answered, Err(Error::Unreadable(_))), "{answered:?}");
    assert_eq!(network.group(3).take_ready(), None);
    let disk = super::network::Disk { log: network.group(3).log().clone(), ..network.crash(3) };
    let opened = crate::consensus::Group::open(&super::network::options(3, &disk), disk.log.clone());
    assert!(matches!(opened.err(), Some(Error::Unreadable(_))));
}

#[test]
fn impossible_options_are_refused() {
    let network = Network::of(1);
    let disk = network.replicas[&1].disk.clone();
    let good = super::network::options(1, &disk);
    let mut no_range = good.clone();
    no_range.election_ticks_max = no_range.election_ticks_min;
    let mut nobody = good.clone();
    nobody.replica = ReplicaId(0);
    let mut no_voters = good.clone();
    no_voters.membership = voters(&[]);
    let mut late_heartbeats = good;
    late_heartbeats.heartbeat_ticks = ELECTION_TICKS;
    for options in [no_range, nobody, no_voters, late_heartbeats] {
        let opened = crate::consensus::Group::open(&options, disk.log.clone());
        assert!(matches!(opened.err(), Some(Error::InvalidOptions { .. })));
    }
}
