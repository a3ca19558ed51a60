//! One shard's unanswered batches: which sequence each has, what was sent, what may have happened to it.
//!
//! Sans-IO: knows nothing of connections or clocks. Rules it keeps:
//!
//! - At most `in_flight_max` sequences lie between the lowest open batch and the newest, so that the shard
//!   still remembers every batch that may be sent again, and recognises it.
//! - Batches are sent in sequence order. After a refusal, a loss or a timeout all open ones are sent
//!   again in order; the shard drops what it already has.
//! - A batch ends as `NotApplied` only if every attempt of it was definitely refused; otherwise `Unknown`.
//! - A batch that ends without a receipt leaves a hole that the shard would refuse to skip (`SequenceGap`).
//!   So the window *drains*: it sends nothing until every attempt under way is answered or lost, ends
//!   the batches whose fate is unknown (sending them under a new identity could apply them twice), and
//!   goes on with the others under the next epoch, starting at its lowest open sequence. The new epoch
//!   also fences off attempts of the old one that are still under way somewhere.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::client::{Error, Outcome};
use crate::codec::EncodedBatch;

/// A closed batch, and who waits for it.
pub(super) struct Ready<T> {
    pub(super) batch: EncodedBatch,
    pub(super) deadline: Instant,
    pub(super) waiter: T,
}

/// Identifies one attempt at a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    pub(super) epoch: u32,
    pub(super) sequence: u64,
    /// Rises whenever everything open is sent again.
    pub(super) round: u64,
}

/// A batch to send now.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) attempt: Attempt,
    pub(super) lowest_open: u64,
    pub(super) batch: EncodedBatch,
}

/// A batch that ended without a receipt.
pub(super) struct Failed<T> {
    pub(super) waiter: T,
    pub(super) outcome: Outcome,
    pub(super) error: Error,
}

struct Open<T> {
    sequence: u64,
    ready: Ready<T>,
    /// Attempts whose answer is still to come.
    unanswered: u32,
    /// An attempt was lost, or answered with an unknown outcome.
    maybe_applied: bool,
    /// Set when the batch ended but waits for the window to drain: its fate is still open.
    last_error: Option<Error>,
}

impl<T> Open<T> {
    fn outcome(&self) -> Outcome {
        if self.maybe_applied || self.unanswered > 0 { Outcome::Unknown } else { Outcome::NotApplied }
    }
}

/// The window of one producer in one shard.
pub(super) struct Window<T> {
    in_flight_max: usize,
    epoch: u32,
    next_sequence: u64,
    open: VecDeque<Open<T>>,
    /// Closed batches that have no sequence yet.
    waiting: VecDeque<Ready<T>>,
    /// How many of `open` were sent in this round.
    sent: usize,
    round: u64,
    draining: bool,
}

impl<T> Window<T> {
    pub(super) fn new(epoch: u32, in_flight_max: usize) -> Self {
        Self {
            in_flight_max,
            epoch,
            next_sequence: 1,
            open: VecDeque::new(),
            waiting: VecDeque::new(),
            sent: 0,
            round: 0,
            draining: false,
        }
    }

    pub(super) fn push(&mut self, ready: Ready<T>) {
        self.waiting.push_back(ready);
    }

