//! Our types to raft's and back. Pure, and total on what `guard` has let through.

use bytes::{BufMut, Bytes, BytesMut};
use raft::eraftpb;
use raft::eraftpb::{ConfState, EntryType, MessageType, Snapshot};

use super::{LogEntry, Manifest, Message, MessageKind};
use crate::types::{Index, Membership, ReplicaId, Term};

/// raft writes "nobody" as 0.
pub(super) fn replica_of(id: u64) -> Option<ReplicaId> {
    (id != 0).then_some(ReplicaId(id))
}

fn ids(replicas: &[ReplicaId]) -> Vec<u64> {
    replicas.iter().map(|replica| replica.0).collect()
}

fn replicas<'a>(ids: impl Iterator<Item = &'a u64>) -> Vec<ReplicaId> {
    let mut replicas: Vec<_> = ids.copied().map(ReplicaId).collect();
    replicas.sort_unstable();
    replicas
}

/// A voter that leaves the joint configuration as a learner stands in our `learners` and `outgoing`, without being
/// a voter; raft keeps such replicas apart, in `learners_next`. A plain learner is never outgoing, so nothing is
/// lost either way.
pub(super) fn conf_state_of(membership: &Membership) -> ConfState {
    let (next, learners): (Vec<_>, Vec<_>) =
        membership.learners.iter().copied().partition(|learner| membership.outgoing.contains(learner));
    ConfState {
        voters: ids(&membership.voters),
        voters_outgoing: ids(&membership.outgoing),
        learners: ids(&learners),
        learners_next: ids(&next),
        ..ConfState::default()
    }
}

pub(super) fn membership_of(state: &ConfState) -> Membership {
    Membership {
        voters: replicas(state.voters.iter()),
        learners: replicas(state.learners.iter().chain(&state.learners_next)),
        outgoing: replicas(state.voters_outgoing.iter()),
    }
}

pub(super) fn entry_to_raft(entry: LogEntry) -> eraftpb::Entry {
    let kind = if entry.membership { EntryType::EntryConfChangeV2 } else { EntryType::EntryNormal };
    eraftpb::Entry {
        entry_type: kind,
        term: entry.term.0,
        index: entry.index.0,
        context: entry.context,
        data: entry.data,
        ..eraftpb::Entry::default()
    }
}

pub(super) fn entry_from_raft(entry: eraftpb::Entry) -> LogEntry {
    LogEntry {
        term: Term(entry.term),
        index: Index(entry.index),
        membership: entry.get_entry_type() != EntryType::EntryNormal,
        context: entry.context,
        data: entry.data,
    }
}

/// The snapshot's data is the index of its configuration (8 bytes, little-endian), then the shard's state.
pub(super) fn snapshot_of(manifest: &Manifest) -> Snapshot {
    let mut data = BytesMut::with_capacity(8 + manifest.shard_state.len());
    data.put_u64_le(manifest.membership_index.0);
    data.put_slice(&manifest.shard_state);
    let mut snapshot = Snapshot { data: data.freeze(), ..Snapshot::default() };
    let metadata = snapshot.mut_metadata();
    metadata.index = manifest.index.0;
    metadata.term = manifest.term.0;
    metadata.set_conf_state(conf_state_of(&manifest.membership));
    snapshot
}

/// Only snapshots made by `snapshot_of` reach this place.
pub(super) fn manifest_of(snapshot: &Snapshot) -> Manifest {
    let metadata = snapshot.get_metadata();
    let (head, state) = snapshot.data.split_at(8);
    Manifest {
        index: Index(metadata.index),
        term: Term(metadata.term),
        membership: membership_of(metadata.get_conf_state()),
        membership_index: Index(u64::from_le_bytes(head.try_into().expect("split at 8"))),
        shard_state: Bytes::copy_from_slice(state),
    }
}

/// The kinds that travel. raft's others are local, or belong to features that stay off.
const KINDS: [(MessageKind, MessageType); 10] = [
    (MessageKind::Append, MessageType::MsgAppend),
    (MessageKind::AppendAnswer, MessageType::MsgAppendResponse),
    (MessageKind::RequestVote, MessageType::MsgRequestVote),
    (MessageKind::VoteAnswer, MessageType::MsgRequestVoteResponse),
    (MessageKind::RequestPreVote, MessageType::MsgRequestPreVote),
    (MessageKind::PreVoteAnswer, MessageType::MsgRequestPreVoteResponse),
    (MessageKind::Heartbeat, MessageType::MsgHeartbeat),
    (MessageKind::HeartbeatAnswer, MessageType::MsgHeartbeatResponse),
    (MessageKind::TimeoutNow, MessageType::MsgTimeoutNow),
    (MessageKind::Manifest, MessageType::MsgSnapshot),
];

pub(super) fn message_to_raft(message: Message) -> eraftpb::Message {
    let mut out = eraftpb::Message::default();
    let kind = KINDS.iter().find(|(ours, _)| *ours == message.kind).expect("KINDS lists every kind");
    out.set_msg_type(kind.1);
    out.from = message.from.0;
    out.to = message.to.0;
    out.term = message.term.0;
    out.log_term = message.log_term.0;
    out.index = message.index.0;
    out.commit = message.commit.0;
    out.commit_term = message.commit_term.0;
    out.reject = message.reject;
    out.reject_hint = message.reject_hint.0;
    out.context = message.context;
    out.entries = message.entries.into_iter().map(entry_to_raft).collect();
    if let Some(manifest) = &message.manifest {
        out.set_snapshot(snapshot_of(manifest));
    }
    out
}

/// `None` for a kind that does not travel.
pub(super) fn message_from_raft(mut message: eraftpb::Message) -> Option<Message> {
    let kind = KINDS.iter().find(|(_, theirs)| *theirs == message.get_msg_type())?.0;
    let manifest = (kind == MessageKind::Manifest).then(|| manifest_of(message.get_snapshot()));
    Some(Message {
        kind,
        from: ReplicaId(message.from),
        to: ReplicaId(message.to),
        term: Term(message.term),
        log_term: Term(message.log_term),
        index: Index(message.index),
        commit: Index(message.commit),
        commit_term: Term(message.commit_term),
        reject: message.reject,
        reject_hint: Index(message.reject_hint),
        entries: message.take_entries().into_iter().map(entry_from_raft).collect(),
        context: message.context,
        manifest,
    })
}
