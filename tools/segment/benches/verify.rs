//! `verify` on one core over a log in the page cache, against a bare CRC of the same mapped bytes.
//!
//! `TIMBERLINE_BENCH_BYTES` sets the log's size (default 256 MiB); it is written once, into a temporary folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use timberline::codec::{Compression, Frame, FrameHeader, FrameKind, ShardState, encode_records};
use timberline::disk::{Disk, OsDisk};
use timberline::log::{Log, LogIdentity, LogOptions};
use timberline::types::{BatchId, Index, Membership, ProducerId, Record, ReplicaId, ShardId, Term, TopicId};
use timberline_segment::folder::open_all;
use timberline_segment::verify::verify;

/// One shape of a log: how many records a batch has, how large they are, how they are stored.
struct Shape {
    name: &'static str,
    records: usize,
    value_bytes: usize,
    compression: Compression,
}

const SHAPES: [Shape; 4] = [
    Shape { name: "100x200B", records: 100, value_bytes: 200, compression: Compression::None },
    Shape { name: "1x200B", records: 1, value_bytes: 200, compression: Compression::None },
    Shape { name: "1000x40B", records: 1000, value_bytes: 40, compression: Compression::None },
    Shape { name: "100x200B-lz4", records: 100, value_bytes: 200, compression: Compression::Lz4 },
];

fn write_log(root: &Path, bytes: u64, shape: &Shape) {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(root).unwrap());
    let identity = LogIdentity {
        cluster: "bench".parse().unwrap(),
        topic: TopicId(1),
        shard: ShardId(1),
        replica: ReplicaId(1),
    };
    let membership = Membership { voters: vec![ReplicaId(1)], ..Membership::default() };
    let mut state = ShardState::genesis(&identity.cluster, &identity.shard, membership);
    let folder = Path::new("shards/1");
    let mut log = Log::create(Arc::clone(&disk), folder, &identity, &state, LogOptions::default()).unwrap();
    let record = |n: usize| Record {
        key: Some(format!("key {n}").into()),
        value: Some((0..shape.value_bytes).map(|at| (at * 31 + n) as u8).collect()),
        ..Record::default()
    };
    let records: Vec<_> = (0..shape.records).map(record).collect();
    let plain = encode_records(&records).unwrap();
    let plain_bytes = plain.body.len();
    let batch = plain.compressed(shape.compression);
    println!("{}: a batch of {plain_bytes} bytes is stored in {}", shape.name, batch.body.len());
    let mut written = 0;
    while written < bytes {
        let header = FrameHeader {
            kind: FrameKind::Data,
            compression: batch.compression,
            body_crc: batch.crc,
            body_len: batch.body.len() as u32,
            record_count: batch.count,
            term: Term(1),
            index: state.index.plus(1),
            first_offset: state.next_offset,
            first_timestamp: state.last_timestamp.plus_ns(100_000),
            uncertainty_ns: 1000,
            committed: state.index,
            batch: BatchId { producer: ProducerId(1), epoch: 0, sequence: state.index.0 },
            chain: state.chain,
            start: Index(0),
        };
        let frame = Frame::new(header, batch.body.clone());
        state.fold(&header, frame.header_crc());
        written += header.frame_len() as u64;
        log.append(&[frame], Index(0)).unwrap();
    }
    disk.sync(&log.take_dirty().unwrap()).into_iter().for_each(Result::unwrap);
}

fn speed(criterion: &mut Criterion) {
    let bytes = std::env::var("TIMBERLINE_BENCH_BYTES").ok().and_then(|text| text.parse().ok());
    for shape in &SHAPES {
        let root = tempfile::tempdir().unwrap();
        write_log(root.path(), bytes.unwrap_or(256 << 20), shape);
        let folders = open_all(root.path()).unwrap();
        let size: u64 = folders[0].segments.iter().map(|segment| segment.bytes.len() as u64).sum();
        let mut group = criterion.benchmark_group(format!("verify/{}", shape.name));
        group.throughput(Throughput::Bytes(size)).sample_size(10).measurement_time(Duration::from_secs(5));
        group.bench_function("bare crc of the mapped bytes", |bencher| {
            bencher.iter(|| {
                let folders = open_all(root.path()).unwrap();
                folders[0].segments.iter().fold(0, |all, segment| all ^ crc32fast::hash(&segment.bytes))
            });
        });
        group.bench_function("verify", |bencher| {
            bencher.iter(|| {
                let verdict = verify(&open_all(root.path()).unwrap(), 1, &|_| ());
                assert_eq!(verdict.findings, []);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, speed);
criterion_main!(benches);