    /// Whether a batch pushed now could be sent at once.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty() && !self.draining && self.span() < self.in_flight_max as u64
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.waiting.is_empty()
    }

    /// Whether an answer is awaited.
    pub(super) fn awaits_answer(&self) -> bool {
        self.open.iter().any(|open| open.unanswered > 0)
    }

    /// Whether `next_sending` has something.
    pub(super) fn wants_to_send(&self) -> bool {
        !self.draining
            && (self.sent < self.open.len()
                || (!self.waiting.is_empty() && self.span() < self.in_flight_max as u64))
    }

    /// The earliest deadline of all batches.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.open.iter().map(|open| open.ready.deadline);
        open.chain(self.waiting.iter().map(|ready| ready.deadline)).min()
    }

    /// Who waits for a batch of this window.
    pub(super) fn waiters(&self) -> impl Iterator<Item = &T> {
        let open = self.open.iter().map(|open| &open.ready.waiter);
        open.chain(self.waiting.iter().map(|ready| &ready.waiter))
    }

    /// Whether an attempt is of a batch that is still open, under its present identity.
    pub(super) fn is_current(&self, attempt: Attempt) -> bool {
        self.find(attempt).is_some()
    }

    fn lowest_open(&self) -> u64 {
        self.open.front().map_or(self.next_sequence, |open| open.sequence)
    }

    fn span(&self) -> u64 {
        self.next_sequence - self.lowest_open()
    }

    /// The next batch to send, in sequence order; counts as sent.
    pub(super) fn next_sending(&mut self) -> Option<Sending> {
        if !self.wants_to_send() {
            return None;
        }
        if self.sent == self.open.len() {
            let ready = self.waiting.pop_front()?;
            let sequence = self.next_sequence;
            self.open.push_back(Open {
                sequence,
                ready,
                unanswered: 0,
                maybe_applied: false,
                last_error: None,
            });
            self.next_sequence += 1;
        }
        let lowest_open = self.lowest_open();
        let (epoch, round) = (self.epoch, self.round);
        let open = &mut self.open[self.sent];
        open.unanswered += 1;
        self.sent += 1;
        let attempt = Attempt { epoch, sequence: open.sequence, round };
        Some(Sending { attempt, lowest_open, batch: open.ready.batch.clone() })
    }

    /// The shard has the batch. `None` if it ended before.
    pub(super) fn on_receipt(&mut self, attempt: Attempt) -> Option<T> {
        let at = self.find(attempt)?;
        if at < self.sent {
            self.sent -= 1;
        }
        self.open.remove(at).map(|open| open.ready.waiter)
    }

    /// The shard refused an attempt, for now, or its answer will never come. True if this asks for another round.
    pub(super) fn on_refused(&mut self, attempt: Attempt, error: Error) -> bool {
        if let Some(at) = self.find(attempt) {
            let open = &mut self.open[at];
            open.unanswered = open.unanswered.saturating_sub(1);
            open.maybe_applied |= error.outcome() == Outcome::Unknown;
            open.last_error = Some(error);
        }
        let again = attempt.epoch == self.epoch && attempt.round == self.round;
        if again {
            self.rewind();
        }
        again
    }

    /// The shard refused a batch for good: it ends here, and leaves a hole.
    pub(super) fn on_rejected(&mut self, attempt: Attempt, error: Error) -> Option<Failed<T>> {
        let at = self.find(attempt)?;
        let open = &mut self.open[at];
        open.unanswered = open.unanswered.saturating_sub(1);
        open.maybe_applied |= error.outcome() == Outcome::Unknown;
        Some(self.end(at, error))
    }

    /// The shard expects another sequence than an attempt's. If it is open, or next, sending again in order
    /// mends it; else only a new epoch does. True if this asks for another round.
    pub(super) fn on_gap(&mut self, attempt: Attempt, expected: u64, error: Error) -> bool {
        let again = self.on_refused(attempt, error);
        if again && !(self.lowest_open()..=self.next_sequence).contains(&expected) {
            self.draining = true;
        }
        again
    }

    /// Ends everything, for a reason that no later attempt can mend.
    pub(super) fn fail_all(&mut self, error: &Error) -> Vec<Failed<T>> {
        let open = std::mem::take(&mut self.open).into_iter();
        let open = open.map(|open| (open.outcome(), open.ready.waiter));
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let all = open.chain(waiting.map(|ready| (Outcome::NotApplied, ready.waiter)));
        let failed = all.map(|(outcome, waiter)| Failed { waiter, outcome, error: error.clone() }).collect();
        self.rewind();
        failed
    }

    /// Ends every batch whose deadline passed. `timeout` makes the error from the last one seen.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        timeout: impl Fn(Option<Error>) -> Error,
    ) -> Vec<Failed<T>> {
        let mut failed = Vec::new();
        while let Some(at) = self.open.iter().position(|open| open.ready.deadline <= now) {
            let error = timeout(self.open[at].last_error.take());
            failed.push(self.end(at, error));
        }
        let (expired, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|ready| ready.deadline <= now);
        self.waiting = waiting;
        let expired: VecDeque<Ready<T>> = expired;
        failed.extend(expired.into_iter().map(|ready| Failed {
            waiter: ready.waiter,
            outcome: Outcome::NotApplied,
            error: timeout(None),
        }));
        failed
    }

    /// Once drained, begins the next epoch. Ends the batches that cannot go with it.
    pub(super) fn drained(&mut self) -> Vec<Failed<T>> {
        if !self.draining || self.awaits_answer() {
            return Vec::new();
        }
        let (lost, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.open).into_iter().partition(|open| open.maybe_applied);
        self.draining = false;
        self.epoch = self.epoch.checked_add(1).expect("a producer does not see 2^32 epochs");
        self.rewind();
        for mut open in kept {
            open.sequence = self.next_sequence;
            self.next_sequence += 1;
            self.open.push_back(open);
        }
        let unknown = |open: Open<T>| Failed {
            waiter: open.ready.waiter,
            outcome: Outcome::Unknown,
            error: open.last_error.unwrap_or(Error::Closed),
        };
        lost.into_iter().map(unknown).collect()
    }

    fn end(&mut self, at: usize, error: Error) -> Failed<T> {
        let open = self.open.remove(at).expect("the batch was just found");
        if at < self.sent {
            self.sent -= 1;
        }
        self.draining = true;
        Failed { outcome: open.outcome(), waiter: open.ready.waiter, error }
    }

    fn rewind(&mut self) {
        self.sent = 0;
        self.round += 1;
    }

    fn find(&self, attempt: Attempt) -> Option<usize> {
        if attempt.epoch != self.epoch {
            return None;
        }
        self.open.iter().position(|open| open.sequence == attempt.sequence)
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
