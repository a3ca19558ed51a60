//! What a long history costs: opening a log, and seeking in it, behind sealed segments of 64 MiB each.
//!
//! Sparse files stand for a disk of that size: each holds a few frames, and holes. Benchmark ids read
//! `group/operation/key=value`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use timberline::codec::{Compression, Frame, FrameHeader, FrameKind, ShardState, checksum};
use timberline::disk::{Disk, OsDisk};
use timberline::log::{Log, LogIdentity, LogOptions};
use timberline::segment::{Segment, SegmentHead};
use timberline::types::{BatchId, Index, Membership, Offset, ReplicaId, ShardId, Term, Timestamp, TopicId};

const SEGMENT_BYTES: u64 = 64 << 20;
const FRAMES_PER_SEGMENT: u64 = 100;
const FOLDER: &str = "shards/1";
const START_NS: u64 = 1_700_000_000_000_000_000;

fn identity() -> LogIdentity {
    let cluster = "bench".parse().expect("a valid name");
    LogIdentity { cluster, topic: TopicId(1), shard: ShardId(1), replica: ReplicaId(1) }
}

fn options() -> LogOptions {
    LogOptions {
        first_segment_bytes: SEGMENT_BYTES,
        segment_bytes_max: SEGMENT_BYTES,
        ..LogOptions::default()
    }
}

fn name(number: u64, suffix: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{number:020}.{suffix}"))
}

fn next_frame(state: &ShardState) -> Frame {
    let body = Bytes::from_static(&[0x5a; 1024]);
    let header = FrameHeader {
        kind: FrameKind::Data,
        compression: Compression::None,
        body_crc: checksum(&[&body]),
        body_len: body.len() as u32,
        record_count: 1,
        term: Term(1),
        index: state.index.plus(1),
        first_offset: state.next_offset,
        first_timestamp: state.last_timestamp.max(Timestamp(START_NS)).plus_ns(1000),
        uncertainty_ns: 1000,
        committed: state.index,
        batch: BatchId::default(),
        chain: state.chain,
        start: Index(0),
    };
    Frame::new(header, body)
}

/// A log of that many segments, all but the last sealed and indexed; gives its last offset and timestamp.
fn history(root: &Path, segments: u64) -> (Offset, Timestamp) {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(root).expect("a folder"));
    let membership = Membership { voters: vec![ReplicaId(1)], ..Membership::default() };
    let mut state = ShardState::genesis(&identity().cluster, &ShardId(1), membership);
    // For its vote; its one segment is replaced below.
    drop(Log::create(Arc::clone(&disk), Path::new(FOLDER), &identity(), &state, options()).expect("a log"));
    for number in 1..=segments {
        let sparse = File::create(root.join(name(number, "segment"))).expect("a file");
        sparse.set_len(SEGMENT_BYTES).expect("a hole");
        let head = SegmentHead {
            identity: identity(),
            state: state.clone(),
            begins_log: number == 1,
            previous: number - 1,
            file_bytes: 0,
        };
        let file = disk.open(&name(number, "segment")).expect("it was just made");
        let mut segment = Segment::create(file, &head).expect("a segment");
        for _frame in 0..FRAMES_PER_SEGMENT {
            let frame = next_frame(&state);
            state.fold(&frame.header, frame.header_crc());
            segment.append(&[frame]).expect("room");
        }
        if number < segments {
            disk.write_unsynced(&name(number, "index"), &segment.seal()).expect("an index");
        }
    }
    (state.next_offset, state.last_timestamp)
}

fn open(root: &Path) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(root).expect("a folder"));
    Log::open(disk, Path::new(FOLDER), &identity(), options()).expect("a sound log").0
}

fn long_history(c: &mut Criterion) {
    let mut group = c.benchmark_group("history");
    group.sample_size(10);
    for gib in [1, 10, 100] {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (end, last) = history(root.path(), gib * (1 << 30) / SEGMENT_BYTES);
        group.bench_function(format!("open/sealed_gib={gib}"), |b| b.iter(|| open(root.path())));
        let log = open(root.path());
        let mut place = 0;
        group.bench_function(format!("seek_offset/sealed_gib={gib}"), |b| {
            b.iter(|| {
                // Each look-up goes elsewhere: few of the segments are open already.
                place = (place + end.0 * 5 / 8 + 1) % end.0;
                log.seek_offset(Offset(place)).expect("it is there")
            });
        });
        group.bench_function(format!("seek_time/sealed_gib={gib}"), |b| {
            b.iter(|| {
                let span_ns = last.0 - START_NS;
                place = (place + span_ns * 5 / 8 + 1) % span_ns;
                log.seek(Timestamp(START_NS + place)).expect("it is there")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, long_history);
criterion_main!(benches);
