//! What a shard remembers of its producers, so that a retried batch is recognised, and one that may have been forgotten refused.
//!
//! A pure function of the frames folded in, in log order: every replica, and every replay, has the same
//! table. Bounded: the last `SHARD_IN_FLIGHT_MAX` batches of `PRODUCERS_MAX` producers; beyond that the
//! producer whose last frame is oldest, by its timestamp in the log, is forgotten first.
//!
//! **Why nothing is stored twice.** Call *horizon* the oldest last frame in a full table. Timestamps rise along a log, entries leave
//! only by `forget_oldest`, and a table that was full stays full, on whichever replica, for it is copied whole into segments'
//! heads and manifests. So a table that is not full never forgot anybody, the horizon only rises, and of whoever was forgotten every
//! frame lies below it; also of a producer that was forgotten once and is known again.
//!
//! A producer sends with each batch a *floor*: a timestamp that it knew to be released in this shard before it first sent the
//! batch under this epoch and sequence. What is released stands in the log of every leader whose entries can still be committed, so wherever
//! the batch stands in such a log it stands above its floor, however late an attempt arrives and whatever clocks did. Then, of a
//! batch in whose epoch nothing of its producer is remembered:
//!
//! - table not full: nothing was forgotten, the batch is new;
//! - `floor >= horizon`: had the batch been applied, it would stand above the horizon, and would be remembered: it is new.
//!   Equal is enough, for the batch stands above its floor and the forgotten below the horizon;
//! - `floor < horizon`: it may have been applied and forgotten, by any of its attempts: `Forgotten`.
//!
//! This holds for an unknown producer, for one of whose epoch only the fence is remembered, and for a known one of an *older* epoch: a newer epoch's batch may have
//! been applied and forgotten, and an older run, fenced no longer, have come back since. Of a producer known in the batch's own
//! epoch the last sequences decide. Those that were forgotten are no danger: the frame by which it came back was first sent at or above the
//! horizon of that time, so what its run first sent after it has a floor as high, and what before it has a lower sequence, which is
//! `TooOld`. What became of a batch of an older epoch its own attempts tell; it is `Fenced`, and never stored by the attempt refused.
//!
//! **Fences.** A run of a producer fences off those before it by a frame that raises its epoch, which puts the producer into the table, too. A producer
//! that was forgotten is not fenced any more: an older run of it is taken for a new one, with what it first sends from then on. What it first sent before
//! the fence was released stays out for ever: its floor lies below the fence, and so below the horizon.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut};

use super::{Error, FrameHeader, FrameKind};
use crate::simulation::{Bug, Limit, is_planted, limit};
use crate::types::{
    BatchId, EPOCHS_OF_A_RUN, Index, Offset, ProducerId, SHARD_IN_FLIGHT_MAX, Term, Timestamp,
};

/// The most producers a shard remembers.
pub const PRODUCERS_MAX: usize = 256;

/// The beginning of 2026.
const FIRST_MINUTE_NS: u64 = 1_767_225_600_000_000_000;
const PRODUCER_BYTES: usize = 24;
const ENTRY_BYTES: usize = 56;

/// A batch that stands in the log: what its receipt is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupEntry {
    pub epoch: u32,
    pub sequence: u64,
    pub index: Index,
    pub term: Term,
    pub first_offset: Offset,
    pub first_timestamp: Timestamp,
    pub record_count: u32,
    pub uncertainty_ns: u64,
}

/// What a batch is to a shard that remembers its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupVerdict {
    /// The next in its producer's sequence, or not idempotent: append it.
    New,
    /// It stands in the log already.
    Duplicate(DedupEntry),
    /// A batch before it is missing.
    Gap { expected: u64 },
    /// A newer epoch of this producer has been seen.
    Fenced { epoch: u32 },
    /// Older than what is remembered: whether it was appended is not known.
    TooOld,
    /// It may have been appended, and its producer forgotten since: whoever was, was last seen before `horizon`. With a
    /// floor from there on it would be new.
    Forgotten { horizon: Timestamp },
}

