//! What a group wants done: written, sent at once, sent after the write.
//!
//! Writes are asynchronous: several `Ready`s may be under way, and are durable in order. A leader's messages need
//! not wait for its own disk, a follower's answers do.

use raft::eraftpb::MessageType;
use raft::{SnapshotStatus, StateRole};

use super::convert::{conf_state_of, manifest_of, message_from_raft, replica_of};
use super::{Group, LogEntry, LogReader, Manifest, Message, MessageKind};
use crate::types::{Index, Term, Vote};

/// One round of effects. Before the next call on the group, `manifest` (it replaces the whole log), then `entries` (the
/// first may overlap: the log is cut back to it) must be written to the log, though not yet durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// For `on_persisted`, due for every `Ready` once what it carries is durable: at once if it carries nothing.
    pub number: u64,
    /// Present exactly when the term or the vote changed.
    pub vote: Option<Vote>,
    pub entries: Vec<LogEntry>,
    pub send_now: Vec<Message>,
    /// To be sent after `vote`, `manifest`, `entries` and those of every earlier `Ready` are durable.
    pub send_after_persist: Vec<Message>,
    pub manifest: Option<Manifest>,
}

/// What has been handed over, and how far it is durable.
pub(super) struct Outbox {
    message_bytes_max: u64,
    vote: (u64, u64),
    /// The latest `Ready` that carried something to persist, a vote, and entries or a manifest; and the latest that
    /// is durable.
    written: u64,
    vote_written: u64,
    log_written: u64,
    durable: u64,
    /// Where the log must end at the next call.
    handed: Option<Index>,
    /// A manifest under way, and the `Ready` it went out in.
    manifest: Option<(u64, Index)>,
    /// What the owner has applied; raft learns of it as far as it is durable here.
    applied: Index,
}

impl Outbox {
    pub(super) fn new(vote: (u64, u64), applied: Index, message_bytes_max: u64) -> Self {
        Self {
            message_bytes_max,
            vote,
            written: 0,
            vote_written: 0,
            log_written: 0,
            durable: 0,
            handed: None,
            manifest: None,
            applied,
        }
    }

    pub(super) fn is_log_durable(&self) -> bool {
        self.log_written <= self.durable
    }

    pub(super) fn take_handed(&mut self) -> Option<Index> {
        self.handed.take()
    }
}

impl<L: LogReader> Group<L> {
    pub fn has_ready(&self) -> bool {
        self.failure.is_none() && self.raw.has_ready()
    }

    /// Everything that is to be done now, or `None`.
    pub fn take_ready(&mut self) -> Option<Ready> {
        if self.settle().is_err() || !self.raw.has_ready() {
            return None;
        }
        self.raw.store().set_making_ready(true);
        let mut raw_ready = self.raw.ready();
        self.raw.store().set_making_ready(false);

        let mut ready = Ready { number: raw_ready.number(), ..Ready::default() };
        ready.vote = self.changed_vote();
        if !raw_ready.snapshot().is_empty() {
            let manifest = manifest_of(raw_ready.snapshot());
            self.membership_index = manifest.membership_index;
            self.outbox.manifest = Some((ready.number, manifest.index));
            self.outbox.handed = Some(manifest.index);
            ready.manifest = Some(manifest);
        }
        ready.entries = raw_ready.take_entries().into_iter().map(super::convert::entry_from_raft).collect();
        if let Some(last) = ready.entries.last() {
            self.outbox.handed = Some(last.index);
        }
        let mut messages = raw_ready.take_messages();
        messages.extend(raw_ready.take_persisted_messages());
        self.raw.advance_append_async(raw_ready);
        let messages = self.outgoing(messages);
        self.place(&mut ready, messages);
        Some(ready)
    }

    fn changed_vote(&mut self) -> Option<Vote> {
        let raft = &self.raw.raft;
        let vote = (raft.term, raft.vote);
        if vote == self.outbox.vote {
            return None;
        }
        self.outbox.vote = vote;
        // Never further than our own log is durable: after a crash, `open` would take a shorter log for a loss.
        let committed = raft.raft_log.committed.min(raft.raft_log.persisted);
        Some(Vote { term: Term(vote.0), voted_for: replica_of(vote.1), committed: Index(committed) })
    }

