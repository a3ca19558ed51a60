//! A node that must not be believed: its disk is blank, or its clock too wide. The others go on without it.

use std::path::PathBuf;
use std::process::Stdio;

use super::cluster::Cluster;
use super::{await_output, flights, lines, number, start, start_with};

/// One record, acknowledged by whoever leads.
pub(crate) fn append_one(cluster: &Cluster) {
    let file = cluster.path("one-line");
    std::fs::write(&file, "one more\n").expect("a file to produce from");
    cluster.succeed(&[
        "produce",
        "flights",
        "--file",
        file.to_str().expect("a plain path"),
        "--timeout",
        "10s",
    ]);
}

#[test]
fn a_node_that_comes_back_blank_is_refused_by_its_peers_and_they_go_on() {
    let mut cluster = start();
    cluster.succeed(&["topic", "create", "flights", "--shards", "4"]);
    append_one(&cluster);
    cluster.kill(3);
    std::fs::remove_dir_all(cluster.path("node-3")).expect("the data folder is lost");
    cluster.spawn(3);
    append_one(&cluster);
    let refused = |log: &str| log.contains("node 3") && log.contains("--replace");
    while !refused(&std::fs::read_to_string(cluster.path("node-1.log")).expect("a log")) {
        append_one(&cluster);
    }
    await_output(&cluster, &["shard", "list", "flights", "-o", "ndjson"], |list| {
        lines(list.as_bytes()).iter().all(|shard| matches!(shard["leader"].as_u64(), Some(1 | 2)))
    });
}

#[test]
fn a_node_whose_clock_is_too_wide_is_fenced_with_a_reason_and_its_leaderships_move() {
    let cluster = start_with(&["--set", "testing.enabled=true", "--set", "clock.inject_file=inject-{node}"]);
    cluster.succeed(&["topic", "create", "flights", "--shards", "6"]);
    append_one(&cluster);
    let wide = "claimed_uncertainty_ns=900000000\n";
    std::fs::write(cluster.path("inject-2"), wide).expect("the control file is written");
    let status =
        await_output(&cluster, &["clock", "status", "-o", "ndjson"], |status| status.contains("fenced"));
    let fenced = lines(status.as_bytes()).into_iter().find(|node| node["state"] == "fenced").expect("one is");
    assert_eq!(number(&fenced, "node"), 2);
    assert!(fenced["reason"].as_str().is_some_and(|reason| reason.contains("eps_max")), "{fenced}");
    await_output(&cluster, &["shard", "list", "flights", "-o", "ndjson"], |list| {
        lines(list.as_bytes()).iter().all(|shard| shard["leader"].as_u64().is_some_and(|leader| leader != 2))
    });
    append_one(&cluster);
    std::fs::remove_file(cluster.path("inject-2")).expect("the injection ends");
    await_output(&cluster, &["clock", "status", "-o", "ndjson"], |status| !status.contains("fenced"));
}

