//! One shard's unanswered batches: which sequence each has, what was sent, what may have happened to it.
//!
//! Sans-IO: knows nothing of connections or clocks. Rules it keeps:
//!
//! - At most `in_flight_max` sequences lie between the lowest open batch and the newest, so that the shard
//!   still remembers every batch that may be sent again, and recognises it.
//! - A producer that others may write as, too, asks the shard for a fence before its first batch, and is told its epoch.
//! - Batches are sent in sequence order. After a refusal, a loss or a timeout all open ones are sent
//!   again in order; the shard drops what it already has.
//! - Each batch is sent with a floor: the highest timestamp known to be released in the shard before the batch was first sent. A batch of
//!   which every attempt was refused for certain counts as never sent; any other keeps its floor, for good. A shard that may have
//!   forgotten the producer refuses a batch by its floor (`Forgotten`), and tells one that will do.
//! - A batch ends as `NotApplied` only if every attempt of it was definitely refused; otherwise `Unknown`.
//! - A batch that ends without a receipt leaves a hole that the shard would refuse to skip (`SequenceGap`).
//!   So the window *drains*: it sends nothing until every attempt at an open batch is answered or lost, asks what became of the
//!   batches in doubt, and goes on with the others under the next epoch, starting at its lowest open sequence. The new epoch
//!   also fences off attempts of the old one that are still under way somewhere, and makes the shard forget the batches of that: what is not
//!   asked before cannot be told after.
//!
//! **What is asked, and why it is enough.** Batches in doubt are open, with an attempt lost, or were reported as unknown, their
//! deadline being over. The shard is asked about one after the other, from the lowest sequence on, to settle it:
//!
//! - *Applied*, with the receipt: it stands in the log and is released. Nothing is fenced.
//! - *Not applied*: told from behind a released fence of the next epoch, so that no late attempt of this one is taken any more. Then none above was
//!   applied either: what is in doubt was sent only while the lowest of it was open, so each attempt said so (`lowest_open`), and
//!   a shard takes no batch above it but behind the one before. So those above need not be asked about, for which it would be too late.
//!   They are sent again as never sent.
//! - *Forgotten*: nobody can tell. An open batch ends `Unknown`, for sent under another identity it might be applied twice.
//!
//! A question that comes again is harmless where the batch was applied. If its fence was written and the answer lost, the shard has forgotten the epoch,
//! and what is in doubt still stays unknown. To ask without a fence first would not help: there, too, whatever was applied is found
//! before anything is fenced. The fence has the epoch that the window goes on with in any case (`same_run`), whatever became
//! of answers: it is the run's own, so that no other run is taken for this one or shut out by it. And of an epoch below one that was fenced by a newer
//! run the shard tells nothing and fences nobody.
//!
//! A batch that ended is asked about for 30 s after its deadline, and then left to its fate: where a shard is silent, the window still goes on.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::batches::{Attempt, Ended, Failed, Open, Ready, Sending};
use super::doubts::{Doubts, Question, Told, Verdict};
use crate::client::{Error, Outcome};
use crate::types::{EPOCHS_OF_A_RUN, Fate, Receipt, Timestamp};

/// How long after its deadline a batch is asked about: longer than elections take, and no burden for ever on a shard that is silent.
const ASKED_FOR: Duration = Duration::from_secs(30);

/// How a window comes by its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// It has it.
    Done,
    /// A fence is to be asked for.
    Wanted,
    Asked,
}

/// The window of one producer in one shard.
pub(super) struct Window<T> {
    in_flight_max: usize,
    /// Others may write under the producer's id: each run has its epochs by a fence.
    is_named: bool,
    opening: Opening,
    epoch: u32,
    next_sequence: u64,
    /// The highest timestamp known to be released in the shard.
    released: Timestamp,
    open: VecDeque<Open<T>>,
    /// Closed batches that have no sequence yet.
    waiting: VecDeque<Ready<T>>,
    /// How many of `open` were sent in this round.
    sent: usize,
    round: u64,
    draining: bool,
    doubts: Doubts,
}

