//! Raft messages and stated times between the core's types and the wire's.

use bytes::Bytes;

use crate::clock::TimeInterval;
use crate::consensus::{LogEntry, Manifest, Message, MessageKind};
use crate::types::{Index, Membership, ReplicaId, ShardId, Term, Timestamp};
use crate::wire::{EntryMeta, RaftManifest, RaftMessage, StatedTime};

/// A peer's message that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("message kind {0} is not known")]
    Kind(u32),
    #[error("entries want {wanted} bytes of data, {available} came")]
    Payload { wanted: usize, available: usize },
}

pub(super) fn time_to_wire(stated: TimeInterval) -> StatedTime {
    StatedTime { earliest_ns: stated.earliest.0, latest_ns: stated.latest.0 }
}

pub(super) fn time_from_wire(stated: StatedTime) -> TimeInterval {
    TimeInterval { earliest: Timestamp(stated.earliest_ns), latest: Timestamp(stated.latest_ns) }
}

/// Splits a message into its wire header and the data of its entries.
pub(super) fn to_wire(shard: ShardId, message: Message, payload: &mut Vec<Bytes>) -> RaftMessage {
    let entries = message.entries.into_iter().map(|entry| entry_to_wire(entry, payload)).collect();
    RaftMessage {
        shard: shard.0,
        kind: message.kind as u32,
        from: message.from.0,
        to: message.to.0,
        term: message.term.0,
        log_term: message.log_term.0,
        index: message.index.0,
        commit: message.commit.0,
        commit_term: message.commit_term.0,
        reject: message.reject,
        reject_hint: message.reject_hint.0,
        context: message.context,
        entries,
        manifest: message.manifest.map(manifest_to_wire),
    }
}

fn entry_to_wire(entry: LogEntry, payload: &mut Vec<Bytes>) -> EntryMeta {
    let data_len = u32::try_from(entry.data.len()).expect("an entry's data is a frame's body");
    if data_len > 0 {
        payload.push(entry.data);
    }
    EntryMeta {
        term: entry.term.0,
        index: entry.index.0,
        membership: entry.membership,
        context: entry.context,
        data_len,
    }
}

fn manifest_to_wire(manifest: Manifest) -> RaftManifest {
    let ids = |replicas: Vec<ReplicaId>| replicas.into_iter().map(|replica| replica.0).collect();
    RaftManifest {
        index: manifest.index.0,
        term: manifest.term.0,
        voters: ids(manifest.membership.voters),
        learners: ids(manifest.membership.learners),
        outgoing: ids(manifest.membership.outgoing),
        shard_state: manifest.shard_state,
        membership_index: manifest.membership_index.0,
    }
}

/// Joins a wire message with its entries' data, which is taken off the front of `payload`.
pub(super) fn from_wire(message: RaftMessage, payload: &mut Bytes) -> Result<Message, Malformed> {
    let mut entries = Vec::with_capacity(message.entries.len());
    for meta in message.entries {
        let wanted = meta.data_len as usize;
        if payload.len() < wanted {
            return Err(Malformed::Payload { wanted, available: payload.len() });
        }
        entries.push(LogEntry {
            term: Term(meta.term),
            index: Index(meta.index),
            membership: meta.membership,
            context: meta.context,
            data: payload.split_to(wanted),
        });
    }
    Ok(Message {
        kind: kind(message.kind)?,
        from: ReplicaId(message.from),
        to: ReplicaId(message.to),
        term: Term(message.term),
        log_term: Term(message.log_term),
        index: Index(message.index),
        commit: Index(message.commit),
        commit_term: Term(message.commit_term),
        reject: message.reject,
        reject_hint: Index(message.reject_hint),
        context: message.context,
        entries,
        manifest: message.manifest.map(manifest_from_wire),
    })
}

fn manifest_from_wire(manifest: RaftManifest) -> Manifest {
    let ids = |replicas: Vec<u64>| replicas.into_iter().map(ReplicaId).collect();
    Manifest {
        index: Index(manifest.index),
        term: Term(manifest.term),
        membership: Membership {
            voters: ids(manifest.voters),
            learners: ids(manifest.learners),
            outgoing: ids(manifest.outgoing),
        },
        shard_state: manifest.shard_state,
        membership_index: Index(manifest.membership_index),
    }
}

fn kind(number: u32) -> Result<MessageKind, Malformed> {
    use MessageKind::{
        Append, AppendAnswer, Heartbeat, HeartbeatAnswer, Manifest, PreVoteAnswer, RequestPreVote,
        RequestVote, TimeoutNow, VoteAnswer,
    };
    let known = [
        Append,
        AppendAnswer,
        RequestVote,
        VoteAnswer,
        RequestPreVote,
        PreVoteAnswer,
        Heartbeat,
        HeartbeatAnswer,
        TimeoutNow,
        Manifest,
    ];
    known.into_iter().find(|kind| *kind as u32 == number).ok_or(Malformed::Kind(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(entries: Vec<LogEntry>) -> Message {
        Message {
            kind: MessageKind::Append,
            from: ReplicaId(1),
            to: ReplicaId(2),
            term: Term(3),
            log_term: Term(2),
            index: Index(7),
            commit: Index(6),
            commit_term: Term(2),
            reject: false,
            reject_hint: Index(0),
            context: Bytes::new(),
            entries,
            manifest: None,
        }
    }

    fn entry(index: u64, data: &'static [u8]) -> LogEntry {
        LogEntry {
            term: Term(3),
            index: Index(index),
            membership: false,
            context: Bytes::from_static(b"header"),
            data: Bytes::from_static(data),
        }
    }

    #[test]
    fn a_message_comes_back_as_it_was_with_its_entries_data() {
        let sent = message(vec![entry(8, b"one"), entry(9, b""), entry(10, b"three")]);
        let mut parts = Vec::new();
        let wire = to_wire(ShardId(5), sent.clone(), &mut parts);
        let mut payload = Bytes::from(parts.concat());
        assert_eq!(from_wire(wire, &mut payload), Ok(sent));
        assert!(payload.is_empty());
    }

    #[test]
    fn data_that_is_not_there_is_refused() {
        let mut parts = Vec::new();
        let wire = to_wire(ShardId(5), message(vec![entry(8, b"one")]), &mut parts);
        let mut payload = Bytes::from_static(b"on");
        assert_eq!(from_wire(wire, &mut payload), Err(Malformed::Payload { wanted: 3, available: 2 }));
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let mut wire = to_wire(ShardId(5), message(vec![]), &mut Vec::new());
        wire.kind = 99;
        assert_eq!(from_wire(wire, &mut Bytes::new()), Err(Malformed::Kind(99)));
    }
}
