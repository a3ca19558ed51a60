//! A window's batches: closed, open, ended.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Error, Outcome};
use crate::codec::EncodedBatch;
use crate::types::{Receipt, Timestamp};

/// A closed batch, and who waits for it.
pub(super) struct Ready<T> {
    pub(super) batch: EncodedBatch,
    /// It must be stamped later than this.
    pub(super) after: Timestamp,
    pub(super) deadline: Instant,
    /// How long before its deadline it was begun.
    pub(super) limit: Duration,
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
    pub(super) after: Timestamp,
    pub(super) floor: Timestamp,
    pub(super) batch: EncodedBatch,
}

/// A batch that ended without a receipt.
pub(super) struct Failed<T> {
    pub(super) waiter: T,
    pub(super) outcome: Outcome,
    pub(super) error: Error,
    /// Its epoch and sequence, if it was ever sent.
    pub(super) batch: Option<(u32, u64)>,
    /// The window asks what became of it, and will tell.
    pub(super) is_asked: bool,
}

impl<T> Failed<T> {
    /// A batch that was never sent.
    pub(super) fn unsent(waiter: T, error: Error) -> Self {
        Self { waiter, outcome: Outcome::NotApplied, error, batch: None, is_asked: false }
    }
}

/// The end of a batch that the shard was asked about.
pub(super) enum Ended<T> {
    Applied(T, Receipt),
    Failed(Failed<T>),
}

/// A batch that has a sequence.
pub(super) struct Open<T> {
    pub(super) sequence: u64,
    pub(super) ready: Ready<T>,
    /// Attempts whose answer is still to come.
    pub(super) unanswered: u32,
    /// Set when it is first sent.
    pub(super) floor: Option<Timestamp>,
    /// An attempt was lost, or answered with an unknown outcome.
    pub(super) maybe_applied: bool,
    /// Why the last attempt failed.
    pub(super) last_error: Option<Error>,
}

impl<T> Open<T> {
    pub(super) fn new(sequence: u64, ready: Ready<T>) -> Self {
        Self { sequence, ready, unanswered: 0, floor: None, maybe_applied: false, last_error: None }
    }

    pub(super) fn outcome(&self) -> Outcome {
        if self.is_refused() { Outcome::NotApplied } else { Outcome::Unknown }
    }

    /// Every attempt was refused for certain.
    pub(super) fn is_refused(&self) -> bool {
        !self.maybe_applied && self.unanswered == 0
    }
}
