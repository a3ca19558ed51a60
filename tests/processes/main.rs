//! Real processes, real sockets, real files, real kills: what a user's cluster goes through.
//!
//! `TIMBERLINE_FLIGHTS=FILE TIMBERLINE_RATE=N` runs the kill test over a larger file.

mod clocks;
mod cluster;
mod faults;
mod groups;
mod leap_seconds;
mod marks;
mod skewed;
mod time_sources;
mod tokens;
mod watching;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, NODES};
use serde_json::Value;

const FROM_START: [&str; 8] = ["--from", "begin", "--to-end", "--order", "merged", "-o", "ndjson", "--node"];

fn start() -> Cluster {
    start_with(&[])
}

/// A cluster that serves, with further arguments for every `serve`.
fn start_with(extra: &[&'static str]) -> Cluster {
    let mut cluster = Cluster::prepare(extra);
    cluster.start_all();
    cluster
}

/// Waits until a look at the cluster satisfies `done`; what it looked like last is in the failure's message.
fn await_output(cluster: &Cluster, args: &[&str], mut done: impl FnMut(&str) -> bool) -> String {
    let started = Instant::now();
    loop {
        let output = cluster.run(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && done(&text) {
            return text;
        }
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(60), "{args:?} still says {text}\n{}", cluster.logs());
    }
}

/// The first week of flights, as the repository carries it, or what the environment names.
fn flights() -> PathBuf {
    let first_week =
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/flights-2013-01-first-week.ndjson.zst");
    std::env::var_os("TIMBERLINE_FLIGHTS").map_or_else(first_week, PathBuf::from)
}

fn rate() -> String {
    std::env::var("TIMBERLINE_RATE").unwrap_or_else(|_| "1500".to_owned())
}

/// Starts a producer with receipts in the background.
fn produce(cluster: &Cluster) -> Child {
    let receipts = std::fs::File::create(cluster.path("receipts")).expect("a file for receipts");
    let file = flights();
    let rate = rate();
    let args = [
        "produce",
        "flights",
        "--file",
        file.to_str().expect("a plain path"),
        "--key-field",
        "tailnum",
        "--key-default",
        "none",
        "--event-time-field",
        "event_time",
        "--rate",
        &rate,
        "--receipts",
    ];
    cluster.command(&args).stdout(receipts).stderr(Stdio::inherit()).spawn().expect("the producer starts")
}

fn consume(cluster: &Cluster, node: u16) -> Vec<u8> {
    let node = node.to_string();
    let args: Vec<&str> =
        ["consume", "flights"].into_iter().chain(FROM_START).chain([node.as_str()]).collect();
    cluster.succeed(&args).stdout
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("ndjson is text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} in {value}"))
}

fn line_count(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}

fn records_in(file: &PathBuf) -> usize {
    let packed = std::fs::File::open(file).expect("the data is there");
    let mut text = Vec::new();
    zstd::stream::copy_decode(packed, &mut text).expect("the data unpacks");
    line_count(&text)
}

/// Strictly rising by (timestamp, shard), every receipt found where it says; answers the records.
fn prove(cluster: &Cluster, expected: usize) -> Vec<Value> {
    let streams: Vec<Vec<u8>> = (1..=NODES).map(|node| consume(cluster, node)).collect();
    assert!(streams[0] == streams[1] && streams[1] == streams[2], "the same bytes from each node");
    let records = lines(&streams[0]);
    assert_eq!(records.len(), expected, "nothing lost, nothing twice");
    let keys: Vec<(u64, u64)> =
        records.iter().map(|r| (number(r, "timestamp_ns"), number(r, "shard"))).collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "strictly rising by (timestamp, shard)");
    let at: BTreeMap<(u64, u64), u64> = records
        .iter()
        .map(|r| ((number(r, "shard"), number(r, "offset")), number(r, "timestamp_ns")))
        .collect();
    let receipts = lines(&std::fs::read(cluster.path("receipts")).expect("the receipts"));
    let mut acknowledged = 0;
    for receipt in &receipts {
        assert!(receipt.get("error").is_none(), "{receipt}");
        let (shard, offset) = (number(receipt, "shard"), number(receipt, "first_offset"));
        for place in 0..number(receipt, "record_count") {
            let read = at.get(&(shard, offset + place));
            assert_eq!(read, Some(&(number(receipt, "first_timestamp_ns") + place)), "{receipt}");
            acknowledged += 1;
        }
    }
    assert_eq!(acknowledged, expected, "every record has its receipt");
    records
}

fn await_exit(child: &mut Child, limit: Duration) -> bool {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            return status.success();
        }
        assert!(started.elapsed() < limit, "the producer does not end");
        std::thread::yield_now();
    }
}

/// Waits on the producer's own progress: so many receipts more.
fn await_receipts(cluster: &Cluster, more: usize, producer: &mut Child) -> bool {
    let count = || {
        let receipts = std::fs::read(cluster.path("receipts")).unwrap_or_default();
        line_count(&receipts)
    };
    let goal = count() + more;
    let started = Instant::now();
    while count() < goal {
        if producer.try_wait().expect("a child can be asked").is_some() {
            return false;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "no progress\n{}", cluster.logs());
        std::thread::yield_now();
    }
    true
}

#[test]
fn sigkill_of_any_node_under_load_loses_and_doubles_nothing() {
    let mut cluster = start();
    cluster.succeed(&["topic", "create", "flights", "--shards", "8"]);
    let mut producer = produce(&cluster);
    let mut kills = 0;
    while await_receipts(&cluster, 100, &mut producer) {
        let node = 1 + kills % NODES;
        cluster.kill(node);
        cluster.spawn(node);
        kills += 1;
    }
    assert!(await_exit(&mut producer, Duration::from_secs(60)), "the producer succeeds\n{}", cluster.logs());
    assert!(kills >= 2, "only {kills} kills landed");
    prove(&cluster, records_in(&flights()));
}

#[test]
fn everything_acknowledged_is_there_after_all_nodes_are_killed_at_once() {
    let mut cluster = start();
    cluster.succeed(&["topic", "create", "flights", "--shards", "8"]);
    let mut producer = produce(&cluster);
    assert!(await_receipts(&cluster, 100, &mut producer), "the producer is under way");
    (1..=NODES).for_each(|node| cluster.kill(node));
    (1..=NODES).for_each(|node| cluster.spawn(node));
    cluster.await_serving();
    assert!(await_exit(&mut producer, Duration::from_secs(60)), "the producer succeeds\n{}", cluster.logs());
    prove(&cluster, records_in(&flights()));
}

#[test]
fn sigterm_hands_leadership_over_and_exits_0() {
    let mut cluster = start();
    cluster.succeed(&["topic", "create", "flights", "--shards", "8"]);
    let mut producer = produce(&cluster);
    assert!(await_receipts(&cluster, 50, &mut producer), "the producer is under way");
    cluster.signal(1, "TERM");
    assert_eq!(cluster.await_end(1).code(), Some(0), "{}", cluster.logs());
    let leaders = lines(&cluster.succeed(&["shard", "list", "flights", "-o", "ndjson"]).stdout);
    assert!(leaders.iter().all(|shard| shard["leader"].as_u64() != Some(1)), "{leaders:?}");
    await_output(&cluster, &["shard", "list", "flights", "-o", "ndjson"], |list| {
        lines(list.as_bytes()).iter().all(|shard| matches!(shard["leader"].as_u64(), Some(2 | 3)))
    });
    cluster.spawn(1);
    assert!(await_exit(&mut producer, Duration::from_secs(60)), "the producer succeeds\n{}", cluster.logs());
    prove(&cluster, records_in(&flights()));
}
