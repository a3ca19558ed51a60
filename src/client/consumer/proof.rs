//! From a delivery's bytes to proved records, and what one shard's stream must go on with.
//!
//! Sans-IO. A delivery is taken in parts, since a few bytes may decompress to many. A part is refused as a whole,
//! before any of it is handed on, if a frame's header or body fails its CRC, if a record is missing, or if one was
//! stamped at or before what the shard was closed at.
//! Records whose keys are not wanted are proved like all others, then dropped.
//! Order marks come in their place among the records; one that this build cannot read is stepped over.
//! Records seen before, or before the start, are skipped: so any replica can go on where another ended.

use std::sync::Arc;

use bytes::Bytes;

use super::{Consumed, Item, Marked, Skipped};
use crate::client::Error;
use crate::codec::{Frame, FrameHeader, FrameKind, HEADER_BYTES, decode_order_mark, decode_records};
use crate::routing::KeyRange;
use crate::types::{Offset, ShardId, Timestamp, TopicName};

/// A part of a delivery ends with the frame whose records bring it to so many bytes.
const PART_BYTES: usize = 8 << 20;

/// What was read of one shard so far.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    topic: Arc<TopicName>,
    shard: ShardId,
    keys: Option<KeyRange>,
    /// The first timestamp not yet read: everything below it was delivered, or is not wanted.
    from: Timestamp,
    /// The offset of the next record, once it is known.
    next_offset: Option<Offset>,
}

/// A part of a delivery, proved.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) items: Vec<Item>,
    /// Everything at or below this was delivered, or is not wanted.
    pub(super) closed: Timestamp,
}

impl Progress {
    pub(super) fn new(
        topic: &Arc<TopicName>,
        shard: ShardId,
        from: Timestamp,
        keys: Option<KeyRange>,
    ) -> Self {
        Self { topic: Arc::clone(topic), shard, keys, from, next_offset: None }
    }

    /// From where to subscribe.
    pub(super) fn from(&self) -> Timestamp {
        self.from
    }

    /// Proves the next part of a delivery, its frames one after the other, and cuts it off `payload`; with the last
    /// part comes the timestamp that the delivery closes. A reader of everything begins at `kept_from`, the first record
    /// that the replica keeps. Nothing is taken from a part that fails, so another replica can be asked for the same.
    pub(super) fn accept(
        &mut self,
        address: &str,
        payload: &mut Bytes,
        closed: Timestamp,
        kept_from: Offset,
    ) -> Result<Delivered, Error> {
        let mut next = self.clone();
        if self.from <= Timestamp::ZERO.next() {
            next.next_offset.get_or_insert(kept_from);
        }
        let mut delivered = Delivered::default();
        let mut expanded_bytes = 0;
        while !payload.is_empty() && expanded_bytes < PART_BYTES {
            let corrupt = |source| Error::Corrupt { shard: self.shard, address: address.to_owned(), source };
            let frame = take_frame(payload).map_err(corrupt)?;
            next.take_items(address, &frame, &mut delivered.items)?;
            expanded_bytes += frame.header.compression.expanded_len(&frame.body).map_err(corrupt)?;
        }
        if payload.is_empty() && closed > Timestamp::ZERO {
            next.from = next.from.max(closed.next());
        }
        // However little of it was wanted, the merge learns how far it came.
        delivered.closed = next.from.minus_ns(1);
        *self = next;
        Ok(delivered)
    }

    /// Goes on behind what was trimmed away, some of which was wanted, and says so in its place.
    pub(super) fn skip(&mut self, kept_from: Offset, through: Timestamp) -> Delivered {
        assert!(self.from <= through, "shard {}: nothing wanted was trimmed through {through}", self.shard);
        let skipped = Skipped { shard: self.shard, from: self.from, through, kept_from };
        (self.from, self.next_offset) = (through.next(), Some(kept_from));
        Delivered { items: vec![Item::Skipped(skipped)], closed: through }
    }

    fn take_items(&mut self, address: &str, frame: &Frame, into: &mut Vec<Item>) -> Result<(), Error> {
        let header = &frame.header;
        if header.kind == FrameKind::OrderMark
            && header.first_timestamp >= self.from
            && let Ok(mark) = decode_order_mark(&frame.body)
        {
            let (shard, timestamp) = (self.shard, header.first_timestamp);
            into.push(Item::Mark(Marked { shard, timestamp, mark }));
            self.from = timestamp.next();
        }
        if header.kind != FrameKind::Data || header.record_count == 0 {
            return Ok(());
        }
        let records = decode_records(&frame.body, header.compression, header.record_count)
            .map_err(|source| Error::Corrupt { shard: self.shard, address: address.to_owned(), source })?;
        for (at, record) in (0..).zip(records) {
            let (offset, timestamp) = (header.first_offset.plus(at), header.first_timestamp.plus_ns(at));
            if self.wants(address, offset, timestamp)? {
                if self.wants_key(record.key.as_deref()) {
                    let (topic, shard) = (Arc::clone(&self.topic), self.shard);
                    into.push(Item::Record(Consumed { topic, shard, offset, timestamp, record }));
                }
                self.from = timestamp.next();
                self.next_offset = Some(offset.plus(1));
            }
        }
        Ok(())
    }

