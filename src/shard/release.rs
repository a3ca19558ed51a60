//! The one queue between the log and everybody who may see it (TIME.md, rule 2; DESIGN.md, idea 3).
//!
//! Entries enter in log order, and leave in log order once they are committed and `now.earliest` is past
//! their last timestamp. Two cursors, committed and past, each only move forward; released is the smaller.
//! Knows nothing of why a clock is trusted: the caller does not ask with a reading that is not.

use std::collections::VecDeque;
use std::mem;

use crate::clock::Reading;
use crate::simulation::{Bug, Limit, is_planted, limit};
use crate::types::{Index, Monotonic, Offset, Receipt, StageTimes, Timestamp, Wait};

/// Above this many unreleased entries the queue is thinned.
const ENTRIES_MAX: u64 = 4096;

/// Entry and record position together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub index: Index,
    /// The offset of the first record after the entry.
    pub next_offset: Offset,
}

/// A request that waits for an entry to be released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) ticket: u64,
    pub(super) wait: Wait,
    /// The answer, but for its times.
    pub(super) receipt: Receipt,
    /// Set for the request that put the entry there; a duplicate's receipt tells no times.
    pub(super) timeline: Option<Timeline>,
}

/// When an entry passed the stages that its release does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    pub(super) arrived: Monotonic,
    pub(super) stamped: Monotonic,
    pub(super) synced: Option<Monotonic>,
}

/// An entry that is not released yet.
#[derive(Debug)]
pub(super) struct Unreleased {
    pub(super) position: Position,
    pub(super) last_timestamp: Timestamp,
    /// The first index kept once this is released, if it is a trim; 0 if not.
    pub(super) start: Index,
    pub(super) is_membership: bool,
    pub(super) committed_at: Option<Monotonic>,
    pub(super) waiters: Vec<Waiter>,
}

/// Where the log begins for everybody: at the first index that the released trims keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) index: Index,
    /// The entry that said so.
    pub(super) by: Index,
}

/// An answered request: its ticket and receipt.
pub(super) type Released = (u64, Receipt);

/// The queue with its cursors.
#[derive(Debug)]
pub(super) struct ReleaseQueue {
    entries: VecDeque<Unreleased>,
    committed: Position,
    released: Position,
    released_timestamp: Timestamp,
    start: Start,
    tickets: usize,
    /// Up to here, nobody waits any more who asked for commitment alone.
    hasty_answered: Index,
}

impl ReleaseQueue {
    /// Starts where `released` was already visible to all.
    pub(super) fn new(released: Position, released_timestamp: Timestamp) -> Self {
        let entries = VecDeque::new();
        let (start, hasty_answered) = (Start::default(), released.index);
        Self { entries, committed: released, released, released_timestamp, start, tickets: 0, hasty_answered }
    }

    pub(super) fn push(&mut self, entry: Unreleased) {
        let last = self.entries.back().map_or(self.released, |last| last.position);
        assert!(entry.position.index > last.index, "entries enter the queue in log order");
        self.entries.push_back(entry);
    }

    /// Lets a request wait until everything up to `index` is released.
    pub(super) fn wait(&mut self, index: Index, waiter: Waiter) {
        let at = self.entries.partition_point(|entry| entry.position.index < index);
        let entry = self.entries.get_mut(at).expect("what is not released stands in the queue");
        entry.waiters.push(waiter);
        self.tickets += 1;
    }

    /// The own disk holds everything up to `index`.
    pub(super) fn note_synced(&mut self, index: Index, now: Monotonic) {
        for entry in self.entries.iter_mut().take_while(|entry| entry.position.index <= index) {
            for timeline in entry.waiters.iter_mut().filter_map(|waiter| waiter.timeline.as_mut()) {
                timeline.synced.get_or_insert(now);
            }
        }
    }