/// What a table tells of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// It stands in the log.
    Found(DedupEntry),
    /// It stands nowhere in the log.
    Absent,
    /// It may have stood in the log, and been forgotten.
    Forgotten,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Producer {
    epoch: u32,
    last_seen: Timestamp,
    batches: VecDeque<DedupEntry>,
}

/// The last batches of the producers seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DedupTable {
    producers: BTreeMap<ProducerId, Producer>,
}

impl DedupTable {
    /// Producers remembered.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The timestamp of a remembered producer's last frame.
    pub fn last_seen(&self, producer: ProducerId) -> Option<Timestamp> {
        self.producers.get(&producer).map(|producer| producer.last_seen)
    }

    /// The last batch in the log of `producer`'s newest epoch.
    pub fn newest(&self, producer: ProducerId) -> Option<&DedupEntry> {
        self.producers.get(&producer)?.batches.back()
    }

    /// Notes a frame that entered the log.
    pub fn fold(&mut self, header: &FrameHeader) {
        let BatchId { producer: id, epoch, sequence } = header.batch;
        if id == ProducerId(0) || !matches!(header.kind, FrameKind::Data | FrameKind::ProducerFence) {
            return;
        }
        let producer = self.producers.entry(id).or_default();
        if epoch < producer.epoch {
            return;
        }
        if epoch > producer.epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
        producer.last_seen = header.first_timestamp;
        if header.kind == FrameKind::Data {
            producer.batches.push_back(DedupEntry {
                epoch,
                sequence,
                index: header.index,
                term: header.term,
                first_offset: header.first_offset,
                first_timestamp: header.first_timestamp,
                record_count: header.record_count,
                uncertainty_ns: header.uncertainty_ns,
            });
            if producer.batches.len() > SHARD_IN_FLIGHT_MAX {
                producer.batches.pop_front();
            }
        }
        if self.producers.len() > producers_max() {
            self.forget_oldest();
        }
    }

