//! The storage path against what the machine gives at all: a bare write and sync of the same bytes, a bare checksum over
//! the same map. Ids read `group/operation/key=value`; compare within one run, for the machine's own figures move.

#[path = "storage/frames.rs"]
mod frames;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use timberline::codec::{Frame, checksum, encode_records};
use timberline::disk::{Disk, DiskFile, OsDisk};
use timberline::log::{Log, LogOptions, Share};
use timberline::types::{Index, Record};

use frames::{FOLDER, OPTIONS, create, frames, genesis, header_after, identity};

const SEGMENT_BYTES: u64 = 64 << 20;

fn disk(root: &Path) -> Arc<dyn Disk> {
    Arc::new(OsDisk::new(root).expect("a usable folder"))
}

fn synced(disk: &dyn Disk, files: &[Arc<dyn DiskFile>]) {
    disk.sync(files).into_iter().collect::<Result<(), _>>().expect("a sound disk");
}

/// Runs `once` as often as asked; what it needs is made anew, outside the measurement, every `times` times.
fn timed<T>(
    iterations: u64,
    times: u64,
    make: impl Fn() -> T,
    mut once: impl FnMut(&mut T, usize),
) -> Duration {
    let (mut left, mut spent) = (iterations, Duration::ZERO);
    while left > 0 {
        let (mut subject, count) = (make(), left.min(times));
        let begun = Instant::now();
        (0..count as usize).for_each(|number| once(&mut subject, number));
        spent += begun.elapsed();
        left -= count;
    }
    spent
}

/// A frame appended and synced; the same bytes written to a file of zeros, and synced.
fn append(c: &mut Criterion) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let disk = disk(root.path());
    let mut group = c.benchmark_group("append_against_bare");
    for body_len in [4 << 10, 64 << 10] {
        let frames = frames(body_len, 32 << 20);
        let times = frames.len() as u64;
        group.throughput(Throughput::Bytes(body_len as u64));
        group.bench_function(format!("log/body_bytes={body_len}"), |b| {
            b.iter_custom(|iterations| {
                timed(
                    iterations,
                    times,
                    || create(&disk),
                    |log, number| {
                        log.append(&frames[number..=number], Index(0)).expect("room for a frame");
                        synced(&*disk, &log.take_dirty().unwrap());
                        log.note_synced();
                    },
                )
            });
        });
        let bytes = [&frames[0].header_bytes[..], &frames[0].body].concat();
        group.bench_function(format!("bare/body_bytes={body_len}"), |b| {
            b.iter_custom(|iterations| {
                timed(
                    iterations,
                    times,
                    || blank_file(&*disk, root.path(), 32 << 20),
                    |file, number| {
                        file.write_all_at(&bytes, (number * bytes.len()) as u64).expect("room");
                        file.sync_data().expect("a sound disk");
                    },
                )
            });
        });
    }
    group.finish();
}

fn blank_file(disk: &dyn Disk, root: &Path, size_bytes: u64) -> File {
    let path = Path::new("bare");
    let _ = disk.remove(path);
    drop(disk.create(path, size_bytes).expect("room"));
    File::options().write(true).open(root.join(path)).expect("it was made")
}

/// Records of 1 KiB, a hundred a batch: encoded, proved by a checksum, framed.
fn encode(c: &mut Criterion) {
    let record = Record { value: Some(Bytes::from(vec![0x5a; 1024])), ..Record::default() };
    let (records, state) = (vec![record; 100], genesis());
    let mut group = c.benchmark_group("encode_and_checksum");
    group.throughput(Throughput::Bytes(100 << 10));
    group.bench_function("frame/records=100,record_bytes=1024", |b| {
        b.iter(|| {
            let batch = encode_records(&records).expect("small records");
            Frame::new(header_after(&state, &batch.body, batch.crc), batch.body)
        });
    });
    group.finish();
}

/// Opening a log, and reading all of a segment, against a checksum over the same map, and over one made anew as an opening
/// makes it.
fn walks(c: &mut Criterion) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let disk = disk(root.path());
    let mut group = c.benchmark_group("walk_against_bare");
    group.sample_size(20);
    for body_len in [1 << 10, 64 << 10] {
        let frames = frames(body_len, 60 << 20);
        let mut log = create(&disk);
        log.append(&frames, Index(0)).expect("room");
        synced(&*disk, &log.take_dirty().unwrap());
        log.note_synced();
        group.throughput(Throughput::Bytes(60 << 20));
        let segment = Path::new(FOLDER).join("00000000000000000001.segment");
        let file = disk.open(&segment).expect("the segment");
        group.bench_function(format!("bare/body_bytes={body_len}"), |b| {
            b.iter(|| checksum(&[&file.slice(0..60 << 20)]));
        });
        group.bench_function(format!("bare_mapped_anew/body_bytes={body_len}"), |b| {
            b.iter(|| checksum(&[&disk.open(&segment).expect("the segment").slice(0..60 << 20)]));
        });
        group.bench_function(format!("read/body_bytes={body_len}"), |b| b.iter(|| read_all(&log)));
        drop(log);
        group.bench_function(format!("open/body_bytes={body_len}"), |b| {
            b.iter(|| {
                Log::open(Arc::clone(&disk), Path::new(FOLDER), &identity(), OPTIONS).expect("a sound log")
            });
        });
    }
    group.finish();
}