    fn wants_key(&self, key: Option<&[u8]>) -> bool {
        self.keys.as_ref().is_none_or(|keys| key.is_some_and(|key| keys.contains(key)))
    }

    fn wants(&self, address: &str, offset: Offset, timestamp: Timestamp) -> Result<bool, Error> {
        match self.next_offset {
            None => Ok(timestamp >= self.from),
            Some(next) if offset < next => Ok(false),
            Some(expected) if offset > expected => {
                Err(Error::Gap { shard: self.shard, address: address.to_owned(), expected, found: offset })
            }
            Some(_) if timestamp < self.from => Err(Error::BrokenOrder {
                shard: self.shard,
                address: address.to_owned(),
                offset,
                found: timestamp,
                expected_from: self.from,
            }),
            Some(_) => Ok(true),
        }
    }
}

/// Cuts the first frame off `rest` and proves it.
fn take_frame(rest: &mut Bytes) -> Result<Frame, crate::codec::Error> {
    let header = FrameHeader::decode(rest)?;
    let (needed, available) = (header.frame_len(), rest.len());
    if needed > available {
        return Err(crate::codec::Error::Short { needed, available });
    }
    let mut frame = rest.split_to(needed);
    let body = frame.split_off(HEADER_BYTES);
    Frame::decode(frame, body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::Kind;
    use crate::client::testing::{frames_of, mark_at, topic_name};
    use crate::codec::{Compression, encode_records};
    use crate::types::{MarkReason, NodeId, OrderMark, Record};

    const SHARD: ShardId = ShardId(3);

    fn progress(from: u64) -> Progress {
        Progress::new(&Arc::new(topic_name()), SHARD, Timestamp(from), None)
    }

    fn places(delivered: &Delivered) -> Vec<(u64, u64)> {
        let record = |item: &Item| match item {
            Item::Record(record) => Some((record.offset.0, record.timestamp.0)),
            _ => None,
        };
        delivered.items.iter().filter_map(record).collect()
    }

    fn bytes_of(frames: &[Frame]) -> Bytes {
        frames.iter().flat_map(|frame| [&frame.header_bytes[..], &frame.body[..]].concat()).collect()
    }

    #[test]
    fn records_before_the_wanted_time_are_skipped_even_inside_a_frame() {
        let payload = bytes_of(&frames_of(SHARD, &[(10, 3), (20, 1)]));
        let delivered = progress(12).accept("a:1", &mut payload.clone(), Timestamp(25), Offset(0)).unwrap();
        assert_eq!(places(&delivered), [(2, 12), (3, 20)]);
        assert_eq!(delivered.closed, Timestamp(25));
    }

    #[test]
    fn another_replica_goes_on_without_gap_or_repeat() {
        let frames = frames_of(SHARD, &[(10, 2), (20, 2), (30, 1)]);
        let mut progress = progress(0);
        progress.accept("a:1", &mut bytes_of(&frames[..1]), Timestamp(15), Offset(0)).unwrap();
        assert_eq!(progress.from(), Timestamp(16));
        let delivered = progress.accept("b:1", &mut bytes_of(&frames), Timestamp(0), Offset(0)).unwrap();
        assert_eq!(places(&delivered), [(2, 20), (3, 21), (4, 30)]);
    }

    #[test]
    fn a_missing_record_is_named_and_nothing_of_that_delivery_is_taken() {
        let frames = frames_of(SHARD, &[(10, 2), (20, 2), (30, 1)]);
        let mut progress = progress(0);
        progress.accept("a:1", &mut bytes_of(&frames[..1]), Timestamp(0), Offset(0)).unwrap();
        let error =
            progress.accept("a:1", &mut bytes_of(&frames[2..]), Timestamp(40), Offset(0)).unwrap_err();
        assert!(matches!(error, Error::Gap { expected: Offset(2), found: Offset(4), .. }), "{error}");
        assert_eq!(
            progress
                .accept("b:1", &mut bytes_of(&frames[1..]), Timestamp(40), Offset(0))
                .unwrap()
                .items
                .len(),
            3
        );
    }

    #[test]
    fn a_record_stamped_before_what_was_closed_is_named_as_broken_order() {
        let frames = frames_of(SHARD, &[(10, 1), (20, 1)]);
        let mut progress = progress(0);
        progress.accept("a:1", &mut bytes_of(&frames[..1]), Timestamp(20), Offset(0)).unwrap();
        let error =
            progress.accept("a:1", &mut bytes_of(&frames[1..]), Timestamp(20), Offset(0)).unwrap_err();
        assert!(matches!(error, Error::BrokenOrder { found: Timestamp(20), .. }), "{error}");
    }

    #[test]
    fn a_mark_comes_in_its_place_once_and_one_that_cannot_be_read_is_stepped_over() {
        let (from, until) = (Timestamp(5), Timestamp(11));
        let mark = OrderMark { node: NodeId(2), from, until, off_by_ns: 9, reason: MarkReason::Outvoted };
        let mut frames = frames_of(SHARD, &[(10, 2), (20, 1)]);
        frames.insert(1, mark_at(&frames[0].header, Timestamp(15), &mark));
        let mut reader = progress(0);
        let delivered = reader.accept("a:1", &mut bytes_of(&frames), Timestamp(0), Offset(0)).unwrap();
        assert_eq!(places(&delivered), [(0, 10), (1, 11), (2, 20)]);
        assert_eq!(delivered.items[2], Item::Mark(Marked { shard: SHARD, timestamp: Timestamp(15), mark }));
        let again = reader.accept("b:1", &mut bytes_of(&frames), Timestamp(0), Offset(0)).unwrap();
        assert_eq!(again.items, []);
        let body = Bytes::from_static(b"of a later version");
        let header =
            FrameHeader { body_crc: crate::codec::checksum(&[&body]), body_len: 18, ..frames[1].header };
        frames[1] = Frame::new(header, body);
        let delivered = progress(0).accept("a:1", &mut bytes_of(&frames), Timestamp(0), Offset(0)).unwrap();
        assert_eq!((places(&delivered).len(), delivered.items.len()), (3, 3));
    }

    #[test]
    fn few_bytes_that_decompress_to_many_are_taken_in_parts() {
        let value = Some(Bytes::from(vec![0; 1_000_000]));
        let record = Record { value, ..Record::default() };
        let batch = encode_records(&vec![record; 4]).unwrap().compressed(Compression::Zstd);
        let frame = |at: u64| {
            let mut header = frames_of(SHARD, &[(10 + at * 10, 4)]).remove(0).header;
            header.compression = batch.compression;
            (header.body_crc, header.body_len) = (batch.crc, batch.body.len() as u32);
            header.first_offset = Offset(at * 4);
            Frame::new(header, batch.body.clone())
        };
        let mut payload = bytes_of(&(0..7).map(frame).collect::<Vec<_>>());
        assert!(payload.len() < 10_000);
        let (mut progress, mut parts) = (progress(0), Vec::new());
        while !payload.is_empty() {
            let delivered = progress.accept("a:1", &mut payload, Timestamp(100), Offset(0)).unwrap();
            parts.push((delivered.items.len(), delivered.closed.0));
        }
        assert_eq!(parts, [(12, 33), (12, 63), (4, 100)]);
        assert_eq!(progress.from(), Timestamp(101));
    }

    #[test]
    fn a_reader_of_everything_begins_at_the_first_record_kept_and_nowhere_behind_it() {
        let frames = frames_of(SHARD, &[(10, 2), (20, 2), (30, 1)]);
        let mut reader = progress(1);
        let error = reader.accept("a:1", &mut bytes_of(&frames[2..]), Timestamp(0), Offset(2)).unwrap_err();
        assert!(matches!(error, Error::Gap { expected: Offset(2), found: Offset(4), .. }), "{error}");
        let delivered = reader.accept("b:1", &mut bytes_of(&frames[1..]), Timestamp(0), Offset(2)).unwrap();
        assert_eq!(places(&delivered), [(2, 20), (3, 21), (4, 30)]);
        let mut late = progress(25);
        let delivered = late.accept("a:1", &mut bytes_of(&frames[2..]), Timestamp(0), Offset(2)).unwrap();
        assert_eq!(places(&delivered), [(4, 30)]);
    }

    proptest! {
        #[test]
        fn any_flipped_byte_is_noticed(at: proptest::sample::Index, bit in 0_u8..8) {
            let mut bytes = bytes_of(&frames_of(SHARD, &[(10, 2), (20, 1)])).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let error = progress(0).accept("a:1", &mut bytes.into(), Timestamp(0), Offset(0)).unwrap_err();
            prop_assert_eq!(error.kind(), Kind::Corruption);
        }
    }
}