    /// Whoever was forgotten was last seen before this; `None` if nobody was. It never falls.
    pub fn horizon(&self) -> Option<Timestamp> {
        let is_full = self.producers.len() >= producers_max();
        self.producers.values().map(|producer| producer.last_seen).min().filter(|_| is_full)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.producers.iter().min_by_key(|(id, producer)| (producer.last_seen, **id));
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.producers.remove(&id);
        }
    }

    /// What `batch` is. `lowest_open` is the lowest sequence its producer still waits for: it will never
    /// send a lower one again, so a producer that gave a batch up may go on above it. Wherever the batch stands in this
    /// log, it stands above `floor`.
    pub fn check(&self, batch: &BatchId, lowest_open: u64, floor: Timestamp) -> DedupVerdict {
        if batch.producer == ProducerId(0) {
            return DedupVerdict::New;
        }
        let known = self.producers.get(&batch.producer);
        if let Some(producer) = known.filter(|producer| batch.epoch < producer.epoch) {
            return DedupVerdict::Fenced { epoch: producer.epoch };
        }
        let batches =
            known.filter(|producer| producer.epoch == batch.epoch).map(|producer| &producer.batches);
        let Some((batches, last)) = batches.and_then(|batches| Some((batches, batches.back()?))) else {
            return match self.horizon().filter(|horizon| floor < *horizon) {
                Some(horizon) if !is_planted(Bug::ForgottenCountsAsNew) => {
                    DedupVerdict::Forgotten { horizon }
                }
                _ => Self::next_or_gap(batch.sequence, lowest_open),
            };
        };
        if let Some(entry) = batches.iter().find(|entry| entry.sequence == batch.sequence) {
            return DedupVerdict::Duplicate(*entry);
        }
        if batch.sequence < last.sequence {
            return DedupVerdict::TooOld;
        }
        Self::next_or_gap(batch.sequence, lowest_open.max(last.sequence.saturating_add(1)))
    }

    /// Whether a batch stands in the log, as far as can be told.
    pub fn trace(&self, batch: &BatchId) -> Trace {
        let unless_forgotten = if self.horizon().is_some() { Trace::Forgotten } else { Trace::Absent };
        let Some(known) = self.producers.get(&batch.producer) else { return unless_forgotten };
        if batch.epoch != known.epoch {
            return if batch.epoch < known.epoch { Trace::Forgotten } else { unless_forgotten };
        }
        if let Some(entry) = known.batches.iter().find(|entry| entry.sequence == batch.sequence) {
            return Trace::Found(*entry);
        }
        match known.batches.front() {
            // First sent after that one: had it been forgotten, that one would have been, too.
            Some(first) if first.sequence < batch.sequence => Trace::Absent,
            Some(_) if known.batches.len() == SHARD_IN_FLIGHT_MAX => Trace::Forgotten,
            _ => unless_forgotten,
        }
    }

    /// The first epoch of a new run of a producer, above `seen` and all that it had: above the one known, or, if that may be forgotten, above those
    /// of as many runs as there were minutes up to the horizon. Two runs within a minute, with so many other producers
    /// between them that the first is forgotten, may thus be given the same.
    pub fn next_run(&self, producer: ProducerId, seen: u32) -> u32 {
        let known = self.producers.get(&producer).map(|known| known.epoch / EPOCHS_OF_A_RUN);
        let horizon = self.horizon().filter(|_| known.is_none()).map(minutes);
        let run = (seen / EPOCHS_OF_A_RUN).max(known.or(horizon).unwrap_or(0));
        run.saturating_add(1).saturating_mul(EPOCHS_OF_A_RUN)
    }

    fn next_or_gap(sequence: u64, expected: u64) -> DedupVerdict {
        if sequence == expected { DedupVerdict::New } else { DedupVerdict::Gap { expected } }
    }

    pub(super) fn encode(&self, bytes: &mut impl BufMut) {
        bytes.put_u32_le(self.producers.len() as u32);
        bytes.put_u32_le(0);
        for (id, producer) in &self.producers {
            bytes.put_u64_le(id.0);
            bytes.put_u64_le(producer.last_seen.0);
            bytes.put_u32_le(producer.epoch);
            bytes.put_u32_le(producer.batches.len() as u32);
            for entry in &producer.batches {
                bytes.put_u64_le(entry.sequence);
                bytes.put_u64_le(entry.index.0);
                bytes.put_u64_le(entry.term.0);
                bytes.put_u64_le(entry.first_offset.0);
                bytes.put_u64_le(entry.first_timestamp.0);
                bytes.put_u64_le(entry.uncertainty_ns);
                bytes.put_u32_le(entry.record_count);
                bytes.put_u32_le(entry.epoch);
            }
        }
    }

    pub(super) fn decode(bytes: &mut &[u8]) -> Result<Self, Error> {
        need(bytes, 8)?;
        let (count, reserved) = (bytes.get_u32_le(), bytes.get_u32_le());
        bounded("producer count", count, PRODUCERS_MAX)?;
        bounded("reserved bytes", reserved, 0)?;
        let mut producers = BTreeMap::new();
        for _ in 0..count {
            need(bytes, PRODUCER_BYTES)?;
            let (id, last_seen) = (ProducerId(bytes.get_u64_le()), Timestamp(bytes.get_u64_le()));
            // One state has one encoding; a producer named twice would lose one of its places.
            if producers.last_key_value().is_some_and(|(last, _)| id <= *last) || id == ProducerId(0) {
                return Err(Error::Field { field: "producer id, which must rise,", found: id.0 });
            }
            let (epoch, batches) = (bytes.get_u32_le(), bytes.get_u32_le());
            bounded("batch count", batches, SHARD_IN_FLIGHT_MAX)?;
            need(bytes, batches as usize * ENTRY_BYTES)?;
            let batches = (0..batches).map(|_| decode_entry(bytes)).collect();
            producers.insert(id, Producer { epoch, last_seen, batches });
        }
        Ok(Self { producers })
    }
}