fn read_all(log: &Log) {
    let (mut next, end) = (log.first_index(), log.last_index().plus(1));
    while next < end {
        let frames = log.frames(next, end, 1 << 20, Share::Map).expect("sound frames");
        next = next.plus(frames.len() as u64);
    }
}

/// Frames that may wait for their sync at once.
const IN_FLIGHT: usize = 64;

/// The next frame of each log whose turn it is, then one set of syncs.
fn append_round(disk: &dyn Disk, logs: &mut [(Log, usize)], frames: &[Frame], first: usize) {
    let mut files = Vec::new();
    let count = logs.len();
    for n in 0..IN_FLIGHT {
        let (log, next) = &mut logs[(first + n) % count];
        log.append(&frames[*next..=*next], Index(0)).expect("room");
        *next += 1;
        if count > 1 || n + 1 == IN_FLIGHT {
            files.extend(log.take_dirty().unwrap());
        }
    }
    synced(disk, &files);
}

/// Batches of a hundred records, 64 frames for each set of syncs: all into one log, or each into another.
fn shards(c: &mut Criterion) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let disk = disk(root.path());
    let mut group = c.benchmark_group("append_to_shards");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    for (record_bytes, count) in [(100, 1), (100, 1000), (1024, 1), (1024, 1000_usize)] {
        let options = LogOptions { first_segment_bytes: SEGMENT_BYTES / count.min(64) as u64, ..OPTIONS };
        let frames = frames(100 * (record_bytes + 8), options.first_segment_bytes as usize);
        let make = || {
            let _ = disk.remove(Path::new("many"));
            let folder = |n: usize| PathBuf::from(format!("many/{n}"));
            let begin = |n| Log::create(Arc::clone(&disk), &folder(n), &identity(), &genesis(), options);
            (0..count).map(|n| (begin(n).expect("room"), 0_usize)).collect::<Vec<_>>()
        };
        // What all logs together hold, before they are made anew.
        let frame_bytes = frames[0].header.frame_len().next_multiple_of(8);
        let rounds_max = count * ((options.first_segment_bytes as usize - 4096) / frame_bytes) / IN_FLIGHT;
        let (mut logs, mut round) = (make(), 0);
        group.throughput(Throughput::Elements(100 * IN_FLIGHT as u64));
        group.bench_function(format!("synced/record_bytes={record_bytes},shards={count}"), |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    if round + 1 >= rounds_max {
                        (logs, round) = (make(), 0);
                    }
                    let begun = Instant::now();
                    append_round(&*disk, &mut logs, &frames, round * IN_FLIGHT);
                    spent += begun.elapsed();
                    round += 1;
                }
                spent
            });
        });
    }
    group.finish();
}

/// A segment's file made of zeros, written over with zeros, and used as it is; then filled, 64 KiB a sync.
fn recycling(c: &mut Criterion) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let disk = disk(root.path());
    let mut group = c.benchmark_group("recycling");
    group.sample_size(10).throughput(Throughput::Bytes(SEGMENT_BYTES));
    group.bench_function("prepare/how=create", |b| {
        b.iter_custom(|iterations| {
            timed(
                iterations,
                1,
                || drop(disk.remove(Path::new("new"))),
                |(), _| {
                    drop(disk.create(Path::new("new"), SEGMENT_BYTES).expect("room"));
                },
            )
        });
    });
    let file = blank_file(&*disk, root.path(), SEGMENT_BYTES);
    let (zeros, sevens, nines) = (vec![0; 1 << 20], vec![7; 64 << 10], vec![9; 64 << 10]);
    group.bench_function("prepare/how=zero_again", |b| {
        b.iter(|| fill(&file, &zeros, SEGMENT_BYTES as usize));
    });
    group.bench_function("fill/file=zeroed", |b| {
        b.iter_custom(|iterations| {
            let make = || fill(&file, &zeros, SEGMENT_BYTES as usize);
            timed(iterations, 1, make, |(), _| fill(&file, &sevens, 64 << 10))
        });
    });
    group.bench_function("fill/file=stale", |b| b.iter(|| fill(&file, &nines, 64 << 10)));
    group.finish();
}

/// Writes all of the file, synced after every `sync_bytes`.
fn fill(file: &File, piece: &[u8], sync_bytes: usize) {
    for at in (0..SEGMENT_BYTES as usize).step_by(piece.len()) {
        file.write_all_at(piece, at as u64).expect("room");
        if (at + piece.len()).is_multiple_of(sync_bytes) {
            file.sync_data().expect("a sound disk");
        }
    }
}

criterion_group!(benches, append, encode, walks, shards, recycling);
criterion_main!(benches);
