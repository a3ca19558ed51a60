//! What a shard that nobody uses costs: memory, and no writes.
//!
//! Counts what the whole process allocates, so one test stands here and nothing runs beside it. A shard's segment is mapped,
//! not allocated: it does not count.

use std::sync::Arc;
use std::time::Duration;

use timberline::clock::{AgreementOptions, Reading, TimeInterval};
use timberline::disk::{Disk, OsDisk};
use timberline::lane::{Event, Lane, LaneOptions, Placement, ScrubOptions, ShardSpec};
use timberline::log::LogOptions;
use timberline::types::{Durability, Monotonic, NodeId, ReplicaId, Retention, ShardId, Timestamp, TopicId};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SHARDS: u64 = 300;
/// What an idle shard may take beside its segment.
const SHARD_BYTES_MAX: usize = 8 << 10;
const START_NS: u64 = 1_700_000_000_000_000_000;
const TICK_NS: u64 = 10_000_000;

fn lane(disk: &Arc<dyn Disk>) -> Lane {
    let options = LaneOptions {
        node: NodeId(1),
        cluster: "test".parse().expect("a good name"),
        log: LogOptions::default(),
        raft_tick: Duration::from_nanos(TICK_NS),
        election_ticks: 10..20,
        heartbeat_ticks: 2,
        closed_tick: Duration::from_nanos(TICK_NS),
        eps_max_ns: 10_000_000,
        agreement: AgreementOptions::among(vec![NodeId(1)]),
        scrub: ScrubOptions::default(),
        unanswered_max: 64,
        seed: 1,
    };
    Lane::new(options, Arc::clone(disk))
}

fn spec(shard: u64, replicas: u64) -> ShardSpec {
    let placed = (1..=replicas).map(|n| Placement { replica: ReplicaId(10 * shard + n), node: NodeId(n) });
    ShardSpec {
        shard: ShardId(shard),
        topic: TopicId(1),
        durability: Durability::Disk,
        retention: Retention::default(),
        replicas: placed.collect(),
        follow_committed: false,
    }
}

/// Lets ticks pass and syncs end; gives how many files were written.
fn run(lane: &mut Lane, disk: &dyn Disk, elapsed_ns: &mut u64, ticks: u64) -> usize {
    let mut written = 0;
    for _tick in 0..ticks {
        *elapsed_ns += TICK_NS;
        let interval = TimeInterval::around(Timestamp(START_NS + *elapsed_ns), 1000);
        let now = Reading::new(interval, Monotonic(*elapsed_ns), None);
        lane.handle(Event::Timer, &now);
        let output = lane.take_output(&now);
        for sync in output.syncs {
            written += sync.files.len();
            lane.handle(Event::Synced { token: sync.token, results: disk.sync(&sync.files) }, &now);
        }
    }
    written
}

#[test]
fn an_idle_shard_takes_little_memory_and_writes_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    // One that leads alone, and one of three whose peers are silent.
    for replicas in [1, 3] {
        let root = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(root.path()).unwrap());
        let specs: Vec<_> = (1..=SHARDS).map(|shard| spec(shard, replicas)).collect();
        let mut maker = lane(&disk);
        for spec in &specs {
            maker.create_shard(spec).unwrap();
        }
        drop(maker);
        let mut lane = lane(&disk);
        let before = dhat::HeapStats::get().curr_bytes;
        let mut elapsed_ns = 0;
        let now = Reading::new(TimeInterval::around(Timestamp(START_NS), 1000), Monotonic(0), None);
        assert!(lane.open_shards(&specs, &now).iter().all(Result::is_ok));
        run(&mut lane, &*disk, &mut elapsed_ns, 100);
        let each = (dhat::HeapStats::get().curr_bytes - before) / SHARDS as usize;
        assert!(each <= SHARD_BYTES_MAX, "a shard of {replicas} takes {each} bytes");
        assert_eq!(run(&mut lane, &*disk, &mut elapsed_ns, 100), 0, "nothing is written");
    }
}
