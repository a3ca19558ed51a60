//! Records on their way into batches, per shard.
//!
//! Sans-IO. A batch is encoded as it is filled and closed when it is full, when its time is up, or when it is flushed.
//! Records without a key all go to one shard until that shard's batch is closed, then to the next: full
//! batches, evenly spread.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::batches::Ready;
use super::outcome::BatchReport;
use crate::client::Error;
use crate::codec::{BODY_BYTES_MAX, BatchBuilder, RECORD_BYTES_MAX, encoded_len};
use crate::routing::Router;
use crate::types::{Record, ShardId, Timestamp};

/// Who waits for a batch, and what it holds of the producer's memory.
pub(super) struct Waiter {
    pub(super) report: watch::Sender<Option<BatchReport>>,
    pub(super) record_count: u32,
    pub(super) memory_bytes: usize,
}

/// When batches are closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) records: u32,
    pub(super) bytes: usize,
    pub(super) linger: Duration,
}

/// What is asked of a record's append beside taking it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes {
    /// It is to be stamped later than this.
    pub(super) after: Timestamp,
    /// How long its batch is tried.
    pub(super) limit: Duration,
}

struct Filling {
    limit: Duration,
    builder: BatchBuilder,
    opened: Instant,
    after: Timestamp,
    waiter: Waiter,
}

/// The batches being filled.
pub(super) struct Gather {
    limits: Limits,
    filling: HashMap<ShardId, Filling>,
    /// Which shard records without a key go to.
    keyless: usize,
}

/// Where a record went.
pub(super) struct Added {
    pub(super) report: watch::Receiver<Option<BatchReport>>,
    pub(super) at: u32,
    /// A batch was begun or closed, so there is something to do or a new time to wake at.
    pub(super) wakes: bool,
}

impl Gather {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, filling: HashMap::new(), keyless: rand::random_range(0..1 << 16) }
    }

    fn shard_of(&self, router: &Router, record: &Record) -> ShardId {
        match &record.key {
            Some(key) => router.shard_of(key),
            None => router.shards()[self.keyless % router.shards().len()],
        }
    }

    /// Adds a record that holds `memory_bytes` and is appended as `wishes` say. A batch has records of one limit, so that
    /// none ends before its time. Batches that this closes are put into `closed`.
    pub(super) fn add(
        &mut self,
        router: &Router,
        record: &Record,
        memory_bytes: usize,
        wishes: Wishes,
        now: Instant,
        closed: &mut Vec<(ShardId, Ready<Waiter>)>,
    ) -> Result<Added, Error> {
        let too_large = |_| Error::RecordTooLarge { bytes: weight(record), max: RECORD_BYTES_MAX };
        let len = encoded_len(record).map_err(too_large)?;
        let mut shard = self.shard_of(router, record);
        let has_no_place = |filling: &Filling| {
            filling.limit != wishes.limit || filling.builder.len_bytes() + len > BODY_BYTES_MAX
        };
        if self.filling.get(&shard).is_some_and(has_no_place) {
            self.close(shard, closed);
            shard = self.shard_of(router, record);
        }
        let is_new = !self.filling.contains_key(&shard);
        let filling = self.filling.entry(shard).or_insert_with(|| Filling {
            builder: BatchBuilder::new(),
            opened: now,
            after: wishes.after,
            limit: wishes.limit,
            waiter: Waiter { report: watch::Sender::new(None), record_count: 0, memory_bytes: 0 },
        });
        filling.builder.push(record).map_err(too_large)?;
        filling.after = filling.after.max(wishes.after);
        filling.waiter.memory_bytes += memory_bytes;
        filling.waiter.record_count += 1;
        let (report, at) = (filling.waiter.report.subscribe(), filling.waiter.record_count - 1);
        let is_full = filling.builder.count() >= self.limits.records
            || filling.builder.len_bytes() >= self.limits.bytes;
        if is_full {
            self.close(shard, closed);
        }
        Ok(Added { report, at, wakes: is_new || is_full })
    }

    /// Closes the batches whose linger is over and whose shard `can_send`; and those whose deadline passed.
    pub(super) fn close_due(
        &mut self,
        now: Instant,
        can_send: impl Fn(ShardId) -> bool,
        closed: &mut Vec<(ShardId, Ready<Waiter>)>,
    ) {
        let linger = self.limits.linger;
        let is_due = |shard: ShardId, filling: &Filling| {
            (filling.opened + linger <= now && can_send(shard)) || filling.opened + filling.limit <= now
        };
        let due = self.filling.iter().filter(|(shard, filling)| is_due(**shard, filling));
        for shard in due.map(|(shard, _)| *shard).collect::<Vec<_>>() {
            self.close(shard, closed);
        }
    }

    /// Closes every batch.
    pub(super) fn close_all(&mut self, closed: &mut Vec<(ShardId, Ready<Waiter>)>) {
        for shard in self.filling.keys().copied().collect::<Vec<_>>() {
            self.close(shard, closed);
        }
    }

    /// When `close_due` has something to do next, unless a shard gets room before.
    pub(super) fn wake_at(&self, can_send: impl Fn(ShardId) -> bool) -> Option<Instant> {
        let linger = self.limits.linger;
        let wake = |(shard, filling): (&ShardId, &Filling)| {
            filling.opened + if can_send(*shard) { linger.min(filling.limit) } else { filling.limit }
        };
        self.filling.iter().map(wake).min()
    }

    fn close(&mut self, shard: ShardId, closed: &mut Vec<(ShardId, Ready<Waiter>)>) {
        let Some(filling) = self.filling.remove(&shard) else { return };
        let Filling { builder, opened, limit, after, waiter } = filling;
        let batch = builder.finish().expect("a batch is begun by its first record");
        closed.push((shard, Ready { batch, after, deadline: opened + limit, limit, waiter }));
        self.keyless = self.keyless.wrapping_add(1);
    }
}

