//! A leap second on real nodes (docs/TIME.md): control files step their clocks as kernels would, and it is noticed as a
//! kernel's is. T17.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use timberline::clock::DECLARED_QUIET;

use super::await_output;
use super::clocks::{append_one, inject, led, unix_ns};
use super::cluster::{Cluster, NODES};
use super::{lines, number};

const SECOND_NS: i64 = 1_000_000_000;
/// `replication.election_timeout_max`.
const ELECTION: Duration = Duration::from_millis(600);
/// What commands and a busy machine add.
const SLACK: Duration = Duration::from_secs(2);
const ALL: [u64; 3] = [1, 2, 3];

/// The clocks of `nodes` step; answers when the first of them is believed again at the earliest.
fn leap(cluster: &Cluster, nodes: &[u64], by_ns: i64) -> SystemTime {
    let stepped: Vec<SystemTime> =
        nodes.iter().map(|node| inject(cluster, *node, &format!("step_ns={by_ns}\n"))).collect();
    await_clocks(cluster, |node, row| {
        let says = row["reason"].as_str().is_some_and(|why| why.contains(&format!("stepped by {by_ns} ns")));
        !nodes.contains(&node) || (row["state"] == "fenced" && says)
    });
    stepped[0] + DECLARED_QUIET
}

/// Waits until all nodes' rows of `clock status` are so; the clocks' quiet is part of the wait.
fn await_clocks(cluster: &Cluster, is_so: impl Fn(u64, &Value) -> bool) {
    await_output(cluster, &["clock", "status", "-o", "ndjson"], |status| {
        let rows = lines(status.as_bytes());
        rows.len() == usize::from(NODES) && rows.iter().all(|row| is_so(number(row, "node"), row))
    });
}

/// Nobody stamps while no clock is believed.
fn is_refused(cluster: &Cluster) {
    let produce = ["produce", "flights", "--file", "one-line", "--timeout", "1s", "--receipts"];
    let refused = cluster.run(&produce);
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));
}

/// Appends once the clocks are believed again: above what was stamped `before`, and after a stall as documented.
fn goes_on(cluster: &Cluster, before: u64, back: SystemTime) -> Value {
    let after = append_one(cluster);
    let stalled = SystemTime::now().duration_since(back).expect("not while the clocks were not believed");
    assert!(stalled <= Duration::from_secs(1) + 2 * ELECTION + SLACK, "{stalled:?}");
    assert!(number(&after, "first_timestamp_ns") > before, "{after}");
    after
}

/// A leap that all nodes' kernels make.
fn all_step(by_ns: i64) {
    let (cluster, _) = led(&[]);
    let before = number(&append_one(&cluster), "first_timestamp_ns");
    let back = leap(&cluster, &ALL, by_ns);
    is_refused(&cluster);
    let after = goes_on(&cluster, before, back);
    let shown_ns = unix_ns(SystemTime::now()).saturating_add_signed(by_ns);
    assert!(number(&after, "first_timestamp_ns") < shown_ns, "by the clock that was set: {after}");
    await_clocks(&cluster, |_, row| row["state"] == "trusted");
    let read = ["consume", "flights", "--from", "begin", "--to-end", "-o", "ndjson"];
    let stamps: Vec<u64> =
        lines(&cluster.succeed(&read).stdout).iter().map(|r| number(r, "timestamp_ns")).collect();
    assert!(stamps.len() >= 3 && stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
}

#[test]
fn an_inserted_second_that_all_step_stalls_as_documented_and_repeats_no_timestamp() {
    all_step(-SECOND_NS);
}

#[test]
fn a_deleted_second_that_all_step_stalls_as_documented_and_repeats_no_timestamp() {
    all_step(SECOND_NS);
}

/// The others smear it, and stand half a second from before and after when it is over.
#[test]
fn a_node_that_steps_what_the_others_smear_is_fenced_by_the_vote_and_they_go_on() {
    let (cluster, leader) = led(&[]);
    let before = number(&append_one(&cluster), "first_timestamp_ns");
    leap(&cluster, &[leader], -SECOND_NS / 2);
    // Those that smear never stop.
    goes_on(&cluster, before, SystemTime::now());
    let misses = format!("node {leader} misses the majority by");
    await_clocks(&cluster, |node, row| {
        let outvoted = || row["reason"].as_str().is_some_and(|why| why.contains(&misses));
        if node == leader { row["state"] == "fenced" && outvoted() } else { row["state"] == "trusted" }
    });
    append_one(&cluster);
}