#[test]
fn a_misspelt_setting_is_named_with_file_line_and_column() {
    let cluster = start();
    let settings = std::fs::read_to_string(cluster.path("node-1.toml")).expect("the template");
    let wrong = settings.replace("eps_max =", "eps_maxx =");
    std::fs::write(cluster.path("wrong.toml"), wrong).expect("a file with a mistake");
    let output = cluster.run(&["config", "check", "--config", "wrong.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("wrong.toml:") && message.contains("eps_max"), "{message}");
}

/// The nodes' own memory together, files that they map not counted.
fn anonymous_memory_bytes(cluster: &Cluster) -> u64 {
    let of = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux tells");
        let kib = line.split_whitespace().nth(1).expect("a number");
        kib.parse::<u64>().expect("a number") << 10
    };
    cluster.pids().into_iter().flatten().map(of).sum()
}

#[test]
fn readers_that_stop_reading_do_not_grow_the_servers_memory() {
    const READERS: u64 = 8;
    const PRODUCED_BYTES: u64 = 40_000_000;
    let cluster = start();
    cluster.succeed(&["topic", "create", "flights", "--shards", "2"]);
    let stuck = || {
        let mut reader = cluster.command(&["consume", "flights", "--from", "begin", "--follow"]);
        reader.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the reader starts")
    };
    let readers: Vec<_> = (0..READERS).map(|_| stuck()).collect();
    let file = cluster.path("long-lines");
    let line = format!("{}\n", "x".repeat(1000));
    std::fs::write(&file, line.repeat(40_000)).expect("a file to produce from");
    let produce = ["produce", "flights", "--file", file.to_str().expect("a plain path")];
    cluster.succeed(&produce);
    let before = anonymous_memory_bytes(&cluster);
    cluster.succeed(&produce);
    cluster.succeed(&produce);
    let after = anonymous_memory_bytes(&cluster);
    // Kept for the readers, what went past them would be twice this; the allocator alone moves by tens of megabytes.
    assert!(after < before + READERS * PRODUCED_BYTES, "from {before} to {after} bytes");
    for mut reader in readers {
        reader.kill().expect("the reader runs");
        reader.wait().expect("the reader ends");
    }
}

#[test]
fn a_client_with_another_clusters_certificates_is_denied_and_told_why() {
    let cluster = start();
    cluster.succeed(&["cert", "init", "--dir", "foreign", "--nodes", "1"]);
    let output = cluster.run(&["topic", "list", "--certs", "foreign"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("unknown CA"), "{message}");
}

/// The first segment of a node's only user shard.
fn first_segment(cluster: &Cluster, node: u16) -> PathBuf {
    let shards = cluster.path(&format!("node-{node}")).join("shards");
    let folders = std::fs::read_dir(shards).expect("the shards").map(|entry| entry.expect("a folder").path());
    let newest = folders.max_by_key(|folder| std::fs::read_dir(folder).expect("a shard's files").count());
    newest.expect("there is a shard").join("00000000000000000001.segment")
}

#[test]
fn what_rots_on_a_nodes_disk_is_fetched_from_the_others_while_it_serves() {
    let mut cluster = start();
    cluster.succeed(&["topic", "create", "flights", "--shards", "1"]);
    cluster.succeed(&["produce", "flights", "--file", flights().to_str().expect("a plain path")]);
    await_output(&cluster, &["shard", "list", "flights", "-o", "ndjson"], |list| {
        let shards = lines(list.as_bytes());
        let replicas = shards.iter().flat_map(|shard| shard["replicas"].as_array().expect("a list"));
        let synced: Vec<u64> = replicas.map(|replica| number(replica, "synced")).collect();
        synced.len() == 3 && synced[0] > 0 && synced.iter().all(|offset| *offset == synced[0])
    });
    cluster.kill(3);
    let segment = first_segment(&cluster, 3);
    let whole = std::fs::read(&segment).expect("the segment");
    let mut rotten = whole.clone();
    // In its first frame, which is there however large the batches behind it are.
    rotten[4096 + 20] ^= 4;
    std::fs::write(&segment, &rotten).expect("it rots");
    cluster.spawn(3);
    let read = ["consume", "flights", "--from", "begin", "--to-end", "--node", "3", "-o", "raw"];
    let from_3 =
        await_output(&cluster, &read, |_| std::fs::read(&segment).expect("the segment is there") == whole);
    let from_1 =
        cluster.succeed(&["consume", "flights", "--from", "begin", "--to-end", "--node", "1", "-o", "raw"]);
    assert!(from_3.as_bytes() == from_1.stdout, "all nodes show the same");
}

/// Shards recognise a producer's batches by their numbers, which each run begins anew.
#[test]
fn a_second_run_of_a_named_producer_is_not_taken_for_a_repetition_of_the_first() {
    let cluster = start();
    cluster.succeed(&["topic", "create", "flights", "--shards", "1"]);
    let file = cluster.path("two-lines");
    std::fs::write(&file, "one\ntwo\n").expect("a file to produce from");
    let file = file.to_str().expect("a plain path");
    for _run in 0..3 {
        cluster.succeed(&["produce", "flights", "--file", file, "--producer-id", "7"]);
    }
    assert_eq!(super::line_count(&super::consume(&cluster, 1)), 6);
}
