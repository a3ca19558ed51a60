//! The values that the files of format version 1 hold.

use bytes::Bytes;
use timberline::codec::{Compression, Frame, FrameHeader, FrameKind, ShardState, checksum, encode_records};
use timberline::log::LogIdentity;
use timberline::types::{
    BatchId, Header, Index, Membership, ProducerId, Record, ReplicaId, ShardId, Term, Timestamp, TopicId,
};

/// 2023-11-14T22:13:20Z.
const START_NS: u64 = 1_700_000_000_000_000_000;
pub(crate) fn identity() -> LogIdentity {
    let cluster = "golden".parse().unwrap();
    LogIdentity { cluster, topic: TopicId(2), shard: ShardId(7), replica: ReplicaId(3) }
}

pub(crate) fn membership(voters: &[u64], learners: &[u64], outgoing: &[u64]) -> Membership {
    let ids = |ids: &[u64]| ids.iter().copied().map(ReplicaId).collect();
    Membership { voters: ids(voters), learners: ids(learners), outgoing: ids(outgoing) }
}

pub(crate) fn genesis() -> ShardState {
    ShardState::genesis(&identity().cluster, &ShardId(7), membership(&[1, 2, 3], &[], &[]))
}

/// A frame, but for its place in the log.
pub(crate) struct Planned {
    pub(crate) kind: FrameKind,
    pub(crate) compression: Compression,
    pub(crate) term: u64,
    pub(crate) timestamp: Timestamp,
    pub(crate) committed: u64,
    pub(crate) batch: BatchId,
    pub(crate) start: u64,
    pub(crate) records: Vec<Record>,
    /// Of a frame without records.
    pub(crate) bytes: &'static [u8],
}

impl Planned {
    fn of(kind: FrameKind, term: u64, at_ns: u64, committed: u64) -> Self {
        Self {
            kind,
            compression: Compression::None,
            term,
            timestamp: Timestamp(START_NS + at_ns),
            committed,
            batch: BatchId::default(),
            start: 0,
            records: Vec::new(),
            bytes: b"",
        }
    }

    /// Its body before compression.
    pub(crate) fn body(&self) -> Bytes {
        if self.records.is_empty() {
            return Bytes::from_static(self.bytes);
        }
        encode_records(&self.records).unwrap().body
    }

    /// The frame that follows `state`, with its body as stored.
    pub(crate) fn frame(&self, state: &ShardState, body: Bytes) -> Frame {
        // No clock is read for it: every replica derives it from the frame before.
        let derived = self.kind == FrameKind::LeaderStart;
        let header = FrameHeader {
            kind: self.kind,
            compression: self.compression,
            body_crc: checksum(&[&body]),
            body_len: body.len() as u32,
            record_count: self.records.len() as u32,
            term: Term(self.term),
            index: state.index.plus(1),
            first_offset: state.next_offset,
            first_timestamp: if derived { state.last_timestamp } else { self.timestamp },
            uncertainty_ns: if derived { 0 } else { 250_000 },
            committed: Index(self.committed),
            batch: self.batch,
            chain: state.chain,
            start: Index(self.start),
        };
        Frame::new(header, body)
    }
}

fn batch(producer: u64, epoch: u32, sequence: u64) -> BatchId {
    BatchId { producer: ProducerId(producer), epoch, sequence }
}

fn alike(count: u64) -> Vec<Record> {
    let value = |n: u64| Some(Bytes::from(format!("one of many records that are alike: {n}")));
    (0..count).map(|n| Record { key: Some("k".into()), value: value(n), ..Record::default() }).collect()
}

/// A record with everything, one with nothing, one whose key and value are there and empty.
fn unlike() -> Vec<Record> {
    let header = |name: &str, value: &'static [u8]| Header { name: name.into(), value: value.into() };
    let full = Record {
        key: Some("tail".into()),
        value: Some("N14228".into()),
        headers: vec![header("origin", b"EWR"), header("\u{b0}C", b"")],
        event_time_ns: Some(-1),
    };
    let empty = Record { key: Some("".into()), value: Some("".into()), ..Record::default() };
    vec![full, Record::default(), empty]
}

/// Every kind of frame and every compression, in two segments.
pub(crate) fn plan() -> Vec<Planned> {
    let data = |term, at_ns, committed, batch, compression, records| Planned {
        compression,
        batch,
        records,
        ..Planned::of(FrameKind::Data, term, at_ns, committed)
    };
    // raft's encoding of: add replica 4 as a learner.
    let add_learner = b"\x12\x04\x08\x02\x10\x04";
    vec![
        Planned::of(FrameKind::LeaderStart, 1, 0, 0),
        data(1, 1000, 1, batch(11, 0, 1), Compression::None, unlike()),
        data(1, 2000, 1, batch(11, 0, 2), Compression::Lz4, alike(20)),
        data(1, 3000, 3, batch(12, 3, 9), Compression::Zstd, alike(20)),
        Planned { bytes: add_learner, ..Planned::of(FrameKind::Membership, 1, 4000, 4) },
        Planned::of(FrameKind::OrderMark, 1, 5000, 5),
        Planned { batch: batch(12, 4, 0), ..Planned::of(FrameKind::ProducerFence, 1, 6000, 5) },
        Planned { start: 3, ..Planned::of(FrameKind::Trim, 1, 7000, 7) },
        data(1, 8000, 8, BatchId::default(), Compression::None, alike(1)),
        Planned::of(FrameKind::LeaderStart, 2, 0, 0),
        data(2, 10_000, 9, batch(11, 1, 0), Compression::Lz4, alike(5)),
    ]
}
