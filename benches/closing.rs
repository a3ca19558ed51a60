//! What five thousand idle shards cost that one node leads: `cargo bench --bench closing`.
//!
//! Three lanes in this thread, in virtual time, on disks in memory; what they say arrives at once. At first Raft's ticks never come
//! (the leader is elected by request), so that what the lanes do is closing the past; then they do, and with them all that a lane
//! does for its shards. No socket is in it: how large the messages are is printed beside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use timberline::clock::{AgreementOptions, Reading, TimeInterval};
use timberline::disk::{Disk, MemoryDisk};
use timberline::lane::{Event, Lane, LaneOptions, Output, Placement, ScrubOptions, ShardSpec};
use timberline::log::LogOptions;
use timberline::types::{Durability, Monotonic, NodeId, ReplicaId, Retention, ShardId, Timestamp, TopicId};

const SHARDS: u64 = 5_000;
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const CLOSED_TICK: Duration = Duration::from_millis(20);
const RAFT_TICK: Duration = Duration::from_millis(30);
const NEVER: Duration = Duration::from_secs(3_600);
const START_NS: u64 = 1_700_000_000_000_000_000;
const STEP_NS: u64 = 10_000_000;
const SECONDS: u32 = 5;

struct World {
    lanes: BTreeMap<NodeId, (Lane, Arc<dyn Disk>)>,
    elapsed_ns: u64,
    spent: BTreeMap<NodeId, Duration>,
    closing_bytes: usize,
}

impl World {
    fn start(raft_tick: Duration) -> Self {
        let lanes = NODES.map(|node| {
            let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
            (node, (Lane::new(options(node, raft_tick), Arc::clone(&disk)), disk))
        });
        let (lanes, spent) = (lanes.into(), BTreeMap::new());
        let mut world = Self { lanes, elapsed_ns: 0, spent, closing_bytes: 0 };
        let specs: Vec<_> = (1..=SHARDS).map(spec).collect();
        for (lane, _) in world.lanes.values_mut() {
            for spec in &specs {
                lane.create_shard(spec).expect("room for a shard");
            }
            assert!(lane.open_shards(&specs, &reading(0)).iter().all(Result::is_ok));
        }
        let (first, _) = world.lanes.get_mut(&NODES[0]).expect("it was made");
        for spec in &specs {
            first.campaign(spec.shard);
        }
        world.run(5);
        world.run(1);
        let led = world.lanes[&NODES[0]].0.statuses(&reading(world.elapsed_ns));
        assert!(led.iter().all(|status| status.leader == Some(NODES[0])), "the first node leads all");
        world
    }

    /// Lets `seconds` pass; what each node's thread would have been busy is in `spent`.
    fn run(&mut self, seconds: u32) {
        (self.spent, self.closing_bytes) = (BTreeMap::new(), 0);
        for _ in 0..u64::from(seconds) * 1_000_000_000 / STEP_NS {
            self.elapsed_ns += STEP_NS;
            for node in NODES {
                self.turn(node, Event::Timer);
            }
        }
    }

    fn turn(&mut self, node: NodeId, event: Event) {
        let now = reading(self.elapsed_ns);
        let (lane, disk) = self.lanes.get_mut(&node).expect("one of the three");
        let began = Instant::now();
        lane.handle(event, &now);
        let Output { sends, probes, syncs, .. } = lane.take_output(&now);
        *self.spent.entry(node).or_default() += began.elapsed();
        let synced: Vec<_> = syncs.into_iter().map(|sync| (sync.token, disk.sync(&sync.files))).collect();
        for send in sends {
            self.closing_bytes += send.message.closed.as_ref().map_or(0, Message::encoded_len);
            self.closing_bytes += send.message.closed_ack.as_ref().map_or(0, Message::encoded_len);
            self.closing_bytes += send.message.publication.as_ref().map_or(0, Message::encoded_len);
            let (message, payload) = (Box::new(send.message), send.payload.concat().into());
            self.turn(send.to, Event::Message { from: node, message, payload });
        }
        for (to, probe) in probes {
            self.turn(to, Event::Probe { from: node, probe });
        }
        for (token, results) in synced {
            self.turn(node, Event::Synced { token, results });
        }
    }
}

fn reading(elapsed_ns: u64) -> Reading {
    let interval = TimeInterval::around(Timestamp(START_NS + elapsed_ns), 50_000);
    Reading::new(interval, Monotonic(elapsed_ns), None)
}

fn options(node: NodeId, raft_tick: Duration) -> LaneOptions {
    LaneOptions {
        node,
        cluster: "bench".parse().expect("a good name"),
        log: LogOptions { first_segment_bytes: 16 << 10, ..LogOptions::default() },
        raft_tick,
        election_ticks: 10..20,
        heartbeat_ticks: 2,
        closed_tick: CLOSED_TICK,
        eps_max_ns: 10_000_000,
        agreement: AgreementOptions::among(NODES.to_vec()),
        scrub: ScrubOptions { bytes_per_second: 0, ..ScrubOptions::default() },
        unanswered_max: 64,
        seed: node.0,
    }
}

fn spec(shard: u64) -> ShardSpec {
    let placed = NODES.map(|node| Placement { replica: ReplicaId(10 * shard + node.0), node });
    ShardSpec {
        shard: ShardId(shard),
        topic: TopicId(1),
        durability: Durability::Disk,
        retention: Retention::default(),
        replicas: placed.to_vec(),
        follow_committed: false,
    }
}

fn main() {
    println!("{SHARDS} idle shards, all led by node 1; a core's share");
    measure(&format!("closed every {} ms", CLOSED_TICK.as_millis()), NEVER);
    measure(&format!("and Raft ticking every {} ms", RAFT_TICK.as_millis()), RAFT_TICK);
}

fn measure(what: &str, raft_tick: Duration) {
    let mut world = World::start(raft_tick);
    println!("{what}:");
    for round in 1..=5 {
        world.run(SECONDS);
        let share = NODES.map(|node| 100.0 * world.spent[&node].as_secs_f64() / f64::from(SECONDS));
        println!(
            "round {round}: leader {:.2} %, followers {:.2} % and {:.2} %",
            share[0], share[1], share[2]
        );
    }
    let ticks = 1_000 * u64::from(SECONDS) / CLOSED_TICK.as_millis() as u64;
    let bytes = world.closing_bytes as u64 / ticks;
    assert!(bytes > 0, "nothing was closed");
    println!("bytes of closing a tick, both peers together: {bytes}");
}
