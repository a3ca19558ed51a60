//! A node whose clock is wrong and does not know it: the others' clocks prove it, it is fenced with the evidence, and the
//! cluster goes on without it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::cluster::{Cluster, NODES};
use super::{await_output, lines, number, start_with};

/// Within so much of the lie a node says that it is fenced.
const FENCED_WITHIN: Duration = Duration::from_secs(1);

fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(since.as_nanos()).expect("it fits until 2554")
}

fn append_one(cluster: &Cluster) -> Vec<Value> {
    let file = cluster.path("one-line");
    std::fs::write(&file, "one more\n").expect("a file to produce from");
    let file = file.to_str().expect("a plain path");
    let produce = ["produce", "flights", "--file", file, "--timeout", "10s", "--receipts"];
    lines(&cluster.succeed(&produce).stdout)
}

/// A cluster whose clocks can be made to lie, and the node that leads the only shard of its topic.
fn led() -> (Cluster, u64) {
    let cluster = start_with(&["--set", "testing.enabled=true", "--set", "clock.inject_file=inject-{node}"]);
    cluster.succeed(&["topic", "create", "flights", "--shards", "1"]);
    append_one(&cluster);
    let list = cluster.succeed(&["shard", "list", "flights", "-o", "ndjson"]).stdout;
    let leader = number(&lines(&list)[0], "leader");
    (cluster, leader)
}

fn lie(cluster: &Cluster, node: u64, offset: Duration, sign: &str) -> SystemTime {
    let told = SystemTime::now();
    let text = format!("offset_ns={sign}{}\n", offset.as_nanos());
    std::fs::write(cluster.path(&format!("inject-{node}")), text).expect("the control file is written");
    told
}

/// Waits until the node says why it is fenced; gives all nodes' rows.
pub(crate) fn await_fence(cluster: &Cluster, node: u64) -> Vec<Value> {
    let is_fenced = |row: &Value| row["node"] == node && row["state"] == "fenced";
    let status = await_output(cluster, &["clock", "status", "-o", "ndjson"], |status| {
        lines(status.as_bytes()).iter().any(is_fenced)
    });
    lines(status.as_bytes())
}

/// When the node's log says that it is fenced.
fn fenced_at(cluster: &Cluster, node: u64) -> SystemTime {
    let log = std::fs::read_to_string(cluster.path(&format!("node-{node}.log"))).expect("a log");
    let line = log.lines().find(|line| line.contains("clock is fenced")).expect("it says so");
    let stamp = line.split_whitespace().next().expect("a time");
    let stamp: jiff::Timestamp = stamp.parse().unwrap_or_else(|error| panic!("{stamp}: {error}"));
    stamp.into()
}

fn is_fenced_with_evidence_and_the_others_go_on(offset: Duration, sign: &str) {
    let (cluster, liar) = led();
    let told = lie(&cluster, liar, offset, sign);
    let rows = await_fence(&cluster, liar);
    let took = fenced_at(&cluster, liar).duration_since(told).expect("not before the lie");
    assert!(took < FENCED_WITHIN, "fenced after {took:?}");
    let others: Vec<u64> = (1..=u64::from(NODES)).filter(|node| *node != liar).collect();
    let row = |node: u64| rows.iter().find(|row| row["node"] == node).expect("each node has a row");
    let reason = row(liar)["reason"].as_str().expect("a sentence");
    assert!(reason.contains(&format!("node {liar} misses the majority by")), "{reason}");
    assert!(reason.contains(&format!("nodes {} and {} agree", others[0], others[1])), "{reason}");
    await_output(&cluster, &["shard", "list", "flights", "-o", "ndjson"], |list| {
        lines(list.as_bytes())
            .iter()
            .all(|shard| shard["leader"].as_u64().is_some_and(|leader| leader != liar))
    });
    let sent_ns = unix_ns(SystemTime::now());
    let receipt = &append_one(&cluster)[0];
    let stamped_ns = number(receipt, "first_timestamp_ns");
    assert!(sent_ns <= stamped_ns && stamped_ns < unix_ns(SystemTime::now()), "{receipt}");
    await_output(&cluster, &["clock", "status", "-o", "ndjson"], |status| {
        lines(status.as_bytes()).iter().filter(|row| row["node"] != liar).all(|row| {
            let peers = row["peers"].as_array().expect("a list");
            let verdict = |peer: &Value| (number(peer, "node") == liar) == (peer["verdict"] == "misses");
            row["state"] == "trusted" && peers.len() == 2 && peers.iter().all(verdict)
        })
    });
}

#[test]
fn a_leader_that_lies_50_ms_ahead_is_fenced_within_a_second_and_the_others_go_on() {
    is_fenced_with_evidence_and_the_others_go_on(Duration::from_millis(50), "");
}

#[test]
fn a_leader_that_lies_50_ms_behind_is_fenced_within_a_second_and_the_others_go_on() {
    is_fenced_with_evidence_and_the_others_go_on(Duration::from_millis(50), "-");
}

#[test]
fn a_leader_that_lies_8_hours_ahead_leaves_no_record_of_the_future_and_moves_nobody() {
    is_fenced_with_evidence_and_the_others_go_on(Duration::from_secs(8 * 3600), "");
}
