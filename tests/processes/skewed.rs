//! A machine whose wall clock is off, played by `libfaketime`: opt-in, because it needs Debian's package of that name.
//!
//! The library moves the wall clock of one node's process and no other clock, so the node has no way to tell. What is injected by a control
//! file comes after the clock is read; this comes before. `TIMBERLINE_TEST_LIBFAKETIME=1` allows it; without it, or without the
//! library, each law says `skipped` and why.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::clocks::await_fence;
use super::cluster::Cluster;
use super::{lines, number};

/// The node whose clock is off, and by how many seconds.
const SKEWED: u16 = 2;
const SKEW_S: &str = "+0.020";
const SHARDS: u64 = 6;

/// Where the library is, if it may be used; else says why not.
fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let found = folders.iter().map(|folder| Path::new(folder).join("faketime/libfaketimeMT.so.1"));
    let found = found.into_iter().find(|file| file.exists());
    let reason = if std::env::var("TIMBERLINE_TEST_LIBFAKETIME").as_deref() != Ok("1") {
        "it skews a process's clock by libfaketime, which needs TIMBERLINE_TEST_LIBFAKETIME=1"
    } else if found.is_none() {
        "there is no libfaketime; `apt-get install libfaketime` brings it"
    } else {
        return found;
    };
    // Not by `eprintln!`: what a passing test prints by it is not shown.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    None
}

/// A cluster that serves, one node's wall clock off by 20 ms.
fn skewed(library: PathBuf, extra: &[&'static str]) -> Cluster {
    let mut cluster = Cluster::prepare(extra);
    cluster.skewed = Some((SKEWED, library, SKEW_S));
    cluster.start_all();
    cluster
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(since.as_nanos()).expect("it fits until 2554")
}

/// Appends a record of that key; gives its timestamp once it is acknowledged.
fn append(cluster: &Cluster, key: u64) -> u64 {
    let file = cluster.path("one-line");
    fs::write(&file, format!("{{\"key\":\"{key}\"}}\n")).expect("a file to produce from");
    let file = file.to_str().expect("a plain path");
    let produce =
        ["produce", "skewed", "--file", file, "--key-field", "key", "--timeout", "20s", "--receipts"];
    number(&lines(&cluster.succeed(&produce).stdout)[0], "first_timestamp_ns")
}

/// T18, the first half.
#[test]
fn a_clock_20_ms_off_that_declares_1_ms_is_fenced() {
    let Some(library) = library() else { return };
    let cluster = skewed(library, &["--set", "clock.uncertainty=1ms"]);
    let rows = await_fence(&cluster, u64::from(SKEWED));
    let skewed = rows.iter().find(|row| row["node"] == SKEWED).expect("each node has a row");
    let reason = skewed["reason"].as_str().expect("a sentence");
    assert!(reason.contains(&format!("node {SKEWED} misses the majority by")), "{reason}");
    assert!(rows.iter().all(|row| row["node"] == SKEWED || row["state"] == "trusted"), "{rows:?}");
}

/// T18, the second half: whoever leads, what is acknowledged lies in the past, and what is sent afterwards is stamped later.
#[test]
fn a_clock_20_ms_off_that_declares_50_ms_is_trusted_and_the_order_holds() {
    let Some(library) = library() else { return };
    let cluster = skewed(library, &["--set", "clock.uncertainty=50ms", "--set", "clock.eps_max=100ms"]);
    cluster.succeed(&["topic", "create", "skewed", "--shards", &SHARDS.to_string()]);
    let mut before = 0;
    for key in 0..4 * SHARDS {
        let sent = unix_ns();
        let stamped = append(&cluster, key);
        assert!(sent <= stamped && stamped < unix_ns(), "sent {sent}, stamped {stamped}, now {}", unix_ns());
        assert!(stamped > before, "{stamped} after {before}");
        before = stamped;
    }
    let status = lines(&cluster.succeed(&["clock", "status", "-o", "ndjson"]).stdout);
    assert!(status.iter().all(|row| row["state"] == "trusted"), "{status:?}");
    let list = lines(&cluster.succeed(&["shard", "list", "skewed", "-o", "ndjson"]).stdout);
    assert!(list.iter().any(|shard| shard["leader"] == SKEWED), "it leads some: {list:?}");
}
