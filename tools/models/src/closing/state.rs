//! The replicas, what is under way between them, and true time.

use timberline::types::{Index, Term, Timestamp};

use crate::raft;

/// A replica's place in `State::replicas`, until the next step.
pub(super) type Place = usize;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) now: Timestamp,
    /// Sorted after each step: nothing depends on a replica's name.
    pub(super) replicas: Vec<Replica>,
    /// The newest term that has a leader.
    pub(super) newest: Term,
    /// In the order they were made; whoever finds one here was sent it.
    pub(super) promises: Vec<Promise>,
    pub(super) read: Option<Read>,
    pub(super) appends: usize,
    pub(super) restarts: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Replica {
    pub(super) term: Term,
    /// The term on its disk.
    pub(super) durable: Term,
    pub(super) log: Vec<Entry>,
    pub(super) committed: Index,
    pub(super) max_promised: Timestamp,
    pub(super) forgotten: bool,
    pub(super) reign: Option<Reign>,
    /// The promises it told their leaders it accepted, one bit each.
    pub(super) accepted: u8,
    /// What it told new leaders, sorted.
    pub(super) answers: Vec<FloorAnswer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reign {
    /// Waits for a quorum's answers; the largest so far, its own included.
    Asking { floor: Timestamp },
    /// Assigns and promises above `last`.
    Open { last: Timestamp },
}

/// `records` of them, the last one stamped `last`; a leader-start frame has none and repeats the last before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) term: Term,
    pub(super) last: Timestamp,
    pub(super) records: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Promise {
    pub(super) term: Term,
    pub(super) closed: Timestamp,
    pub(super) index: Index,
    pub(super) published: bool,
}

/// A replica's, for the leader of `term`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FloorAnswer {
    pub(super) term: Term,
    pub(super) max_promised: Timestamp,
    pub(super) forgotten: bool,
    /// It reached that leader.
    pub(super) taken: bool,
}

/// What somebody read at one time: so many records, and these are all, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Read {
    pub(super) at: Timestamp,
    pub(super) records: u64,
}

impl raft::Entry for Entry {
    fn term(&self) -> Term {
        self.term
    }
}

impl Entry {
    pub(super) fn first(self) -> Timestamp {
        self.last.minus_ns(self.records.saturating_sub(1))
    }

    /// How many of its records are stamped up to `at`.
    fn records_up_to(self, at: Timestamp) -> u64 {
        (at.0 + 1).saturating_sub(self.first().0).min(self.records)
    }
}

pub(super) fn records_up_to(entries: &[Entry], at: Timestamp) -> u64 {
    entries.iter().map(|entry| entry.records_up_to(at)).sum()
}

impl Replica {
    pub(super) fn committed(&self) -> &[Entry] {
        &self.log[..self.committed.0 as usize]
    }

    /// What anybody may see of it at a clock that shows `earliest`.
    pub(super) fn released(&self, earliest: Timestamp) -> &[Entry] {
        let committed = self.committed();
        let past = committed.iter().take_while(|entry| entry.last < earliest).count();
        &committed[..past]
    }

    pub(super) fn end(&self) -> Index {
        Index(self.log.len() as u64)
    }

    pub(super) fn last_timestamp(&self) -> Timestamp {
        self.log.last().map_or(Timestamp::ZERO, |entry| entry.last)
    }

    pub(super) fn adopt(&mut self, term: Term) {
        if term > self.term {
            self.term = term;
            self.reign = None;
        }
    }

    /// It knows an entry of its own term committed.
    pub(super) fn has_committed_in_term(&self) -> bool {
        self.committed().last().is_some_and(|entry| entry.term == self.term)
    }
}

impl State {
    pub(super) fn initial(now: Timestamp, replicas: usize) -> Self {
        let first = Term(1);
        let follower = Replica {
            term: first,
            durable: first,
            log: vec![Entry { term: first, last: Timestamp::ZERO, records: 0 }],
            committed: Index(1),
            max_promised: Timestamp::ZERO,
            forgotten: false,
            reign: None,
            accepted: 0,
            answers: Vec::new(),
        };
        let mut replicas = vec![follower; replicas];
        replicas[0].reign = Some(Reign::Open { last: Timestamp::ZERO });
        Self { now, replicas, newest: first, promises: Vec::new(), read: None, appends: 0, restarts: 0 }
    }

    /// The leader of a term, if it still leads.
    pub(super) fn leader(&self, term: Term) -> Option<Place> {
        self.replicas.iter().position(|replica| replica.term == term && replica.reign.is_some())
    }

    /// Drops what nobody waits for any more: floor answers, acceptances, and after the last floor every memory of
    /// promises.
    pub(super) fn drop_what_is_dead(&mut self, is_last_term: bool) {
        let is_asking = |replica: &&Replica| matches!(replica.reign, Some(Reign::Asking { .. }));
        let asking: Vec<Term> = self.replicas.iter().filter(is_asking).map(|replica| replica.term).collect();
        let is_open = |promise: &Promise| !promise.published && self.leader(promise.term).is_some();
        let open = self.promises.iter().enumerate().filter(|(_, promise)| is_open(promise));
        let open = open.fold(0, |open, (n, _)| open | 1 << n);
        for replica in &mut self.replicas {
            replica.answers.retain(|answer| asking.contains(&answer.term));
            replica.accepted &= open;
            if is_last_term && asking.is_empty() {
                replica.max_promised = Timestamp::ZERO;
                replica.forgotten = false;
            }
        }
    }

    /// I2.
    pub(super) fn timestamps_rise(&self) -> bool {
        let rises = |pair: &[Entry]| match pair[1].records {
            0 => pair[1].last == pair[0].last,
            _ => pair[1].first() > pair[0].last,
        };
        self.replicas.iter().all(|replica| replica.log.windows(2).all(rises))
    }

    /// I5.
    pub(super) fn published_is_true(&self) -> bool {
        self.promises.iter().filter(|promise| promise.published).all(|promise| {
            self.replicas.iter().all(|replica| {
                let above = replica.committed().iter().skip(promise.index.0 as usize);
                above.filter(|entry| entry.records > 0).all(|entry| entry.first() > promise.closed)
            })
        })
    }

    /// I6 of one shard.
    pub(super) fn read_is_final(&self) -> bool {
        self.read.is_none_or(|read| {
            let found = |replica: &Replica| records_up_to(replica.committed(), read.at);
            self.replicas.iter().all(|replica| found(replica) <= read.records)
        })
    }
}
