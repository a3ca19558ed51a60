//! A log on a disk in memory, and a leader that makes frames for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::{Compression, Frame, FrameHeader, FrameKind, ShardState, checksum};
use crate::disk::{Disk, MemoryDisk};
use crate::log::{Error, Log, LogIdentity, LogOptions, Recovery};
use crate::types::{BatchId, ClusterId, Index, Membership, ProducerId, ReplicaId, ShardId, Term, TopicId};

pub(super) const FOLDER: &str = "shards/7";
pub(super) const FIRST_SEGMENT: &str = "shards/7/00000000000000000001.segment";
pub(super) const OPTIONS: LogOptions =
    LogOptions { first_segment_bytes: 8 << 10, segment_bytes_max: 32 << 10, open_segments_max: 2 };

pub(super) fn folder() -> &'static Path {
    Path::new(FOLDER)
}

pub(super) fn segment(number: u64) -> PathBuf {
    crate::log::names::segment(folder(), number)
}

fn cluster() -> ClusterId {
    "test".parse().unwrap()
}

pub(super) fn identity() -> LogIdentity {
    LogIdentity { cluster: cluster(), topic: TopicId(2), shard: ShardId(7), replica: ReplicaId(3) }
}

pub(super) fn genesis() -> ShardState {
    let voters = vec![ReplicaId(1), ReplicaId(2), ReplicaId(3)];
    ShardState::genesis(&cluster(), &ShardId(7), Membership { voters, ..Membership::default() })
}

pub(super) fn create(disk: &Arc<MemoryDisk>) -> Log {
    Log::create(Arc::clone(disk) as Arc<dyn Disk>, folder(), &identity(), &genesis(), OPTIONS).unwrap()
}

pub(super) fn try_open(disk: &Arc<MemoryDisk>) -> Result<(Log, Recovery), Error> {
    Log::open(Arc::clone(disk) as Arc<dyn Disk>, folder(), &identity(), OPTIONS)
}

pub(super) fn open(disk: &Arc<MemoryDisk>) -> (Log, Recovery) {
    try_open(disk).unwrap()
}

pub(super) fn sync(disk: &MemoryDisk, log: &mut Log) {
    disk.sync(&log.take_dirty().unwrap()).into_iter().for_each(Result::unwrap);
    log.note_synced();
}

/// All frames of the log.
pub(super) fn all(log: &Log) -> Vec<Frame> {
    if log.last_index() < log.first_index() {
        return Vec::new();
    }
    log.frames(log.first_index(), log.last_index().plus(1), u64::MAX, crate::log::Share::Copy).unwrap()
}

/// The error of an opening that must be refused, with every file as it was before.
pub(super) fn refused(disk: &Arc<MemoryDisk>) -> Error {
    let before = contents(disk);
    let error = try_open(disk).err().expect("the log is refused");
    assert!(before == contents(disk), "a refused log is left as it is");
    error
}

fn contents(disk: &MemoryDisk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let names = disk.list(folder()).unwrap();
    names.into_iter().map(|name| (name.clone(), disk.read(&folder().join(name)).unwrap())).collect()
}

/// Makes frames that follow one another.
#[derive(Clone)]
pub(super) struct Leader {
    pub(super) state: ShardState,
    pub(super) term: Term,
    pub(super) committed: Index,
    pub(super) sequence: u64,
}

impl Leader {
    pub(super) fn new() -> Self {
        Self::after(genesis(), 1)
    }

    pub(super) fn after(state: ShardState, term: u64) -> Self {
        Self { state, term: Term(term), committed: Index(0), sequence: 0 }
    }

    /// A data frame of `record_count` records, or, of none, one of a kind that may have such a body.
    pub(super) fn frame(&mut self, record_count: u32, body_len: usize) -> Frame {
        let fill = (self.state.index.0 as u8).wrapping_mul(31) | 1;
        let body = Bytes::from(vec![fill; body_len]);
        let (kind, first_timestamp) = if record_count == 0 {
            let kind = if body_len == 0 { FrameKind::LeaderStart } else { FrameKind::OrderMark };
            (kind, self.state.last_timestamp)
        } else {
            (FrameKind::Data, self.state.last_timestamp.plus_ns(10))
        };
        self.sequence += 1;
        let producer = ProducerId(1 + self.sequence % 3);
        let header = FrameHeader {
            kind,
            compression: Compression::None,
            body_crc: checksum(&[&body]),
            body_len: body_len as u32,
            record_count,
            term: self.term,
            index: self.state.index.plus(1),
            first_offset: self.state.next_offset,
            first_timestamp,
            uncertainty_ns: 1000,
            committed: self.committed,
            batch: BatchId { producer, epoch: 0, sequence: self.sequence },
            chain: self.state.chain,
            start: Index(0),
        };
        let frame = Frame::new(header, body);
        self.state.fold(&header, frame.header_crc());
        frame
    }

    /// A trim frame that keeps what is at or above `start`.
    pub(super) fn trim(&mut self, start: Index) -> Frame {
        let header = FrameHeader {
            kind: FrameKind::Trim,
            compression: Compression::None,
            body_crc: 0,
            body_len: 0,
            record_count: 0,
            term: self.term,
            index: self.state.index.plus(1),
            first_offset: self.state.next_offset,
            first_timestamp: self.state.last_timestamp.next(),
            uncertainty_ns: 1000,
            committed: self.committed,
            batch: BatchId::default(),
            chain: self.state.chain,
            start,
        };
        let frame = Frame::new(header, Bytes::new());
        self.state.fold(&header, frame.header_crc());
        frame
    }

    pub(super) fn frames(&mut self, count: usize, body_len: usize) -> Vec<Frame> {
        (0..count).map(|_| self.frame(2, body_len)).collect()
    }
}