impl<T> Window<T> {
    pub(super) fn new(in_flight_max: usize, is_named: bool) -> Self {
        Self {
            in_flight_max,
            is_named,
            opening: if is_named { Opening::Wanted } else { Opening::Done },
            epoch: 0,
            next_sequence: 1,
            released: Timestamp::ZERO,
            open: VecDeque::new(),
            waiting: VecDeque::new(),
            sent: 0,
            round: 0,
            draining: false,
            doubts: Doubts::default(),
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
        self.opening == Opening::Asked || self.doubts.is_asked() || self.is_under_way()
    }

    /// Whether an attempt at an open batch is neither answered nor lost.
    fn is_under_way(&self) -> bool {
        self.open.iter().any(|open| open.unanswered > 0)
    }

    /// Whether `next_question`, `next_fence` or `next_sending` has something.
    pub(super) fn wants_to_send(&self) -> bool {
        self.in_question().is_some() || self.may_send()
    }

    fn may_send(&self) -> bool {
        !self.draining
            && self.opening != Opening::Asked
            && (self.sent < self.open.len()
                || (!self.waiting.is_empty() && self.span() < self.in_flight_max as u64))
    }

    /// The earliest deadline of all batches, those that ended included.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.open.iter().map(|open| open.ready.deadline);
        open.chain(self.waiting.iter().map(|ready| ready.deadline)).chain(self.doubts.deadline()).min()
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

    /// Whether a fence is to be asked for now, before the first batch; counts as asked.
    pub(super) fn next_fence(&mut self) -> bool {
        let asks = self.opening == Opening::Wanted && self.may_send();
        if asks {
            self.opening = Opening::Asked;
        }
        asks
    }

    /// The shard has shut out the producer's other runs, and told the first epoch of this one.
    pub(super) fn on_fenced(&mut self, epoch: u32, released: Timestamp) {
        // An answer that came too late: another was asked for, and that one counts.
        if self.opening == Opening::Asked {
            self.opening = Opening::Done;
            self.epoch = epoch;
            self.released = self.released.max(released);
        }
    }

    /// The fence was refused, or its answer will never come: another is asked for.
    pub(super) fn on_fence_refused(&mut self) {
        self.opening = Opening::Wanted;
    }

    /// The next batch to send, in sequence order; counts as sent.
    pub(super) fn next_sending(&mut self) -> Option<Sending> {
        if self.opening != Opening::Done || !self.may_send() {
            return None;
        }
        if self.sent == self.open.len() {
            let ready = self.waiting.pop_front()?;
            let sequence = self.next_sequence;
            self.open.push_back(Open::new(sequence, ready));
            self.next_sequence += 1;
        }
        let lowest_open = self.lowest_open();
        let (epoch, round) = (self.epoch, self.round);
        let open = &mut self.open[self.sent];
        open.unanswered += 1;
        let floor = *open.floor.get_or_insert(self.released);
        self.sent += 1;
        let attempt = Attempt { epoch, sequence: open.sequence, round };
        let (after, batch) = (open.ready.after, open.ready.batch.clone());
        Some(Sending { attempt, lowest_open, after, floor, batch })
    }

    /// The shard has the batch. `None` if that ended before.
    pub(super) fn on_receipt(&mut self, attempt: Attempt, receipt: Receipt) -> Option<T> {
        self.released = self.released.max(receipt.last_timestamp());
        let Attempt { epoch, sequence, .. } = attempt;
        if epoch == self.epoch {
            self.doubts.tell(Question { epoch, sequence }, Some(Fate::Applied(receipt)));
        }
        let at = self.find(attempt)?;
        Some(self.take(at).ready.waiter)
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
        Some(self.end(at, error, true))
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

    /// The shard cannot tell whether it holds the attempt's batch, and names a timestamp that is released. If every attempt was
    /// refused it does not, and the batch is sent again as if for the first time; if one was lost the batch ends here.
    /// Also true if this asks for another round.
    pub(super) fn on_forgotten(
        &mut self,
        attempt: Attempt,
        released: Timestamp,
        error: Error,
    ) -> (bool, Option<Failed<T>>) {
        self.released = self.released.max(released);
        let again = self.on_refused(attempt, error.clone());
        let Some(at) = self.find(attempt) else { return (again, None) };
        let open = &mut self.open[at];
        if open.is_refused() {
            open.floor = None;
        }
        let is_lost = open.maybe_applied && open.unanswered == 0;
        (again, is_lost.then(|| self.end(at, error, false)))
    }

    /// Ends everything, for a reason that no later attempt can mend.
    pub(super) fn fail_all(&mut self, error: &Error) -> Vec<Failed<T>> {
        let mut failed = Vec::new();
        while !self.open.is_empty() {
            failed.push(self.end(0, error.clone(), false));
        }
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        failed.extend(waiting.map(|ready| Failed::unsent(ready.waiter, error.clone())));
        self.doubts.tell_all(self.epoch, None);
        failed
    }

    /// Ends every batch whose deadline passed. `timeout` makes the error, from the batch's limit and the last error seen.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        timeout: impl Fn(Duration, Option<Error>) -> Error,
    ) -> Vec<Failed<T>> {
        let mut failed = Vec::new();
        while let Some(at) = self.open.iter().position(|open| open.ready.deadline <= now) {
            let open = &mut self.open[at];
            let error = timeout(open.ready.limit, open.last_error.take());
            failed.push(self.end(at, error, true));
        }
        self.doubts.expire(self.epoch, now);
        let (expired, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|ready| ready.deadline <= now);
        self.waiting = waiting;
        let expired: VecDeque<Ready<T>> = expired;
        let unsent = |ready: Ready<T>| Failed::unsent(ready.waiter, timeout(ready.limit, None));
        failed.extend(expired.into_iter().map(unsent));
        failed
    }

    /// The batch that is to be asked about now: drained, the lowest in doubt.
    fn in_question(&self) -> Option<u64> {
        if !self.draining || self.is_under_way() || self.doubts.is_asked() {
            return None;
        }
        let open = self.open.iter().find(|open| open.maybe_applied).map(|open| open.sequence);
        open.into_iter().chain(self.doubts.lowest()).min()
    }

    /// What the shard is to be asked now; counts as asked.
    pub(super) fn next_question(&mut self) -> Option<Question> {
        let sequence = self.in_question()?;
        self.doubts.ask(sequence);
        Some(Question { epoch: self.epoch, sequence })
    }

    /// The shard told what became of a batch.
    pub(super) fn on_told(&mut self, question: Question, told: Told) -> Option<Ended<T>> {
        self.released = self.released.max(told.at);
        if !self.on_unanswered(question) {
            return None;
        }
        match told.fate {
            Fate::Applied(receipt) => {
                self.doubts.tell(question, Some(told.fate));
                let at = self.position(question.sequence)?;
                Some(Ended::Applied(self.take(at).ready.waiter, receipt))
            }
            Fate::NotApplied => {
                self.doubts.tell_all(self.epoch, Some(told.fate));
                self.open.iter_mut().for_each(|open| open.maybe_applied = false);
                self.go_on(true);
                None
            }
            Fate::Forgotten | Fate::Open => {
                self.doubts.tell(question, None);
                let at = self.position(question.sequence)?;
                let error = self.open[at].last_error.take().unwrap_or(Error::Closed);
                Some(Ended::Failed(self.end(at, error, false)))
            }
        }
    }

    /// A question was refused for now, or its answer will never come: it is asked again. False if that was not awaited.
    pub(super) fn on_unanswered(&mut self, question: Question) -> bool {
        question.epoch == self.epoch && self.doubts.answered(question.sequence)
    }

    /// A question was refused for good: nobody tells what became of those in doubt.
    pub(super) fn on_unanswerable(&mut self, question: Question) -> Vec<Failed<T>> {
        let mut failed = Vec::new();
        if self.on_unanswered(question) {
            self.doubts.tell_all(self.epoch, None);
            while let Some(at) = self.open.iter().position(|open| open.maybe_applied) {
                let error = self.open[at].last_error.take().unwrap_or(Error::Closed);
                failed.push(self.end(at, error, false));
            }
        }
        failed
    }

    /// What became of batches that were reported as unknown, since this was asked last.
    pub(super) fn take_verdicts(&mut self) -> Vec<Verdict> {
        self.doubts.take_verdicts()
    }

    /// Once drained, and nothing is in doubt any more, begins the next epoch.
    pub(super) fn drained(&mut self) {
        if self.draining && !self.awaits_answer() && self.in_question().is_none() {
            self.go_on(false);
        }
    }

    /// Begins the next epoch, which a fence may have begun in the shard. What is open was certainly not applied, and goes along as never sent.
    fn go_on(&mut self, is_fenced: bool) {
        self.draining = false;
        self.epoch = self.epoch.checked_add(1).expect("a producer does not see 2^32 epochs");
        if self.is_named && !is_fenced && self.epoch.is_multiple_of(EPOCHS_OF_A_RUN) {
            // All of this run's are used up; it begins another.
            self.opening = Opening::Wanted;
        }
        self.rewind();
        for open in &mut self.open {
            (open.sequence, open.floor) = (self.next_sequence, None);
            self.next_sequence += 1;
        }
    }

    /// Ends a batch without a receipt. What became of it is asked, if that is unknown and somebody may tell.
    fn end(&mut self, at: usize, error: Error, asks: bool) -> Failed<T> {
        let open = self.take(at);
        self.draining = true;
        let outcome = open.outcome();
        let is_asked = asks && outcome == Outcome::Unknown;
        if is_asked {
            self.doubts.report(open.sequence, open.ready.deadline + ASKED_FOR);
        }
        let batch = Some((self.epoch, open.sequence));
        Failed { outcome, waiter: open.ready.waiter, error, batch, is_asked }
    }

    fn take(&mut self, at: usize) -> Open<T> {
        if at < self.sent {
            self.sent -= 1;
        }
        self.open.remove(at).expect("the batch was just found")
    }

    fn rewind(&mut self) {
        self.sent = 0;
        self.round += 1;
    }

    fn find(&self, attempt: Attempt) -> Option<usize> {
        if attempt.epoch == self.epoch { self.position(attempt.sequence) } else { None }
    }

    fn position(&self, sequence: u64) -> Option<usize> {
        self.open.iter().position(|open| open.sequence == sequence)
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
