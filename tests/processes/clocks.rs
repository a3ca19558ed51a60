//! A node whose clock is wrong and does not know it: the others' clocks prove it, it is fenced with the evidence, and the
//! cluster goes on without it.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::cluster::{Cluster, NODES};
use super::{await_output, lines, number, start_with};

/// Within so much of the lie a node says that it is fenced.
const FENCED_WITHIN: Duration = Duration::from_secs(1);
/// Every node's clock can be made to lie.
pub(crate) const INJECTED: [&str; 4] =
    ["--set", "testing.enabled=true", "--set", "clock.inject_file=inject-{node}"];
/// Bounds so wide that an append waits for 0.9 s, and so narrow that a step of a second leaves them.
const WIDE: [&str; 4] = ["--set", "clock.uncertainty=450ms", "--set", "clock.eps_max=500ms"];
/// Nobody stands for election while a leader pauses.
const PATIENT: [&str; 4] =
    ["--set", "replication.election_timeout_min=1500ms", "--set", "replication.election_timeout_max=3s"];
const PAUSE: Duration = Duration::from_millis(300);

pub(crate) fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(since.as_nanos()).expect("it fits until 2554")
}

/// Starts to append one record.
fn send_one(cluster: &Cluster) -> Child {
    let file = cluster.path("one-line");
    std::fs::write(&file, "one more\n").expect("a file to produce from");
    let file = file.to_str().expect("a plain path");
    let produce = ["produce", "flights", "--file", file, "--timeout", "60s", "--receipts"];
    cluster.command(&produce).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Its receipt.
fn await_receipt(cluster: &Cluster, sent: Child) -> Value {
    let output = sent.wait_with_output().expect("its end can be awaited");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}\n{}", cluster.logs());
    lines(&output.stdout).remove(0)
}

pub(crate) fn append_one(cluster: &Cluster) -> Value {
    await_receipt(cluster, send_one(cluster))
}

/// A cluster whose clocks can be made to lie, and the node that leads the only shard of its topic.
pub(crate) fn led(extra: &[&'static str]) -> (Cluster, u64) {
    let cluster = start_with(&[&INJECTED[..], extra].concat());
    cluster.succeed(&["topic", "create", "flights", "--shards", "1"]);
    append_one(&cluster);
    let list = cluster.succeed(&["shard", "list", "flights", "-o", "ndjson"]).stdout;
    let leader = number(&lines(&list)[0], "leader");
    (cluster, leader)
}

/// Writes a node's control file; when.
pub(crate) fn inject(cluster: &Cluster, node: u64, text: &str) -> SystemTime {
    let told = SystemTime::now();
    std::fs::write(cluster.path(&format!("inject-{node}")), text).expect("the control file is written");
    told
}

fn lie(cluster: &Cluster, node: u64, offset: Duration, sign: &str) -> SystemTime {
    inject(cluster, node, &format!("offset_ns={sign}{}\n", offset.as_nanos()))
}

fn await_moment(moment: Instant) {
    while Instant::now() < moment {
        std::thread::yield_now();
    }
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
    let (cluster, liar) = led(&[]);
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
    let receipt = append_one(&cluster);
    let stamped_ns = number(&receipt, "first_timestamp_ns");
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

/// T7.
fn no_acknowledgement_comes_early_though_the_clock_steps_while_it_is_awaited(sign: &str) {
    let (cluster, leader) = led(&WIDE);
    let sent = send_one(&cluster);
    await_output(&cluster, &["shard", "list", "flights", "-o", "ndjson"], |list| {
        let shards = lines(list.as_bytes());
        let replicas = shards[0]["replicas"].as_array().expect("a list");
        replicas.iter().any(|row| number(row, "node") == leader && number(row, "appended") == 2)
    });
    let told_ns = unix_ns(lie(&cluster, leader, Duration::from_secs(1), sign));
    let receipt = await_receipt(&cluster, sent);
    let heard_ns = unix_ns(SystemTime::now());
    let stamped_ns = number(&receipt, "first_timestamp_ns");
    assert!(told_ns < stamped_ns, "the step came too late to show anything: {receipt}");
    assert!(stamped_ns < heard_ns, "{} ns early: {receipt}", stamped_ns.saturating_sub(heard_ns));
    await_fence(&cluster, leader);
}

#[test]
fn no_acknowledgement_comes_early_though_the_leaders_clock_steps_a_second_ahead_mid_wait() {
    no_acknowledgement_comes_early_though_the_clock_steps_while_it_is_awaited("");
}

#[test]
fn no_acknowledgement_comes_early_though_the_leaders_clock_steps_a_second_back_mid_wait() {
    no_acknowledgement_comes_early_though_the_clock_steps_while_it_is_awaited("-");
}

/// T16: as a machine's clocks stand still while its hypervisor pauses it.
#[test]
fn a_leader_that_paused_with_its_clock_below_the_election_timeout_is_fenced_before_it_acknowledges() {
    let (cluster, leader) = led(&PATIENT);
    let process = u16::try_from(leader).expect("one of three");
    cluster.signal(process, "STOP");
    let stopped = Instant::now();
    lie(&cluster, leader, PAUSE, "-");
    // It is under way when the leader wakes: stamped by that clock, it would lie before it was sent.
    await_moment(stopped + PAUSE * 3 / 4);
    let sent_ns = unix_ns(SystemTime::now());
    let sent = send_one(&cluster);
    await_moment(stopped + PAUSE);
    let woke = SystemTime::now();
    cluster.signal(process, "CONT");
    let receipt = await_receipt(&cluster, sent);
    let stamped_ns = number(&receipt, "first_timestamp_ns");
    assert!(sent_ns <= stamped_ns && stamped_ns < unix_ns(SystemTime::now()), "{receipt}, sent at {sent_ns}");
    let rows = await_fence(&cluster, leader);
    let reason = rows.iter().find(|row| row["node"] == leader).expect("its row")["reason"].to_string();
    assert!(reason.contains(&format!("node {leader} misses the majority by")), "{reason}");
    let took = fenced_at(&cluster, leader).duration_since(woke).expect("not before it woke");
    assert!(took < FENCED_WITHIN, "fenced after {took:?}");
}

/// What it says of now would be of eight hours ago.
#[test]
fn a_fenced_node_that_is_left_alone_does_not_say_how_topics_stand() {
    let (cluster, liar) = led(&[]);
    lie(&cluster, liar, Duration::from_secs(8 * 3600), "-");
    await_fence(&cluster, liar);
    for node in (1..=NODES).filter(|node| u64::from(*node) != liar) {
        cluster.signal(node, "STOP");
    }
    let endpoint = cluster.address(u16::try_from(liar).expect("one of three")).to_string();
    let asked = cluster.run(&["topic", "list", "--endpoint", &endpoint]);
    assert!(!asked.status.success(), "{}", String::from_utf8_lossy(&asked.stdout));
}