    /// Decides which messages wait. A leader's go at once, unless its own vote for this term is not durable yet (a
    /// lone voter leads before anything was written). A follower's wait unless there is nothing to wait for.
    fn place(&mut self, ready: &mut Ready, messages: Vec<Message>) {
        let outbox = &mut self.outbox;
        if ready.vote.is_some() {
            outbox.vote_written = ready.number;
        }
        if ready.manifest.is_some() || !ready.entries.is_empty() {
            outbox.log_written = ready.number;
        }
        outbox.written = outbox.vote_written.max(outbox.log_written);
        let all_durable = outbox.written <= outbox.durable;
        let leads = self.raw.raft.state == StateRole::Leader && outbox.vote_written <= outbox.durable;
        if all_durable {
            outbox.durable = ready.number;
            self.raw.on_persist_ready(ready.number);
        }
        *(if all_durable || leads { &mut ready.send_now } else { &mut ready.send_after_persist }) = messages;
    }

    fn outgoing(&mut self, messages: Vec<raft::eraftpb::Message>) -> Vec<Message> {
        let mut out = Vec::with_capacity(messages.len());
        for mut message in messages {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                // raft sends nothing more until told of the snapshot's fate. Ours is small and may be lost: taken for
                // received, a later probe finds out, and a lost one is sent again.
                self.raw.report_snapshot(message.to, SnapshotStatus::Finish);
                let current = self.status().membership;
                message.mut_snapshot().mut_metadata().set_conf_state(conf_state_of(&current));
            }
            let Some(mut message) = message_from_raft(message) else { continue };
            if let Some(manifest) = &mut message.manifest {
                manifest.membership_index = self.membership_index.max(manifest.membership_index);
            }
            if message.kind == MessageKind::Heartbeat {
                // So that a replica whose disk is an older one finds out before it takes its own entry for committed.
                message.commit_term = self.term_of(message.commit).unwrap_or_default();
            }
            split_append(message, self.outbox.message_bytes_max, &mut out);
        }
        out
    }

    /// What `Ready` `number`, and every one before it, carried is durable.
    pub fn on_persisted(&mut self, number: u64) {
        if self.settle().is_err() {
            return;
        }
        self.outbox.durable = self.outbox.durable.max(number);
        self.raw.on_persist_ready(number);
        if let Some((_, index)) = self.outbox.manifest.take_if(|(carrier, _)| *carrier <= number) {
            self.outbox.applied = self.outbox.applied.max(index);
        }
        self.apply_durable();
        let _ = self.note_failure();
    }

    /// The owner has applied committed entries up to `index`. raft is told once they are durable here too.
    pub fn on_applied(&mut self, index: Index) {
        if self.settle().is_err() {
            return;
        }
        self.outbox.applied = self.outbox.applied.max(index);
        self.apply_durable();
        let _ = self.note_failure();
    }

    fn apply_durable(&mut self) {
        let log = &self.raw.raft.raft_log;
        let applied = self.outbox.applied.0.min(log.committed).min(log.persisted);
        if applied > log.applied {
            self.raw.advance_apply_to(applied);
        }
    }
}

/// `batch_append` joins appends without a bound; this puts the bound back. Each part follows on the one before.
fn split_append(mut message: Message, bytes_max: u64, out: &mut Vec<Message>) {
    if message.kind != MessageKind::Append || message.entries.len() < 2 {
        out.push(message);
        return;
    }
    let entries = std::mem::take(&mut message.entries);
    let mut bytes = 0;
    for entry in entries {
        let entry_bytes = (entry.context.len() + entry.data.len()) as u64;
        if bytes + entry_bytes > bytes_max && !message.entries.is_empty() {
            out.push(message.clone());
            let sent = message.entries.pop().expect("checked just before");
            (message.index, message.log_term) = (sent.index, sent.term);
            message.entries.clear();
            bytes = 0;
        }
        bytes += entry_bytes;
        message.entries.push(entry);
    }
    out.push(message);
}
