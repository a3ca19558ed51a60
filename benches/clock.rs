//! One look at the clock: what every event of a lane pays, whatever the source behind it.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use timberline::clock::{Clock, ClockBound, ClockBoundOptions, ClockOptions, Declared};

fn declared() -> Clock {
    Clock::new(ClockOptions::default(), Arc::new(Declared::new(Duration::from_millis(1))))
}

/// A clock on a segment as ClockBound writes it: its bound grows from the daemon's as-of on.
fn growing(segment: &Path) -> Clock {
    let options = ClockBoundOptions { path: segment.to_owned(), ..ClockBoundOptions::default() };
    let clock = Clock::new(ClockOptions::default(), Arc::new(ClockBound::new(options)));
    // Only what is written after the first look is believed.
    write_segment(segment);
    clock.refresh();
    assert!(clock.now().is_trusted(), "{:?}", clock.status().reason);
    clock
}

fn write_segment(segment: &Path) {
    let now = clock_gettime(ClockId::Monotonic);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let longs = |longs: &[i64]| longs.iter().flat_map(|long| long.to_ne_bytes()).collect::<Vec<u8>>();
    let mut bytes = words(&[0x414D_5A4E, 0x4342_0200, 80]);
    bytes.extend([2_u16, 2].iter().flat_map(|half| half.to_ne_bytes()));
    bytes.extend(longs(&[now.tv_sec, now.tv_nsec, now.tv_sec + 1_000, now.tv_nsec, 40_000, 0]));
    bytes.extend(words(&[50_000, 1, 0, 0]));
    fs::write(segment, bytes).expect("the segment is written");
}

fn now(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder of its own");
    let segment = folder.path().join("shm0");
    for (source, clock) in [("declared", declared()), ("clockbound", growing(&segment))] {
        criterion.bench_function(&format!("clock/now/source={source}"), |bencher| {
            bencher.iter(|| black_box(clock.now()));
        });
    }
}

/// The two reads of the operating system's clocks that no look can do without.
fn reads(criterion: &mut Criterion) {
    criterion.bench_function("clock/os/reads=2", |bencher| {
        bencher.iter(|| black_box((clock_gettime(ClockId::Realtime), clock_gettime(ClockId::Monotonic))));
    });
}

/// What the clock's own thread pays every 10 ms.
fn refresh(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder of its own");
    let segment = folder.path().join("shm0");
    for (source, clock) in [("declared", declared()), ("clockbound", growing(&segment))] {
        criterion.bench_function(&format!("clock/refresh/source={source}"), |bencher| {
            bencher.iter(|| clock.refresh());
        });
    }
}

criterion_group!(benches, now, reads, refresh);
criterion_main!(benches);
