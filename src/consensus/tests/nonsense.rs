//! A peer that says anything at all stops a group at worst; it never makes it panic.

use bytes::Bytes;
use proptest::prelude::*;

use super::network::{Network, voters};
use crate::consensus::{LogEntry, Manifest, Message, MessageKind};
use crate::types::{Index, ReplicaId, Term};

const KINDS: [MessageKind; 10] = [
    MessageKind::Append,
    MessageKind::AppendAnswer,
    MessageKind::RequestVote,
    MessageKind::VoteAnswer,
    MessageKind::RequestPreVote,
    MessageKind::PreVoteAnswer,
    MessageKind::Heartbeat,
    MessageKind::HeartbeatAnswer,
    MessageKind::TimeoutNow,
    MessageKind::Manifest,
];

fn manifest() -> impl Strategy<Value = Manifest> {
    (1u64..9, 1u64..4, proptest::collection::btree_set(1u64..5, 1..4)).prop_map(|(index, term, ids)| {
        Manifest {
            index: Index(index),
            term: Term(term),
            membership: voters(&ids.into_iter().collect::<Vec<_>>()),
            membership_index: Index(0),
            shard_state: Bytes::new(),
        }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let head = (0..KINDS.len(), 1u64..5, 1u64..4, 1u64..5);
    let numbers = (0u64..5, 0u64..9, 0u64..9, 0u64..5, 0u64..9);
    (head, numbers, any::<bool>(), 0usize..3, manifest()).prop_map(
        |(head, numbers, reject, count, manifest)| {
            let (kind, term) = (KINDS[head.0], Term(head.3));
            let (log_term, index) = (Term(numbers.0), Index(numbers.1));
            let entry = |place: usize| LogEntry {
                term: log_term.max(Term(1)),
                index: index.plus(1 + place as u64),
                ..LogEntry::default()
            };
            let is_append = kind == MessageKind::Append;
            Message {
                kind,
                from: ReplicaId(head.1),
                to: ReplicaId(head.2),
                term,
                log_term,
                index,
                commit: Index(numbers.2),
                commit_term: Term(numbers.3),
                reject,
                reject_hint: Index(numbers.4),
                context: Bytes::new(),
                entries: if is_append { (0..count).map(entry).collect() } else { vec![] },
                manifest: (kind == MessageKind::Manifest).then_some(manifest),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_message_makes_a_group_panic(messages in proptest::collection::vec(message(), 1..40)) {
        let mut network = Network::led_by_1(3);
        for data in ["a", "b", "c"] {
            network.propose(1, data);
            network.pump();
        }
        for (turn, message) in messages.into_iter().enumerate() {
            let to = message.to.0;
            network.hand_over(message);
            if turn % 2 == 0 {
                network.write(to);
            }
            if turn % 4 == 0 {
                network.sync(to);
            }
            let group = network.group(to);
            group.tick();
            group.on_applied(group.committed());
            // Few of them lead.
            let _ = group.propose(Bytes::from("header"), Bytes::from("d"));
        }
    }
}
