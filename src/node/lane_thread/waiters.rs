//! Who waits for which ticket.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::lane::{ReadAnswer, ReadRefusal, Ticket};
use crate::shard::{Fenced, Refusal};
use crate::types::Receipt;

pub(super) type AppendResult = Result<Receipt, Refusal>;
pub(super) type FenceResult = Result<Fenced, Refusal>;
pub(super) type ReadResult = Result<ReadAnswer, ReadRefusal>;

enum Waiter {
    Append(oneshot::Sender<AppendResult>),
    Fence(oneshot::Sender<FenceResult>),
    Read(oneshot::Sender<ReadResult>),
}

/// The open tickets. Their number is bounded by those who ask.
#[derive(Default)]
pub(super) struct Waiters {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_ticket: u64,
    open: HashMap<Ticket, Waiter>,
    /// Reads whose asker is gone, not yet told to the lane.
    cancelled: Vec<Ticket>,
}

impl Waiters {
    pub(super) fn for_append(&self) -> (Ticket, oneshot::Receiver<AppendResult>) {
        let (answer, receiver) = oneshot::channel();
        (self.lock().insert(Waiter::Append(answer)), receiver)
    }

    pub(super) fn for_fence(&self) -> (Ticket, oneshot::Receiver<FenceResult>) {
        let (answer, receiver) = oneshot::channel();
        (self.lock().insert(Waiter::Fence(answer)), receiver)
    }

    pub(super) fn for_read(&self) -> (Ticket, oneshot::Receiver<ReadResult>) {
        let (answer, receiver) = oneshot::channel();
        (self.lock().insert(Waiter::Read(answer)), receiver)
    }

    /// The request never reached the lane.
    pub(super) fn withdraw(&self, ticket: Ticket) {
        self.lock().open.remove(&ticket);
    }

    /// The asker of a read is gone; the lane is told soon, if it still holds the read.
    pub(super) fn cancel_read(&self, ticket: Ticket) {
        let mut state = self.lock();
        if state.open.remove(&ticket).is_some() {
            state.cancelled.push(ticket);
        }
    }

    pub(super) fn take_cancelled(&self) -> Vec<Ticket> {
        std::mem::take(&mut self.lock().cancelled)
    }

    pub(super) fn answer_append(&self, ticket: Ticket, result: AppendResult) {
        let waiter = self.lock().open.remove(&ticket);
        if let Some(Waiter::Append(answer)) = waiter {
            // An asker that went away needs no answer.
            let _ = answer.send(result);
        }
    }

    pub(super) fn answer_fence(&self, ticket: Ticket, result: FenceResult) {
        let waiter = self.lock().open.remove(&ticket);
        if let Some(Waiter::Fence(answer)) = waiter {
            let _ = answer.send(result);
        }
    }

    pub(super) fn answer_read(&self, ticket: Ticket, result: ReadResult) {
        let waiter = self.lock().open.remove(&ticket);
        if let Some(Waiter::Read(answer)) = waiter {
            let _ = answer.send(result);
        }
    }

    /// Lets everybody go: no more answers come.
    pub(super) fn close(&self) {
        self.lock().open.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, waiter: Waiter) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.open.insert(ticket, waiter);
        ticket
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ShardId;

    #[test]
    fn a_read_whose_asker_left_is_cancelled_once_and_only_while_it_is_held() {
        let waiters = Waiters::default();
        let (held, receiver) = waiters.for_read();
        drop(receiver);
        waiters.cancel_read(held);
        waiters.cancel_read(held);
        let (answered, mut receiver) = waiters.for_read();
        waiters.answer_read(answered, Err(ReadRefusal::UnknownShard(ShardId(1))));
        waiters.cancel_read(answered);
        assert_eq!(waiters.take_cancelled(), [held]);
        assert!(receiver.try_recv().unwrap().is_err());
        assert!(waiters.take_cancelled().is_empty());
    }

    #[test]
    fn closing_lets_every_asker_go() {
        let waiters = Waiters::default();
        let (_, mut receiver) = waiters.for_append();
        waiters.close();
        assert!(matches!(receiver.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }
}
