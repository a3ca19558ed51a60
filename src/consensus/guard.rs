//! Judges what comes in before raft sees it.
//!
//! raft trusts its peers and its own memory, and panics where either fails. Each check below stands in front of one
//! such place, or of arithmetic that would overflow.

use raft::StateRole;

use super::group::Group;
use super::reader::LogReader;
use super::{Error, Manifest, Message, MessageKind};
use crate::types::{Index, Membership, ReplicaId, Term};

/// No term or position of a real log comes near; above it, raft's additions could overflow.
const NUMBER_MAX: u64 = u64::MAX >> 1;

/// Checks what a message says by itself.
fn check_message(message: &Message, me: ReplicaId) -> Result<(), &'static str> {
    let numbers = [
        message.term.0,
        message.log_term.0,
        message.index.0,
        message.commit.0,
        message.commit_term.0,
        message.reject_hint.0,
    ];
    if message.to != me {
        return Err("it is addressed to another replica");
    }
    if message.from == me || message.from.0 == 0 {
        return Err("no peer can have sent it");
    }
    // raft takes a message without a term for one of its own.
    if message.term.0 == 0 {
        return Err("it has no term");
    }
    if numbers.iter().any(|number| *number > NUMBER_MAX) {
        return Err("a number in it is out of range");
    }
    if message.kind != MessageKind::Append && !message.entries.is_empty() {
        return Err("only an append carries entries");
    }
    match (&message.manifest, message.kind == MessageKind::Manifest) {
        (None, false) => check_entries(message),
        (Some(manifest), true) => check_manifest(manifest, message.term),
        _ => Err("a manifest travels in a message of that kind, and in no other"),
    }
}

/// Entries follow on `index` without a gap, and their terms never fall.
fn check_entries(message: &Message) -> Result<(), &'static str> {
    // To raft, 0 is also the term of what it does not have: such an entry would match past the log's end.
    if message.kind == MessageKind::Append && message.log_term.0 == 0 && message.index.0 != 0 {
        return Err("the entry before its entries has no term");
    }
    let mut before = (message.index, message.log_term);
    for entry in &message.entries {
        if entry.index != before.0.plus(1) {
            return Err("its entries do not follow on each other");
        }
        if entry.term.0 == 0 || entry.term < before.1 || entry.term > message.term {
            return Err("the terms of its entries are out of order");
        }
        before = (entry.index, entry.term);
    }
    Ok(())
}

fn check_manifest(manifest: &Manifest, term: Term) -> Result<(), &'static str> {
    if manifest.index.0 == 0 || manifest.index.0 > NUMBER_MAX || manifest.membership_index.0 > NUMBER_MAX {
        return Err("its manifest's index is out of range");
    }
    if manifest.term.0 == 0 || manifest.term > term {
        return Err("its manifest's term is out of range");
    }
    check_membership(&manifest.membership)
}

/// What raft insists on in a configuration that it restores.
pub(super) fn check_membership(membership: &Membership) -> Result<(), &'static str> {
    let Membership { voters, learners, outgoing } = membership;
    if voters.is_empty() {
        return Err("the membership has no voter");
    }
    for replicas in [voters, learners, outgoing] {
        let mut sorted = replicas.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != replicas.len() || sorted.first() == Some(&ReplicaId(0)) {
            return Err("the membership names a replica twice, or replica 0");
        }
    }
    if learners.iter().any(|learner| voters.contains(learner)) {
        return Err("the membership has a replica as voter and as learner");
    }
    Ok(())
}

impl<L: LogReader> Group<L> {
    pub(super) fn check_step(&self, message: &Message) -> Result<(), Error> {
        let (from, kind) = (message.from, message.kind);
        check_message(message, self.replica).map_err(|reason| Error::InvalidMessage {
            from,
            kind,
            reason,
        })?;
        let raft = &self.raw.raft;
        let is_answer = matches!(
            kind,
            MessageKind::AppendAnswer
                | MessageKind::HeartbeatAnswer
                | MessageKind::VoteAnswer
                | MessageKind::PreVoteAnswer
        );
        if is_answer && raft.prs().get(from.0).is_none() {
            return Err(Error::UnknownPeer { from });
        }
        self.check_memory(message)
    }

    /// A leader's heartbeat says at most what this replica itself acknowledged; an answer to a leader acknowledges
    /// at most what the leader had. Where our log ends before that, or has another entry there, it has lost something.
    fn check_memory(&self, message: &Message) -> Result<(), Error> {
        let raft = &self.raw.raft;
        let leads = raft.state == StateRole::Leader;
        let needed = match message.kind {
            MessageKind::Heartbeat if message.term.0 > raft.term || message.term.0 == raft.term && !leads => {
                message.commit
            }
            MessageKind::AppendAnswer if message.term.0 == raft.term && leads && !message.reject => {
                message.index
            }
            _ => return Ok(()),
        };
        let last = Index(raft.raft_log.last_index());
        if needed > last {
            return Err(Error::Forgotten { needed, last });
        }
        // Only a heartbeat tells the term. Where the log begins later than that, there is nothing to compare.
        let (expected, found) = (message.commit_term, self.term_of(needed));
        match found.filter(|_| message.kind == MessageKind::Heartbeat && expected.0 > 0) {
            Some(found) if found != expected => Err(Error::Diverged { index: needed, expected, found }),
            _ => Ok(()),
        }
    }

    /// The term of an entry that this log holds.
    pub(super) fn term_of(&self, index: Index) -> Option<Term> {
        self.raw.raft.raft_log.term(index.0).ok().map(Term).filter(|term| term.0 > 0)
    }
}
