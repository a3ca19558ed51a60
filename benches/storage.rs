//! What the storage path costs: frames with their CRCs, appends with and without a sync, recovery.
//! Benchmark ids read `group/operation/key=value`.

#[path = "storage/frames.rs"]
mod frames;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use timberline::codec::{
    Compression, EncodedBatch, Frame, checksum, decode_records, encode_records, validate_records,
};
use timberline::disk::{Disk, OsDisk};
use timberline::log::Log;
use timberline::types::{Index, Record};

use frames::{FOLDER, OPTIONS, create, frames, genesis, header_after, identity};

fn records(count: usize) -> (Vec<Record>, EncodedBatch) {
    let record = Record { value: Some(Bytes::from(vec![0x5a; 100])), ..Record::default() };
    let records = vec![record; count];
    let batch = encode_records(&records).expect("small records");
    (records, batch)
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    for body_len in [100, 4 << 10, 256 << 10] {
        let (body, state) = (Bytes::from(vec![0x5a; body_len]), genesis());
        group.throughput(Throughput::Bytes(body_len as u64));
        group.bench_function(format!("encode/body_bytes={body_len}"), |b| {
            b.iter(|| Frame::new(header_after(&state, &body, checksum(&[&body])), body.clone()));
        });
        let frame = frames(body_len, 128 + body_len).remove(0);
        group.bench_function(format!("decode/body_bytes={body_len}"), |b| {
            b.iter(|| Frame::decode(frame.header_bytes.clone(), frame.body.clone()).expect("a whole frame"));
        });
    }
    group.finish();
    let mut group = c.benchmark_group("records");
    for count in [1, 100, 1000] {
        let (records, batch) = records(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("encode/records={count}"), |b| b.iter(|| encode_records(&records)));
        let EncodedBatch { body, count: held, .. } = batch;
        group.bench_function(format!("validate/records={count}"), |b| {
            b.iter(|| validate_records(&body, Compression::None, held));
        });
        group.bench_function(format!("decode/records={count}"), |b| {
            b.iter(|| decode_records(&body, Compression::None, held));
        });
    }
    group.finish();
}

/// Bytes are those before compression: records of a real kind, about 250 bytes each, in one batch.
fn compression(c: &mut Criterion) {
    let record = |n: u64| {
        let value = format!(
            "{{\"event_time\":\"2013-01-0{}T{:02}:{:02}:00Z\",\"kind\":\"departed\",\"carrier\":\"UA\",\"flight\":{},\
             \"tailnum\":\"N{:05}\",\"origin\":\"EWR\",\"dest\":\"IAH\",\"delay_min\":{},\"distance\":1400}}",
            1 + n % 7,
            n % 24,
            n * 7 % 60,
            n * 31 % 9000,
            n.wrapping_mul(7919) % 100_000,
            n * n % 90
        );
        Record { key: Some("EWR".into()), value: Some(value.into()), ..Record::default() }
    };
    let plain = encode_records(&(0..1500).map(record).collect::<Vec<_>>()).expect("small records");
    let mut group = c.benchmark_group("compression");
    group.throughput(Throughput::Bytes(plain.body.len() as u64));
    for codec in [Compression::Lz4, Compression::Zstd] {
        let stored = plain.clone().compressed(codec);
        let name = codec.name();
        println!("{name}: {} bytes are stored as {}", plain.body.len(), stored.body.len());
        group
            .bench_function(format!("compress/codec={name}"), |b| b.iter(|| plain.clone().compressed(codec)));
        group.bench_function(format!("validate/codec={name}"), |b| {
            b.iter(|| validate_records(&stored.body, codec, stored.count).expect("whole records"));
        });
        group.bench_function(format!("decode/codec={name}"), |b| {
            b.iter(|| decode_records(&stored.body, codec, stored.count).expect("whole records"));
        });
    }
    group.finish();
}

fn append_all(disk: &Arc<dyn Disk>, log: &mut Log, frames: &[Frame], synced: bool) {
    for frame in frames {
        log.append(std::slice::from_ref(frame), Index(0)).expect("room for a frame");
        if synced {
            disk.sync(&log.take_dirty().unwrap())
                .into_iter()
                .collect::<Result<(), _>>()
                .expect("a sound disk");
        }
    }
}

/// Appends one frame at a time; a full log is begun anew outside the measurement.
fn append(c: &mut Criterion) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(root.path()).expect("a usable folder"));
    let mut group = c.benchmark_group("append");
    for (body_len, synced) in [(4 << 10, false), (4 << 10, true), (64 << 10, false), (64 << 10, true)] {
        let frames = frames(body_len, 32 << 20);
        group.throughput(Throughput::Bytes(body_len as u64));
        group.bench_function(format!("frame/body_bytes={body_len},synced={synced}"), |b| {
            b.iter_custom(|iterations| {
                let (mut left, mut spent) = (iterations as usize, Duration::ZERO);
                while left > 0 {
                    let (mut log, count) = (create(&disk), left.min(frames.len()));
                    let begun = Instant::now();
                    append_all(&disk, &mut log, &frames[..count], synced);
                    spent += begun.elapsed();
                    left -= count;
                }
                spent
            });
        });
    }
    group.finish();
}

/// Opens a log whose active segment is full. Read the throughput for the cost per GB.
fn recovery(c: &mut Criterion) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(root.path()).expect("a usable folder"));
    let mut group = c.benchmark_group("recovery");
    group.sample_size(10);
    for body_len in [200, 4 << 10, 64 << 10] {
        let (mut log, frames) = (create(&disk), frames(body_len, 60 << 20));
        append_all(&disk, &mut log, &frames, false);
        drop(log);
        group.throughput(Throughput::Bytes(60 << 20));
        group.bench_function(format!("open/body_bytes={body_len}"), |b| {
            b.iter(|| {
                Log::open(Arc::clone(&disk), Path::new(FOLDER), &identity(), OPTIONS).expect("a sound log")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec, compression, append, recovery);
criterion_main!(benches);