    /// Moves the committed cursor to `index`, telling of each entry it passes.
    pub(super) fn commit(&mut self, index: Index, now: Monotonic, mut passed: impl FnMut(&Unreleased)) {
        let from = self.entries.partition_point(|entry| entry.position.index <= self.committed.index);
        for entry in self.entries.range_mut(from..).take_while(|entry| entry.position.index <= index) {
            entry.committed_at = Some(now);
            self.committed = entry.position;
            passed(entry);
        }
        if self.entries.len() as u64 > limit(Limit::ReleaseQueueEntries, ENTRIES_MAX) {
            self.thin();
        }
    }

    /// Drops every other committed entry that nobody waits for: it is released with the one after it. So a
    /// replica whose clock is not trusted for hours does not collect entries without end.
    fn thin(&mut self) {
        let (committed, mut drop_next, mut start) = (self.committed.index, false, Index(0));
        self.entries.retain_mut(|entry| {
            drop_next = !drop_next;
            entry.start = entry.start.max(start);
            let stays = entry.position.index >= committed || !entry.waiters.is_empty() || drop_next;
            start = if stays { Index(0) } else { entry.start };
            stays
        });
    }

    /// Releases what is committed and past, oldest first; `now` is a trusted clock's.
    pub(super) fn release(&mut self, now: &Reading, mut answer: impl FnMut(Released)) {
        self.answer_committed(now, &mut answer);
        while let Some(entry) = self.entries.front() {
            let committed = entry.position.index <= self.committed.index;
            if !committed || now.past <= entry.last_timestamp {
                return;
            }
            let Some(entry) = self.entries.pop_front() else { return };
            self.released = entry.position;
            self.released_timestamp = entry.last_timestamp;
            if entry.start > self.start.index {
                self.start = Start { index: entry.start, by: entry.position.index };
            }
            let committed_at = entry.committed_at.unwrap_or(now.monotonic);
            for waiter in entry.waiters {
                self.tickets -= 1;
                answer((waiter.ticket, waiter.receipt_after(committed_at, now.monotonic)));
            }
        }
    }

    /// Answers those who asked for no more than that their entry is committed. They alone learn its timestamp before it has
    /// passed.
    fn answer_committed(&mut self, now: &Reading, answer: &mut impl FnMut(Released)) {
        let (from, to) = (self.hasty_answered, self.committed.index);
        self.hasty_answered = to;
        let from = self.entries.partition_point(|entry| entry.position.index <= from);
        let is_due = |waiter: &mut Waiter| waiter.wait == Wait::Committed || is_planted(Bug::AckBeforeWait);
        for entry in self.entries.range_mut(from..).take_while(|entry| entry.position.index <= to) {
            let committed_at = entry.committed_at.unwrap_or(now.monotonic);
            for waiter in entry.waiters.extract_if(.., is_due) {
                self.tickets -= 1;
                answer((waiter.ticket, waiter.receipt_after(committed_at, now.monotonic)));
            }
        }
    }

    /// Takes out the entries from `index` on, which another leader's overwrite; gives their tickets.
    pub(super) fn truncate(&mut self, index: Index) -> Vec<u64> {
        assert!(index > self.committed.index, "what is committed is never overwritten");
        let from = self.entries.partition_point(|entry| entry.position.index < index);
        let waiters = self.entries.drain(from..).flat_map(|entry| entry.waiters);
        let tickets: Vec<u64> = waiters.map(|waiter| waiter.ticket).collect();
        self.tickets -= tickets.len();
        tickets
    }

    /// Goes on from `entry`, which is committed and stands for all before it; gives the tickets of what waited. What
    /// is released stays so, and `entry` waits for its time.
    pub(super) fn reset(&mut self, entry: Unreleased) -> Vec<u64> {
        assert!(entry.position.index > self.committed.index, "a reset leads forward");
        let tickets = self.abandon_all();
        self.entries.clear();
        self.committed = entry.position;
        self.entries.push_back(entry);
        tickets
    }

    /// Gives up the requests that wait for entries not committed yet; the entries stay.
    pub(super) fn abandon_uncommitted(&mut self) -> Vec<u64> {
        self.abandon_above(self.committed.index)
    }

    /// Gives up every request.
    pub(super) fn abandon_all(&mut self) -> Vec<u64> {
        self.abandon_above(Index(0))
    }

