//! What five thousand idle shards cost that one node leads: `cargo bench --bench closing`.
//!
//! At first Raft's ticks never come (leaders are elected by request), so that what the lanes do is closing the past; then
//! they do, and with them all that a lane does for its shards.

mod lanes;

use std::time::Duration;

use lanes::world::{CLOSED_TICK, Plan, RAFT_TICK, World};
use timberline::types::NodeId;

const SHARDS: u64 = 5_000;
const NEVER: Duration = Duration::from_secs(3_600);
const SECONDS: u64 = 5;

fn main() {
    println!("{SHARDS} idle shards, all led by node 1; a core's share");
    measure(&format!("closed every {} ms", CLOSED_TICK.as_millis()), NEVER);
    measure(&format!("and Raft ticking every {} ms", RAFT_TICK.as_millis()), RAFT_TICK);
}

fn measure(what: &str, raft_tick: Duration) {
    let mut world = World::start(Plan { nodes: 3, shards: SHARDS, led_by_one: true, raft_tick, way_ns: 0 });
    println!("{what}:");
    for round in 1..=5 {
        world.run(1_000 * SECONDS);
        let share = [1, 2, 3].map(|node| {
            100.0 * world.spent[&NodeId(node)].as_secs_f64() / Duration::from_secs(SECONDS).as_secs_f64()
        });
        println!(
            "round {round}: leader {:.2} %, followers {:.2} % and {:.2} %",
            share[0], share[1], share[2]
        );
    }
    let ticks = 1_000 * SECONDS / CLOSED_TICK.as_millis() as u64;
    let bytes = world.said.closing_bytes / ticks;
    assert!(bytes > 0, "nothing was closed");
    println!("bytes of closing a tick, both peers together: {bytes}");
}
