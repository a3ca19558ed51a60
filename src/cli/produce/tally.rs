//! What became of the batches so far. Filled by the producer's task, emptied by whoever prints.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::client::{BatchReport, Kind, Outcome};
use crate::types::{Receipt, ShardId, Timestamp};

/// Shared by the producer's callback and the command.
#[derive(Default)]
pub(in crate::cli) struct Tally {
    counts: Mutex<Counts>,
    /// Reports to print, as many as batches ended since the last `drain`: bounded by what is in flight.
    waiting: Mutex<Vec<BatchReport>>,
    changed: Notify,
    keep_reports: bool,
}

/// The sums.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Counts {
    pub batches: u64,
    pub acknowledged: u64,
    pub not_applied: u64,
    pub unknown: u64,
    pub shards: BTreeSet<ShardId>,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Of all acknowledged batches together, on their leaders.
    pub waited: Duration,
    pub commit_waited: Duration,
    /// The first failure's family and words.
    pub failure: Option<(Kind, String)>,
}

impl Counts {
    /// How much of the time on the leaders was waiting for the clock.
    pub(in crate::cli) fn commit_wait_share(&self) -> f64 {
        if self.waited.is_zero() { 0.0 } else { self.commit_waited.as_secs_f64() / self.waited.as_secs_f64() }
    }

    fn acknowledge(&mut self, receipt: &Receipt) {
        self.acknowledged += u64::from(receipt.record_count);
        self.shards.insert(receipt.shard);
        self.first =
            Some(self.first.map_or(receipt.first_timestamp, |first| first.min(receipt.first_timestamp)));
        self.last = self.last.max(Some(receipt.last_timestamp()));
        self.waited += receipt.wait.queue + receipt.wait.replication + receipt.wait.commit_wait;
        self.commit_waited += receipt.wait.commit_wait;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// `keep_reports`: hold each report until it is drained.
    pub(in crate::cli) fn new(keep_reports: bool) -> Self {
        Self { keep_reports, ..Self::default() }
    }

    /// Counts a batch's end.
    pub(in crate::cli) fn report(&self, report: &BatchReport) {
        let mut counts = lock(&self.counts);
        counts.batches += 1;
        match &report.result {
            Ok(receipt) => counts.acknowledge(receipt),
            Err(failure) => {
                let records = u64::from(report.record_count);
                match failure.outcome {
                    Outcome::NotApplied => counts.not_applied += records,
                    Outcome::Unknown => counts.unknown += records,
                }
                let named =
                    failure.batch.as_ref().map(|batch| format!(", batch {batch}")).unwrap_or_default();
                counts.failure.get_or_insert_with(|| (failure.error.kind(), format!("{failure}{named}")));
            }
        }
        drop(counts);
        if self.keep_reports {
            lock(&self.waiting).push(report.clone());
        }
        self.changed.notify_one();
    }

    /// Waits until something ended since the last wait.
    pub(in crate::cli) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(in crate::cli) fn drain(&self) -> Vec<BatchReport> {
        std::mem::take(&mut *lock(&self.waiting))
    }

    pub(in crate::cli) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    pub(in crate::cli) fn has_failed(&self) -> bool {
        lock(&self.counts).failure.is_some()
    }
}
