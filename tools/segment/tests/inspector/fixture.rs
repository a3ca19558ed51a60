//! Replicas of one shard in temporary folders, written by Timberline's own log; and the command, run as users run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use timberline::codec::{
    Compression, Frame, FrameHeader, FrameKind, ShardState, checksum, encode_order_mark, encode_records,
};
use timberline::disk::{Disk, OsDisk};
use timberline::log::{Log, LogIdentity, LogOptions};
use timberline::types::{
    BatchId, Index, Membership, OrderMark, ProducerId, Record, ReplicaId, ShardId, Term, Timestamp, TopicId,
    Vote,
};
use timberline_segment::finding::Finding;
use timberline_segment::folder::open_all;
use timberline_segment::verify::verify;

pub(crate) const OPTIONS: LogOptions =
    LogOptions { first_segment_bytes: 8 << 10, segment_bytes_max: 16 << 10, open_segments_max: 4 };
const SHARD: ShardId = ShardId(7);
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

fn identity(replica: u64) -> LogIdentity {
    let cluster = "test".parse().unwrap();
    LogIdentity { cluster, topic: TopicId(2), shard: SHARD, replica: ReplicaId(replica) }
}

fn genesis() -> ShardState {
    let voters = vec![ReplicaId(1), ReplicaId(2), ReplicaId(3)];
    let membership = Membership { voters, ..Membership::default() };
    ShardState::genesis(&identity(1).cluster, &SHARD, membership)
}

/// Makes frames that follow one another.
pub(crate) struct Leader {
    pub(crate) state: ShardState,
    pub(crate) term: u64,
}

impl Leader {
    pub(crate) fn new() -> Self {
        Self { state: genesis(), term: 1 }
    }

    fn frame(&mut self, kind: FrameKind, records: &[Record], compression: Compression) -> Frame {
        let batch = encode_records(records).ok().map(|batch| batch.compressed(compression));
        let body = batch.as_ref().map_or_else(Bytes::new, |batch| batch.body.clone());
        let compression = batch.map_or(Compression::None, |batch| batch.compression);
        self.stamp(kind, records.len() as u32, compression, body)
    }

    /// An order mark.
    pub(crate) fn mark(&mut self, mark: &OrderMark) -> Frame {
        self.stamp(FrameKind::OrderMark, 0, Compression::None, encode_order_mark(mark))
    }

    fn stamp(&mut self, kind: FrameKind, record_count: u32, compression: Compression, body: Bytes) -> Frame {
        let state = &self.state;
        let header = FrameHeader {
            kind,
            compression,
            body_crc: if body.is_empty() { 0 } else { checksum(&[&body]) },
            body_len: body.len() as u32,
            record_count,
            term: Term(self.term),
            index: state.index.plus(1),
            first_offset: state.next_offset,
            first_timestamp: state.last_timestamp.max(START).plus_ns(1_000_000),
            uncertainty_ns: 250_000,
            committed: Index(state.index.0.saturating_sub(1)),
            batch: BatchId { producer: ProducerId(11), epoch: 0, sequence: state.index.0 },
            chain: state.chain,
            start: Index(0),
        };
        let frame = Frame::new(header, body);
        self.state.fold(&header, frame.header_crc());
        frame
    }

    /// A batch of so many records, each of `bytes` bytes.
    pub(crate) fn batch(&mut self, records: u64, bytes: usize, compression: Compression) -> Frame {
        let first = self.state.next_offset.0;
        let record = |n| Record {
            key: Some(format!("key {}", first + n).into()),
            value: Some(vec![b'a' + (n % 26) as u8; bytes].into()),
            ..Record::default()
        };
        self.frame(FrameKind::Data, &(0..records).map(record).collect::<Vec<_>>(), compression)
    }

    /// Batches enough for several segments, with every compression and two terms.
    pub(crate) fn story(&mut self) -> Vec<Frame> {
        let mut frames = vec![self.frame(FrameKind::LeaderStart, &[], Compression::None)];
        for n in 0..60 {
            frames.push(self.batch(1 + n % 4, 100, Compression::ALL[(n % 3) as usize]));
        }
        self.term = 2;
        frames.push(self.frame(FrameKind::LeaderStart, &[], Compression::None));
        frames.extend((0..20).map(|_| self.batch(2, 150, Compression::None)));
        frames
    }
}

/// A node's folder with one replica of the shard, which holds `frames`.
pub(crate) struct Replica {
    root: TempDir,
}

impl Replica {
    pub(crate) fn new(replica: u64, frames: &[Frame]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(root.path()).unwrap());
        let folder = Path::new("shards/7");
        let mut log =
            Log::create(Arc::clone(&disk), folder, &identity(replica), &genesis(), OPTIONS).unwrap();
        let sync = |log: &mut Log| {
            disk.sync(&log.take_dirty().unwrap()).into_iter().for_each(Result::unwrap);
            log.note_synced();
        };
        for frame in frames {
            log.append(std::slice::from_ref(frame), Index(0)).unwrap();
            sync(&mut log);
        }
        let committed = Index(frames.len() as u64 - 1);
        log.save_vote(Vote { term: Term(2), voted_for: Some(ReplicaId(1)), committed }).unwrap();
        sync(&mut log);
        log.mark_synced();
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root().join("shards/7")
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.folder().join(format!("{number:020}.segment"))
    }

    /// The last segment that holds a frame.
    pub(crate) fn last_used(&self) -> u64 {
        let is_used =
            |number: &u64| self.segment(*number).exists() && !places(&self.segment(*number)).is_empty();
        (1..30).rfind(is_used).unwrap()
    }
}

/// Puts `bytes` into a file.
pub(crate) fn overwrite(file: &Path, at: usize, bytes: &[u8]) {
    let mut content = std::fs::read(file).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(file, content).unwrap();
}

pub(crate) fn flip(file: &Path, at: usize) {
    let byte = std::fs::read(file).unwrap()[at];
    overwrite(file, at, &[byte ^ 0x40]);
}

/// The files of format version 1, copied.
pub(crate) fn golden() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/format-v1");
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// All files of a folder, by name.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().into(), std::fs::read(&path).unwrap())).collect()
}

pub(crate) fn findings(path: &Path) -> Vec<Finding> {
    verify(&open_all(path).unwrap(), 1, &|_| ()).findings
}

/// Where each frame of a segment stands.
pub(crate) fn places(segment: &Path) -> Vec<(usize, usize)> {
    use timberline_segment::scan::{Depth, Event, Scan};
    let bytes = std::fs::read(segment).unwrap();
    let found = Scan::of_file(&bytes, Depth::Bodies).filter_map(|event| match event {
        Event::Frame(found) => Some((found.at_byte as usize, found.end_byte as usize)),
        _ => None,
    });
    found.collect()
}

/// What a run of the command gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn run(arguments: &[&str], paths: &[&Path]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timberline-segment"));
    let output = command.args(arguments).args(paths).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}
