//! What the merge costs per record, by the number of shards: all busy, and one busy among quiet ones.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use timberline::merge::Merge;
use timberline::types::{ShardId, Timestamp};

const RECORDS: u64 = 10_000;

fn merge_of(shards: u64) -> Merge<u64> {
    Merge::new((0..shards).map(|shard| (ShardId(shard), Timestamp::ZERO)), usize::MAX)
}

/// Records come round the shards in order of time.
fn all_busy(shards: u64) -> u64 {
    let mut merge = merge_of(shards);
    let mut popped = 0;
    for t in 1..=RECORDS {
        merge.push(ShardId(t % shards), Timestamp(t), 100, t);
        popped += std::iter::from_fn(|| merge.pop()).count() as u64;
    }
    popped
}

/// One shard has records; the others only close, once every hundred records.
fn one_busy(shards: u64) -> u64 {
    let mut merge = merge_of(shards);
    let mut popped = 0;
    for t in 1..=RECORDS {
        merge.push(ShardId(0), Timestamp(t), 100, t);
        if t % 100 == 0 {
            (1..shards).for_each(|shard| merge.close(ShardId(shard), Timestamp(t)));
            popped += std::iter::from_fn(|| merge.pop()).count() as u64;
        }
    }
    popped
}

fn merge(criterion: &mut Criterion) {
    type Case = fn(u64) -> u64;
    let cases: [(&str, Case); 2] = [("all_busy", all_busy), ("one_busy", one_busy)];
    for (name, case) in cases {
        let mut group = criterion.benchmark_group(format!("merge/{name}"));
        group.throughput(Throughput::Elements(RECORDS));
        for shards in [1, 4, 16, 64, 256] {
            group.bench_with_input(BenchmarkId::from_parameter(shards), &shards, |bencher, shards| {
                bencher.iter(|| case(*shards));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, merge);
criterion_main!(benches);