/// The memory a record holds until it is answered, roughly.
pub(super) fn weight(record: &Record) -> usize {
    let len = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    let headers: usize = record.headers.iter().map(|header| header.name.len() + header.value.len() + 8).sum();
    64 + len(&record.key) + len(&record.value) + headers
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_millis(5);
    const WISHES: Wishes = Wishes { after: Timestamp::ZERO, limit: Duration::from_secs(1) };

    fn gather(records: u32, bytes: usize) -> Gather {
        Gather::new(Limits { records, bytes, linger: LINGER })
    }

    fn router() -> Router {
        Router::hash((1..=4).map(ShardId).collect()).unwrap()
    }

    fn value(len: usize) -> Record {
        Record { value: Some(vec![7; len].into()), ..Record::default() }
    }

    /// Adds records and returns the batches closed by them, as (shard, records).
    fn add_all(gather: &mut Gather, records: &[Record], now: Instant) -> Vec<(u64, u32)> {
        let mut closed = Vec::new();
        for record in records {
            gather.add(&router(), record, 1, WISHES, now, &mut closed).unwrap();
        }
        closed.iter().map(|(shard, ready)| (shard.0, ready.batch.count)).collect()
    }

    #[test]
    fn a_batch_is_closed_by_its_records_or_by_its_bytes() {
        let counts = |closed: Vec<(u64, u32)>| closed.into_iter().map(|(_, count)| count).collect::<Vec<_>>();
        let now = Instant::now();
        assert_eq!(counts(add_all(&mut gather(3, 1 << 20), &vec![value(1); 7], now)), [3, 3]);
        assert_eq!(counts(add_all(&mut gather(100, 1000), &vec![value(600); 5], now)), [2, 2]);
    }

    #[test]
    fn a_body_is_never_larger_than_a_frame_may_be() {
        let closed = add_all(&mut gather(100, BODY_BYTES_MAX), &vec![value(1_000_000); 9], Instant::now());
        assert_eq!(closed.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [4, 4]);
    }

    #[test]
    fn records_without_a_key_fill_one_batch_and_then_go_to_the_next_shard() {
        let closed = add_all(&mut gather(2, 1 << 20), &vec![value(1); 8], Instant::now());
        let mut shards: Vec<u64> = closed.iter().map(|(shard, _)| *shard).collect();
        shards.sort_unstable();
        assert_eq!(shards, [1, 2, 3, 4]);
    }

    #[test]
    fn a_batch_lingers_and_waits_on_while_its_shard_has_no_room() {
        let now = Instant::now();
        let mut gather = gather(100, 1 << 20);
        add_all(&mut gather, &[value(1)], now);
        let mut closed = Vec::new();
        gather.close_due(now, |_| true, &mut closed);
        assert!(closed.is_empty());
        assert_eq!(gather.wake_at(|_| true), Some(now + LINGER));
        gather.close_due(now + LINGER, |_| false, &mut closed);
        assert!(closed.is_empty());
        gather.close_due(now + LINGER, |_| true, &mut closed);
        assert_eq!(closed.len(), 1);
    }

    #[test]
    fn records_of_different_limits_share_no_batch_so_that_none_ends_before_its_time() {
        let (now, hasty) = (Instant::now(), Wishes { limit: Duration::from_millis(1), ..WISHES });
        let (mut gather, mut closed) = (gather(100, 1 << 20), Vec::new());
        let one = Record { key: Some("key".into()), ..value(1) };
        for wishes in [WISHES, WISHES, hasty, WISHES] {
            gather.add(&router(), &one, 1, wishes, now, &mut closed).unwrap();
        }
        gather.close_all(&mut closed);
        let ends: Vec<_> =
            closed.iter().map(|(_, ready)| (ready.batch.count, ready.deadline - now)).collect();
        assert_eq!(ends, [(2, WISHES.limit), (1, hasty.limit), (1, WISHES.limit)]);
    }

    #[test]
    fn a_record_that_fits_no_batch_is_refused_and_leaves_no_trace() {
        let mut gather = gather(100, 1 << 20);
        let mut closed = Vec::new();
        let refused = gather.add(&router(), &value(RECORD_BYTES_MAX), 1, WISHES, Instant::now(), &mut closed);
        assert!(matches!(refused, Err(Error::RecordTooLarge { .. })));
        assert!(closed.is_empty() && gather.wake_at(|_| true).is_none());
    }
}