/// How many producers a shard remembers here.
fn producers_max() -> usize {
    limit(Limit::DedupProducers, PRODUCERS_MAX as u64) as usize
}

/// So many minutes (of 2^36 ns) a time lies after the beginning of 2026; they are enough for 36 years.
fn minutes(at: Timestamp) -> u32 {
    u32::try_from(at.0.saturating_sub(FIRST_MINUTE_NS) >> 36).unwrap_or(u32::MAX)
}

/// Reads one entry; the caller has proved that `ENTRY_BYTES` are there.
fn decode_entry(bytes: &mut &[u8]) -> DedupEntry {
    DedupEntry {
        sequence: bytes.get_u64_le(),
        index: Index(bytes.get_u64_le()),
        term: Term(bytes.get_u64_le()),
        first_offset: Offset(bytes.get_u64_le()),
        first_timestamp: Timestamp(bytes.get_u64_le()),
        uncertainty_ns: bytes.get_u64_le(),
        record_count: bytes.get_u32_le(),
        epoch: bytes.get_u32_le(),
    }
}

/// Refuses to go on unless `needed` bytes are left.
pub(super) fn need(bytes: &[u8], needed: usize) -> Result<(), Error> {
    if bytes.len() < needed { Err(Error::Short { needed, available: bytes.len() }) } else { Ok(()) }
}