    fn abandon_above(&mut self, index: Index) -> Vec<u64> {
        let from = self.entries.partition_point(|entry| entry.position.index <= index);
        let waiters = self.entries.range_mut(from..).flat_map(|entry| mem::take(&mut entry.waiters));
        let tickets: Vec<u64> = waiters.map(|waiter| waiter.ticket).collect();
        self.tickets -= tickets.len();
        tickets
    }

    /// What `earliest` must pass for the next release; `None` if commitment is what is missing.
    pub(super) fn wake_after(&self) -> Option<Timestamp> {
        let entry = self.entries.front()?;
        (entry.position.index <= self.committed.index).then_some(entry.last_timestamp)
    }

    pub(super) fn committed(&self) -> Position {
        self.committed
    }

    pub(super) fn released(&self) -> Position {
        self.released
    }

    /// The last timestamp of what is released.
    pub(super) fn released_timestamp(&self) -> Timestamp {
        self.released_timestamp
    }

    pub(super) fn start(&self) -> Start {
        self.start
    }

    /// Requests that wait.
    pub(super) fn tickets(&self) -> usize {
        self.tickets
    }
}

impl Waiter {
    fn receipt_after(&self, committed: Monotonic, released: Monotonic) -> Receipt {
        let wait = self.timeline.map(|timeline| StageTimes {
            queue: timeline.stamped.since(timeline.arrived),
            // The quorum may do without the leader's own disk; then the sync took at least this long.
            sync: timeline.synced.unwrap_or(released).since(timeline.stamped),
            replication: committed.since(timeline.stamped),
            commit_wait: released.since(committed),
        });
        Receipt { wait: wait.unwrap_or_default(), ..self.receipt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::test_time::at;

    fn entry(index: u64) -> Unreleased {
        Unreleased {
            position: Position { index: Index(index), next_offset: Offset(index) },
            last_timestamp: Timestamp(1_000_000 + index),
            start: Index(0),
            is_membership: false,
            committed_at: None,
            waiters: Vec::new(),
        }
    }

    #[test]
    fn the_queue_stays_bounded_while_nothing_may_be_released_and_loses_nothing() {
        let mut queue = ReleaseQueue::new(Position::default(), Timestamp::ZERO);
        let many = 10 * ENTRIES_MAX;
        for index in 1..=many {
            queue.push(entry(index));
            queue.commit(Index(index), Monotonic(0), |_| ());
            assert!(queue.entries.len() as u64 <= ENTRIES_MAX + 1);
        }
        assert_eq!(queue.committed().index, Index(many));
        queue.release(&at(10_000_000), |_| ());
        assert_eq!((queue.released().index, queue.entries.len()), (Index(many), 0));
    }

    #[test]
    fn a_committed_entry_waits_for_the_clock_and_a_past_one_for_commitment() {
        let mut queue = ReleaseQueue::new(Position::default(), Timestamp::ZERO);
        queue.push(entry(1));
        queue.push(entry(2));
        queue.commit(Index(1), Monotonic(0), |_| ());
        assert_eq!(queue.wake_after(), Some(Timestamp(1_000_001)));
        queue.release(&at(1_000_001), |_| ());
        assert_eq!(queue.released().index, Index(0));
        queue.release(&at(10_000_000), |_| ());
        assert_eq!((queue.released().index, queue.wake_after()), (Index(1), None));
    }

    #[test]
    fn a_trim_takes_effect_when_it_is_released_even_if_its_entry_was_thinned_out() {
        let mut queue = ReleaseQueue::new(Position::default(), Timestamp::ZERO);
        let many = 3 * ENTRIES_MAX;
        for index in 1..=many {
            queue.push(Unreleased {
                start: Index(if index % 7 == 0 { index - 5 } else { 0 }),
                ..entry(index)
            });
            queue.commit(Index(index), Monotonic(0), |_| ());
        }
        assert_eq!(queue.start().index, Index(0), "committed is not enough");
        queue.release(&at(10_000_000), |_| ());
        let last = many - many % 7;
        assert_eq!(queue.start().index, Index(last - 5));
        assert!(queue.start().by >= Index(last));
    }
}
