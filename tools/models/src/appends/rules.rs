//! What a leader makes of a request and tells its producer, and what each mutant makes of it.

use timberline::types::{Index, Term};

use super::model::{Appends, Mutant};
use super::state::{Answer, Replica, Sequence, State, Ticket};
use crate::raft;

/// What a batch is to a leader's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Duplicate {
        index: Index,
        term: Term,
    },
    /// A later batch of its producer stands in the log, and it does not.
    TooOld,
}

impl Appends {
    pub(super) fn verdict(&self, leader: &Replica, batch: Sequence) -> Verdict {
        let remembers = |term: Term| term == leader.term || !self.is(Mutant::ForgetDuplicates);
        let known = leader.log.iter().enumerate().filter(|(_, entry)| remembers(entry.term));
        let mut batches = known.filter_map(|(at, entry)| Some((at, entry.term, entry.batch?)));
        let found = batches.clone().find(|(_, _, known)| *known == batch);
        match found {
            Some((at, term, _)) => Verdict::Duplicate { index: Index(at as u64 + 1), term },
            None if batches.any(|(_, _, known)| known > batch) => Verdict::TooOld,
            None => Verdict::New,
        }
    }

    /// The answer to a request whose entry's place is committed here.
    pub(super) fn settle(&self, replica: &Replica, ticket: Ticket) -> Option<Answer> {
        let Ticket { index, term, .. } = ticket;
        if replica.committed < index {
            return None;
        }
        let is_same = replica.entry(index).is_some_and(|entry| entry.term == term);
        let acknowledged = is_same || self.is(Mutant::AcknowledgeByIndex);
        Some(if acknowledged { Answer::Acknowledged { index, term } } else { Answer::Failed })
    }

    /// The answer to a request that waits on a replica that does not lead any more.
    pub(super) fn abandon(&self) -> Answer {
        if self.is(Mutant::LostIsFailed) { Answer::Failed } else { Answer::Unknown }
    }

    /// What is told at once of requests whose entries were overwritten here: nothing, another replica may hold them.
    pub(super) fn overwritten(&self) -> Option<Answer> {
        self.is(Mutant::OverwrittenIsFailed).then_some(Answer::Failed)
    }

    /// How far a leader's log is committed: a quorum has synced an entry of the leader's own term.
    pub(super) fn committed(&self, state: &State, leader: &Replica) -> Index {
        let followers = state.replicas.iter().filter(|replica| replica.term == leader.term);
        let held = followers.map(|replica| {
            let matched = raft::matched(&leader.log, &replica.log);
            let unsynced_counts = self.is(Mutant::AcknowledgeBeforeSync);
            if unsynced_counts { matched } else { matched.min(replica.synced.0 as usize) }
        });
        let by_quorum = Index(raft::held_by_quorum(held.collect(), state.replicas.len()) as u64);
        let own_term = leader.entry(by_quorum).is_some_and(|entry| entry.term == leader.term);
        if own_term { leader.committed.max(by_quorum) } else { leader.committed }
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
