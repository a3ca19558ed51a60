//! What a large cluster says to itself while nothing happens, and how far its past is closed: `cargo bench --bench scale`.
//!
//! Simulated in one thread: up to a hundred nodes, each with as many shards as memory lets a laptop hold. What one node
//! says and computes depends on how many nodes there are, not on how many shards rest, so the rest of docs/SCALE.md is
//! computed from these rows. With messages that take as long as between regions, the last rows show what closing waits for.

mod lanes;

use std::time::Duration;

use lanes::world::{Plan, RAFT_TICK, World};
use prost::Message;
use timberline::types::{NodeId, ShardId};
use timberline::wire::{CreateShard, PlaceReplica};

const MS: u64 = 1_000_000;
const SECONDS: u64 = 5;

fn main() {
    println!("idle shards with three replicas each; a node and second, the median node's core");
    println!(
        "{:>6} {:>8} {:>9} {:>10} {:>12} {:>12} {:>9} {:>11} {:>8}",
        "nodes", "shards", "messages", "bytes", "of closing", "of Raft", "probes", "probe bytes", "core"
    );
    for (nodes, shards) in [(3, 300), (10, 1_000), (30, 3_000), (100, 2_500), (100, 10_000)] {
        measure(nodes, shards);
    }
    println!("\nhow far closed lags behind true time at followers, 10 nodes, 100 shards");
    println!("{:>10} {:>10} {:>10} {:>10}", "one way", "p50", "p99", "max");
    for way_ns in [MS / 10, MS, 10 * MS, 40 * MS, 80 * MS] {
        lag(way_ns);
    }
    println!("\na shard's row in the system topic: {} bytes", row_bytes(3));
}

fn measure(nodes: u64, shards: u64) {
    let mut world =
        World::start(Plan { nodes, shards, led_by_one: false, raft_tick: RAFT_TICK, way_ns: MS / 10 });
    world.run(1_000 * SECONDS);
    let a_node = |count: u64| count / nodes / SECONDS;
    let said = world.said;
    let mut busy: Vec<f64> = (1..=nodes).map(|node| world.spent[&NodeId(node)].as_secs_f64()).collect();
    busy.sort_by(f64::total_cmp);
    println!(
        "{nodes:>6} {shards:>8} {:>9} {:>10} {:>12} {:>12} {:>9} {:>11} {:>6.2} %",
        a_node(said.messages),
        a_node(said.message_bytes),
        a_node(said.closing_bytes),
        a_node(said.raft_bytes),
        a_node(said.probes),
        a_node(said.probe_bytes),
        100.0 * busy[busy.len() / 2] / Duration::from_secs(SECONDS).as_secs_f64()
    );
}

fn lag(way_ns: u64) {
    let plan = Plan { nodes: 10, shards: 100, led_by_one: false, raft_tick: RAFT_TICK, way_ns };
    let lags = World::start(plan).closed_lag_ns(2_000);
    let in_ms = |ns: u64| 1_000.0 * Duration::from_nanos(ns).as_secs_f64();
    let at = |per_mille: usize| in_ms(lags[(lags.len() - 1) * per_mille / 1_000]);
    println!("{:>7.1} ms {:>7.1} ms {:>7.1} ms {:>7.1} ms", in_ms(way_ns), at(500), at(990), at(1_000));
}

/// What a shard takes in the record that creates its topic, by the ids of a large cluster.
fn row_bytes(replicas: u64) -> usize {
    let replica = |nth| PlaceReplica { node: 100 - nth, replica: (1 << 16) + 300_000 + nth };
    let shard = CreateShard {
        shard: ShardId(100_000).0,
        hash_start: u64::MAX / 3,
        key_start: bytes::Bytes::new(),
        replicas: (0..replicas).map(replica).collect(),
    };
    // Its own tag and length in front.
    shard.encoded_len() + 2
}
