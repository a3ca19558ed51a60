//! What both loops offer: batches of records to producers, each append measured.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use timberline::types::StageTimes;
use tokio::time::Instant;

use super::meter::{Meter, Size};
use super::window::Window;
use crate::records::Records;

/// Something that takes appends.
pub(crate) trait Append: Send + Sync + 'static {
    /// Appends a batch; returns when all of it is acknowledged, with where its time went if the receipt tells. `due_ns` goes with
    /// the records, for who reads them.
    fn append(
        &self,
        batch: Vec<Bytes>,
        due_ns: i64,
    ) -> impl Future<Output = Result<Option<StageTimes>, String>> + Send;
}

/// A run's producers and records, its times, and who counts. Clones share them.
pub(super) struct Offer<A> {
    pub(super) producers: Arc<[Arc<A>]>,
    pub(super) batch_records: u32,
    pub(super) records: Records,
    pub(super) window: Window,
    pub(super) meter: Arc<Meter>,
}

impl<A> Clone for Offer<A> {
    fn clone(&self) -> Self {
        let Self { producers, batch_records, records, window, meter } = self;
        let (producers, records, meter) = (Arc::clone(producers), records.clone(), Arc::clone(meter));
        Self { producers, batch_records: *batch_records, records, window: *window, meter }
    }
}

impl<A: Append> Offer<A> {
    /// Appends the next batch, of so many records, which was due at `due`; whether it was acknowledged.
    pub(super) async fn append(&self, producer: &A, records: u32, due: Instant) -> bool {
        let batch = self.records.batch(records);
        let bytes = batch.iter().map(|value| value.len() as u64).sum();
        let size = Size { records: batch.len() as u64, bytes };
        let ticket = self.meter.sent(due);
        let answer = producer.append(batch, self.window.to_ns(due)).await;
        let acknowledged = answer.is_ok();
        self.meter.answered(&ticket, size, answer);
        acknowledged
    }
}
