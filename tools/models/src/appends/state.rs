//! Replicas with their logs and waiting requests, and a producer with what it knows of its batches.

use timberline::types::{Index, Term};

use crate::raft;

/// A replica's place in `State::replicas`, until the next step.
pub(super) type Place = usize;

/// A batch's place in `State::batches`, which it keeps.
pub(super) type Sequence = usize;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Sorted after each step: nothing depends on a replica's name.
    pub(super) replicas: Vec<Replica>,
    /// The newest term that has a leader.
    pub(super) newest: Term,
    pub(super) batches: Vec<Batch>,
    /// Under way, sorted.
    pub(super) requests: Vec<Request>,
    pub(super) restarts: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Replica {
    /// On its disk at once.
    pub(super) term: Term,
    pub(super) leads: bool,
    pub(super) log: Vec<Entry>,
    /// How much of the log a power cut leaves.
    pub(super) synced: Index,
    pub(super) committed: Index,
    /// Sorted.
    pub(super) tickets: Vec<Ticket>,
}

/// A batch, or a leader-start frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) term: Term,
    pub(super) batch: Option<Sequence>,
}

/// A request that waits for the entry of `term` at `index`; its producer waits too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) batch: Sequence,
    pub(super) index: Index,
    pub(super) term: Term,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Request {
    pub(super) batch: Sequence,
    /// Its producer still waits for this very attempt.
    pub(super) awaited: bool,
}

/// What the producer knows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub(super) attempts: usize,
    /// The last attempt is not answered.
    pub(super) awaited: bool,
    /// An earlier attempt may have been applied.
    pub(super) ambiguous: bool,
    pub(super) outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Acknowledged { index: Index, term: Term },
    Failed,
    Unknown,
}

/// What a leader says to one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Acknowledged { index: Index, term: Term },
    Failed,
    Unknown,
}

impl raft::Entry for Entry {
    fn term(&self) -> Term {
        self.term
    }
}

impl Replica {
    pub(super) fn end(&self) -> Index {
        Index(self.log.len() as u64)
    }

    pub(super) fn committed(&self) -> &[Entry] {
        &self.log[..self.committed.0 as usize]
    }

    pub(super) fn entry(&self, index: Index) -> Option<&Entry> {
        self.log.get(index.before().0 as usize)
    }

    pub(super) fn adopt(&mut self, term: Term) {
        if term > self.term {
            self.term = term;
            self.leads = false;
        }
    }

    fn holds_committed(&self, batch: Sequence) -> usize {
        self.committed().iter().filter(|entry| entry.batch == Some(batch)).count()
    }
}

impl State {
    pub(super) fn initial(replicas: usize) -> Self {
        let (term, start) = (Term(1), Index(0));
        let follower = Replica {
            term,
            leads: false,
            log: Vec::new(),
            synced: start,
            committed: start,
            tickets: Vec::new(),
        };
        let mut replicas = vec![follower; replicas];
        replicas[0].leads = true;
        Self { replicas, newest: term, batches: Vec::new(), requests: Vec::new(), restarts: 0 }
    }

    /// The producer takes an answer to the attempt it waits for.
    pub(super) fn answer(&mut self, batch: Sequence, answer: Answer) {
        let batch = &mut self.batches[batch];
        batch.awaited = false;
        match answer {
            Answer::Acknowledged { index, term } => {
                batch.outcome = Some(Outcome::Acknowledged { index, term });
            }
            Answer::Failed => {}
            Answer::Unknown => batch.ambiguous = true,
        }
    }

    fn outcomes(&self) -> impl Iterator<Item = (Sequence, Outcome)> {
        self.batches.iter().enumerate().filter_map(|(n, batch)| Some((n, batch.outcome?)))
    }

    pub(super) fn nothing_acknowledged_is_lost(&self) -> bool {
        self.outcomes().all(|(batch, outcome)| {
            let Outcome::Acknowledged { index, term } = outcome else { return true };
            let mut settled = self.replicas.iter().filter(|replica| replica.committed >= index);
            settled.all(|replica| replica.entry(index) == Some(&Entry { term, batch: Some(batch) }))
        })
    }

    pub(super) fn nothing_stands_twice(&self) -> bool {
        let mut pairs =
            self.replicas.iter().flat_map(|replica| (0..self.batches.len()).map(move |n| (replica, n)));
        pairs.all(|(replica, batch)| replica.holds_committed(batch) <= 1)
    }

    pub(super) fn nothing_failed_turns_up(&self) -> bool {
        let mut failed = self.outcomes().filter(|(_, outcome)| *outcome == Outcome::Failed);
        failed.all(|(batch, _)| self.replicas.iter().all(|replica| replica.holds_committed(batch) == 0))
    }

    pub(super) fn replicas_agree(&self) -> bool {
        let longest = self.replicas.iter().map(Replica::committed).max_by_key(|committed| committed.len());
        longest.is_none_or(|longest| {
            self.replicas.iter().all(|replica| longest.starts_with(replica.committed()))
        })
    }

    /// A batch whose producer gave it up, and which stands in the log all the same.
    pub(super) fn something_unknown_turned_up(&self) -> bool {
        let mut unknown = self.outcomes().filter(|(_, outcome)| *outcome == Outcome::Unknown);
        unknown.any(|(batch, _)| self.replicas.iter().any(|replica| replica.holds_committed(batch) == 1))
    }
}