/// Refuses a count above its limit.
pub(super) fn bounded(field: &'static str, found: u32, max: usize) -> Result<(), Error> {
    if found as usize > max {
        return Err(Error::TooLarge { field, found: found.into(), max: max as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::codec::Compression;

    const NONE: Timestamp = Timestamp::ZERO;

    fn batch(producer: u64, epoch: u32, sequence: u64) -> BatchId {
        BatchId { producer: ProducerId(producer), epoch, sequence }
    }

    fn data(batch: BatchId, timestamp: u64) -> FrameHeader {
        FrameHeader {
            kind: FrameKind::Data,
            compression: Compression::None,
            body_crc: 0,
            body_len: 0,
            record_count: 1,
            term: Term(1),
            index: Index(timestamp),
            first_offset: Offset(timestamp),
            first_timestamp: Timestamp(timestamp),
            uncertainty_ns: 5,
            committed: Index(0),
            batch,
            chain: 0,
            start: Index(0),
        }
    }

    fn table(frames: impl IntoIterator<Item = FrameHeader>) -> DedupTable {
        let mut table = DedupTable::default();
        frames.into_iter().for_each(|header| table.fold(&header));
        table
    }

    #[test]
    fn an_unknown_producer_starts_at_its_lowest_open_sequence() {
        let table = table([]);
        assert_eq!(table.check(&batch(1, 0, 7), 7, NONE), DedupVerdict::New);
        assert_eq!(table.check(&batch(1, 0, 8), 7, NONE), DedupVerdict::Gap { expected: 7 });
        assert_eq!(table.check(&batch(0, 0, 99), 0, NONE), DedupVerdict::New);
    }

    #[test]
    fn a_remembered_batch_is_a_duplicate_and_an_older_one_is_too_old() {
        let table = table((0..20).map(|n| data(batch(1, 0, n), n + 1)));
        assert!(
            matches!(table.check(&batch(1, 0, 19), 12, NONE), DedupVerdict::Duplicate(found) if found.index == Index(20))
        );
        assert!(matches!(table.check(&batch(1, 0, 12), 12, NONE), DedupVerdict::Duplicate(_)));
        assert_eq!(table.check(&batch(1, 0, 11), 11, NONE), DedupVerdict::TooOld);
        assert_eq!(table.check(&batch(1, 0, 20), 13, NONE), DedupVerdict::New);
        assert_eq!(table.check(&batch(1, 0, 21), 13, NONE), DedupVerdict::Gap { expected: 20 });
    }

    #[test]
    fn a_batch_its_producer_gave_up_leaves_no_gap() {
        let table = table([data(batch(1, 0, 4), 1)]);
        assert_eq!(table.check(&batch(1, 0, 6), 6, NONE), DedupVerdict::New);
        assert_eq!(table.check(&batch(1, 0, 6), 5, NONE), DedupVerdict::Gap { expected: 5 });
    }

    #[test]
    fn a_newer_epoch_fences_the_older() {
        let mut table = table([data(batch(1, 2, 4), 1)]);
        assert_eq!(table.check(&batch(1, 1, 5), 5, NONE), DedupVerdict::Fenced { epoch: 2 });
        assert_eq!(table.check(&batch(1, 3, 0), 0, NONE), DedupVerdict::New);
        table.fold(&FrameHeader { kind: FrameKind::ProducerFence, ..data(batch(1, 3, 0), 2) });
        assert_eq!(table.check(&batch(1, 2, 5), 5, NONE), DedupVerdict::Fenced { epoch: 3 });
    }

    /// A full table of producers `1..`, each seen at the timestamp that is its id, and another batch by each of `more` after that.
    fn full(more: impl IntoIterator<Item = u64>) -> DedupTable {
        let many = PRODUCERS_MAX as u64;
        let first = (1..=many).map(|id| data(batch(id, 1, 0), id));
        let then =
            more.into_iter().zip(many + 1..).map(|(id, at)| data(batch(id, 1, u64::from(id <= many)), at));
        table(first.chain(then))
    }

    const NEXT: u64 = PRODUCERS_MAX as u64 + 1;

    #[test]
    fn the_producer_whose_last_batch_is_oldest_is_forgotten_first() {
        let table = full([1, NEXT]);
        assert_eq!(table.len(), PRODUCERS_MAX);
        assert!(matches!(table.check(&batch(1, 1, 1), 1, NONE), DedupVerdict::Duplicate(_)));
        assert_eq!(table.horizon(), Some(Timestamp(3)), "2 was forgotten");
    }

    #[test]
    fn a_batch_that_may_have_been_forgotten_is_never_new() {
        let table = full([1, NEXT]);
        let forgotten = DedupVerdict::Forgotten { horizon: Timestamp(3) };
        assert_eq!(table.check(&batch(2, 1, 0), 0, Timestamp(1)), forgotten, "it stands in the log, at 2");
        assert_eq!(table.check(&batch(999, 1, 0), 0, Timestamp(2)), forgotten, "who is to know?");
        assert_eq!(table.check(&batch(999, 1, 0), 0, Timestamp(3)), DedupVerdict::New);
        assert_eq!(table.check(&batch(999, 1, 5), 4, Timestamp(3)), DedupVerdict::Gap { expected: 4 });
    }

    #[test]
    fn a_table_that_is_not_full_never_forgot_anybody() {
        let almost = table((1..NEXT - 1).map(|id| data(batch(id, 1, 0), id)));
        assert_eq!(almost.horizon(), None);
        assert_eq!(almost.check(&batch(999, 1, 0), 0, NONE), DedupVerdict::New);
    }

    #[test]
    fn a_known_producers_next_batch_needs_no_floor() {
        assert_eq!(full([]).check(&batch(7, 1, 1), 1, NONE), DedupVerdict::New);
    }

    #[test]
    fn an_older_run_that_came_back_does_not_hide_that_a_newer_ones_batch_was_forgotten() {
        let mut table = full([]);
        let zombie = PRODUCERS_MAX as u64 + 50;
        table.fold(&data(batch(zombie, 2, 0), NEXT));
        // So many others that it is forgotten; then its older run, which nothing fences any more.
        (1..NEXT).for_each(|id| table.fold(&data(batch(id, 1, 1), NEXT + id)));
        assert!(matches!(table.check(&batch(zombie, 1, 9), 9, NONE), DedupVerdict::Forgotten { .. }));
        table.fold(&data(batch(zombie, 1, 9), 3 * NEXT));
        let retried = table.check(&batch(zombie, 2, 0), 0, Timestamp(NEXT - 1));
        assert!(matches!(retried, DedupVerdict::Forgotten { .. }), "{retried:?}");
        assert_eq!(table.check(&batch(zombie, 2, 0), 0, Timestamp(3 * NEXT)), DedupVerdict::New);
    }

    #[test]
    fn of_an_epoch_of_which_only_the_fence_is_remembered_a_batch_may_have_been_forgotten() {
        let mut table = full([]);
        let fence = FrameHeader { kind: FrameKind::ProducerFence, ..data(batch(999, 2, 0), NEXT) };
        table.fold(&fence);
        assert!(matches!(table.check(&batch(999, 2, 1), 1, Timestamp(1)), DedupVerdict::Forgotten { .. }));
        assert_eq!(table.check(&batch(999, 2, 1), 1, Timestamp(NEXT)), DedupVerdict::New);
    }

    #[test]
    fn a_batch_is_absent_only_if_it_cannot_have_been_forgotten() {
        let few = table([data(batch(1, 256, 4), 1), data(batch(1, 256, 6), 2)]);
        assert!(matches!(few.trace(&batch(1, 256, 4)), Trace::Found(entry) if entry.index == Index(1)));
        for absent in [batch(1, 256, 5), batch(1, 256, 7), batch(1, 256, 3), batch(1, 257, 1), batch(2, 0, 0)]
        {
            assert_eq!(few.trace(&absent), Trace::Absent, "{absent:?}");
        }
        assert_eq!(few.trace(&batch(1, 255, 9)), Trace::Forgotten, "of an older epoch nothing is kept");
        let long = table((0..20).map(|n| data(batch(1, 0, n), n + 1)));
        assert_eq!([11, 20].map(|n| long.trace(&batch(1, 0, n))), [Trace::Forgotten, Trace::Absent]);
        let full = full([]);
        for lost in [batch(999, 1, 0), batch(7, 2, 0)] {
            assert_eq!(full.trace(&lost), Trace::Forgotten, "{lost:?}");
        }
        assert_eq!(full.trace(&batch(7, 1, 1)), Trace::Absent);
    }

    #[test]
    fn a_new_runs_epoch_is_above_all_that_the_producer_had_also_if_it_was_forgotten() {
        assert_eq!(table([]).next_run(ProducerId(1), 0), 256);
        let drained = table([data(batch(1, 258, 4), 1)]);
        assert_eq!(drained.next_run(ProducerId(1), 700), 768);
        let later = FIRST_MINUTE_NS + (3 << 36);
        let mut crowd: Vec<_> = (1..NEXT).map(|id| data(batch(id, 1, 0), later + id)).collect();
        crowd.insert(0, data(batch(999, 3 * 256, 0), later - 1));
        assert_eq!(table(crowd).next_run(ProducerId(999), 0), 4 * 256);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against a memory that forgets nothing: whatever floors, retries and late attempts, of runs of one process each.
        #[test]
        fn no_batch_enters_the_log_twice(steps in vec((0..2 * NEXT, any::<bool>(), 0_u8..8), 0..3_000)) {
            let (mut table, mut stored, mut now) = (DedupTable::default(), BTreeSet::new(), 0_u64);
            // Of each producer: its next sequence, and its last batch with the floor that it was first sent with.
            let mut runs: BTreeMap<u64, (u64, BatchId, u64)> = BTreeMap::new();
            for (id, retries, lag) in steps {
                let id = id + 1;
                let run = runs.entry(id).or_insert((1, batch(id, 1, 0), 0));
                if !retries {
                    // What it was told last lies a little back.
                    *run = (run.0 + 1, batch(id, 1, run.0), now.saturating_sub(u64::from(lag)));
                }
                let (_, sent, floor) = *run;
                if table.check(&sent, sent.sequence, Timestamp(floor)) == DedupVerdict::New {
                    now += 1;
                    table.fold(&data(sent, now));
                    prop_assert!(stored.insert(sent), "{sent:?} was stored twice");
                }
            }
        }
    }
}
