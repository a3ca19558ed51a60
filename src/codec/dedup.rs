//! What a shard remembers of its producers, so that a retried batch is recognised.
//!
//! A pure function of the frames folded in, in log order: every replica, and every replay, has the same
//! table. Bounded: the last `SHARD_IN_FLIGHT_MAX` batches of `PRODUCERS_MAX` producers; beyond that the
//! producer whose last batch is oldest, by its timestamp in the log, is forgotten first.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut};

use super::{Error, FrameHeader, FrameKind};
use crate::types::{BatchId, Index, Offset, ProducerId, SHARD_IN_FLIGHT_MAX, Term, Timestamp};

/// The most producers a shard remembers.
pub const PRODUCERS_MAX: usize = 256;

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
        if self.producers.len() > PRODUCERS_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.producers.iter().min_by_key(|(id, producer)| (producer.last_seen, **id));
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.producers.remove(&id);
        }
    }

    /// What `batch` is. `lowest_open` is the lowest sequence its producer still waits for: it will never
    /// send a lower one again, so a producer that gave a batch up may go on above it.
    pub fn check(&self, batch: &BatchId, lowest_open: u64) -> DedupVerdict {
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
            return Self::next_or_gap(batch.sequence, lowest_open);
        };
        if let Some(entry) = batches.iter().find(|entry| entry.sequence == batch.sequence) {
            return DedupVerdict::Duplicate(*entry);
        }
        if batch.sequence < last.sequence {
            return DedupVerdict::TooOld;
        }
        Self::next_or_gap(batch.sequence, lowest_open.max(last.sequence.saturating_add(1)))
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
    use super::*;
    use crate::codec::Compression;

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
        assert_eq!(table.check(&batch(1, 0, 7), 7), DedupVerdict::New);
        assert_eq!(table.check(&batch(1, 0, 8), 7), DedupVerdict::Gap { expected: 7 });
        assert_eq!(table.check(&batch(0, 0, 99), 0), DedupVerdict::New);
    }

    #[test]
    fn a_remembered_batch_is_a_duplicate_and_an_older_one_is_too_old() {
        let table = table((0..20).map(|n| data(batch(1, 0, n), n + 1)));
        assert!(
            matches!(table.check(&batch(1, 0, 19), 12), DedupVerdict::Duplicate(found) if found.index == Index(20))
        );
        assert!(matches!(table.check(&batch(1, 0, 12), 12), DedupVerdict::Duplicate(_)));
        assert_eq!(table.check(&batch(1, 0, 11), 11), DedupVerdict::TooOld);
        assert_eq!(table.check(&batch(1, 0, 20), 13), DedupVerdict::New);
        assert_eq!(table.check(&batch(1, 0, 21), 13), DedupVerdict::Gap { expected: 20 });
    }

    #[test]
    fn a_batch_its_producer_gave_up_leaves_no_gap() {
        let table = table([data(batch(1, 0, 4), 1)]);
        assert_eq!(table.check(&batch(1, 0, 6), 6), DedupVerdict::New);
        assert_eq!(table.check(&batch(1, 0, 6), 5), DedupVerdict::Gap { expected: 5 });
    }

    #[test]
    fn a_newer_epoch_fences_the_older() {
        let mut table = table([data(batch(1, 2, 4), 1)]);
        assert_eq!(table.check(&batch(1, 1, 5), 5), DedupVerdict::Fenced { epoch: 2 });
        assert_eq!(table.check(&batch(1, 3, 0), 0), DedupVerdict::New);
        table.fold(&FrameHeader { kind: FrameKind::ProducerFence, ..data(batch(1, 3, 0), 2) });
        assert_eq!(table.check(&batch(1, 2, 5), 5), DedupVerdict::Fenced { epoch: 3 });
    }

    #[test]
    fn the_producer_whose_last_batch_is_oldest_is_forgotten_first() {
        let many = PRODUCERS_MAX as u64;
        let mut frames: Vec<_> = (1..=many).map(|id| data(batch(id, 0, 0), id)).collect();
        frames.push(data(batch(1, 0, 1), many + 1));
        frames.push(data(batch(many + 1, 0, 0), many + 2));
        let table = table(frames);
        assert_eq!(table.len(), PRODUCERS_MAX);
        assert!(matches!(table.check(&batch(1, 0, 1), 1), DedupVerdict::Duplicate(_)));
        assert_eq!(table.check(&batch(2, 0, 0), 0), DedupVerdict::New);
    }
}
