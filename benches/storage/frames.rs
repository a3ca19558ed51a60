//! Frames that follow one another, and the log that they are written to.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use timberline::codec::{Compression, Frame, FrameHeader, FrameKind, ShardState, checksum};
use timberline::disk::Disk;
use timberline::log::{Log, LogIdentity, LogOptions};
use timberline::types::{BatchId, Index, Membership, ReplicaId, ShardId, Term, TopicId};

/// One segment holds all of a benchmark's frames: a roll is not what is measured.
pub(crate) const OPTIONS: LogOptions =
    LogOptions { first_segment_bytes: 64 << 20, segment_bytes_max: 64 << 20, open_segments_max: 64 };
pub(crate) const FOLDER: &str = "shards/1";

pub(crate) fn identity() -> LogIdentity {
    let cluster = "bench".parse().expect("a valid name");
    LogIdentity { cluster, topic: TopicId(1), shard: ShardId(1), replica: ReplicaId(1) }
}

pub(crate) fn genesis() -> ShardState {
    let membership = Membership { voters: vec![ReplicaId(1)], ..Membership::default() };
    ShardState::genesis(&identity().cluster, &ShardId(1), membership)
}

pub(crate) fn header_after(state: &ShardState, body: &Bytes, body_crc: u32) -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Data,
        compression: Compression::None,
        body_crc,
        body_len: body.len() as u32,
        record_count: 1,
        term: Term(1),
        index: state.index.plus(1),
        first_offset: state.next_offset,
        first_timestamp: state.last_timestamp.next(),
        uncertainty_ns: 1000,
        committed: state.index,
        batch: BatchId::default(),
        chain: state.chain,
        start: Index(0),
    }
}

/// Frames with bodies of `body_len` bytes, one after the other, `total_bytes` in all.
pub(crate) fn frames(body_len: usize, total_bytes: usize) -> Vec<Frame> {
    let (body, mut state) = (Bytes::from(vec![0x5a; body_len]), genesis());
    let crc = checksum(&[&body]);
    let next = |_| {
        let header = header_after(&state, &body, crc);
        let frame = Frame::new(header, body.clone());
        state.fold(&header, frame.header_crc());
        frame
    };
    (0..total_bytes / (128 + body_len)).map(next).collect()
}

/// Begins the log anew.
pub(crate) fn create(disk: &Arc<dyn Disk>) -> Log {
    let folder = Path::new(FOLDER);
    if !disk.list(folder).expect("a readable disk").is_empty() {
        disk.remove(folder).expect("a removable folder");
    }
    Log::create(Arc::clone(disk), folder, &identity(), &genesis(), OPTIONS).expect("room for a log")
}
