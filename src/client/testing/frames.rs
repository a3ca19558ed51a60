//! Frames as a shard would have written them.

use crate::codec::{Compression, Frame, FrameHeader, FrameKind, checksum, encode_order_mark, encode_records};
use crate::types::{BatchId, Index, Offset, OrderMark, Record, ShardId, Term, Timestamp};

/// One frame per `(first timestamp, records)`, from offset 0 on. Values count the shard's records.
pub(in crate::client) fn frames_of(shard: ShardId, batches: &[(u64, u64)]) -> Vec<Frame> {
    padded_frames_of(shard, batches, 0)
}

/// The same, with values of at least so many bytes.
pub(in crate::client) fn padded_frames_of(
    shard: ShardId,
    batches: &[(u64, u64)],
    value_bytes: usize,
) -> Vec<Frame> {
    let mut offsets = 0..;
    let value = |at: u64| Some(format!("{shard}:{at:<value_bytes$}").into());
    let mut record = || Record { value: offsets.next().and_then(value), ..Record::default() };
    let batches =
        batches.iter().map(|(timestamp, count)| (*timestamp, (0..*count).map(|_| record()).collect()));
    frames_with(batches.collect())
}

/// One frame per `(first timestamp, records)`, whose records have these keys and nothing else.
pub(in crate::client) fn keyed_frames_of(batches: &[(u64, &[&'static str])]) -> Vec<Frame> {
    let record = |key: &&'static str| Record { key: Some((*key).into()), ..Record::default() };
    let batch = |(timestamp, keys): &(u64, &[&'static str])| (*timestamp, keys.iter().map(record).collect());
    frames_with(batches.iter().map(batch).collect())
}

fn frames_with(batches: Vec<(u64, Vec<Record>)>) -> Vec<Frame> {
    let mut offset = 0;
    let mut frames = Vec::new();
    for (index, (timestamp, records)) in (1..).zip(batches) {
        let batch = encode_records(&records).expect("small records are encoded");
        let header = FrameHeader {
            kind: FrameKind::Data,
            compression: Compression::None,
            body_crc: batch.crc,
            body_len: batch.body.len() as u32,
            record_count: batch.count,
            term: Term(1),
            index: Index(index),
            first_offset: Offset(offset),
            first_timestamp: Timestamp(timestamp),
            uncertainty_ns: 0,
            committed: Index(0),
            batch: BatchId::default(),
            chain: 0,
            start: Index(0),
        };
        frames.push(Frame::new(header, batch.body));
        offset += u64::from(header.record_count);
    }
    frames
}

/// A mark that is stamped `at` and follows the frame with the header `before`.
pub(in crate::client) fn mark_at(before: &FrameHeader, at: Timestamp, mark: &OrderMark) -> Frame {
    let body = encode_order_mark(mark);
    let header = FrameHeader {
        kind: FrameKind::OrderMark,
        body_crc: checksum(&[&body]),
        body_len: body.len() as u32,
        record_count: 0,
        index: before.index.plus(1),
        first_offset: before.next_offset(),
        first_timestamp: at,
        ..*before
    };
    Frame::new(header, body)
}
