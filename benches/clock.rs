//! One look at the clock: what every event of a lane pays.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use timberline::clock::{Clock, ClockOptions, Declared};

fn now(criterion: &mut Criterion) {
    let source = Declared::new(Duration::from_millis(1));
    let clock = Clock::new(ClockOptions::default(), Arc::new(source));
    criterion.bench_function("clock/now/source=declared", |bencher| bencher.iter(|| black_box(clock.now())));
}

criterion_group!(benches, now);
criterion_main!(benches);
