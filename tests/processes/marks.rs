//! What people see of a clock that was wrong, of nodes that run: the mark among the records, and what nodes that found it tell.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clocks::{await_fence, inject, led};
use super::cluster::{Cluster, NODES};
use super::{await_output, lines, number};

const CONSUME: [&str; 7] = ["consume", "flights", "--from", "begin", "--to-end", "-o", "ndjson"];

/// A node's metrics.
fn metrics(cluster: &Cluster, node: u16) -> String {
    let mut address = cluster.address(node);
    address.set_port(address.port() + 100);
    let mut stream = TcpStream::connect(address).expect("metrics are served");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Waits until nodes' metrics, one after the other, satisfy `done`.
fn await_metrics(cluster: &Cluster, nodes: &[u16], done: impl Fn(&str) -> bool) {
    let started = Instant::now();
    loop {
        let all: Vec<String> = nodes.iter().map(|node| metrics(cluster, *node)).collect();
        if done(&all.concat()) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{}\n{}", all.concat(), cluster.logs());
    }
}

#[test]
fn a_mark_is_seen_among_the_records_and_by_whoever_looks_at_a_node_that_found_it() {
    let (cluster, liar) = led(&[]);
    let file = cluster.path("many-lines");
    std::fs::write(&file, "one more\n".repeat(30_000)).expect("a file to produce from");
    let file = file.to_str().expect("a plain path");
    let produce = ["produce", "flights", "--file", file, "--rate", "300"];
    let produce = cluster.command(&produce).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut producer = produce.expect("it starts");
    await_output(&cluster, &CONSUME, |records| records.lines().count() > 100);
    inject(&cluster, liar, "offset_ns=50000000\n");
    await_fence(&cluster, liar);
    let with_marks: Vec<&str> = CONSUME.into_iter().chain(["--marks"]).collect();
    let stream = await_output(&cluster, &with_marks, |stream| {
        let is_mark = |line: &&str| line.starts_with(r#"{"mark":"#);
        stream.lines().skip_while(|line| !is_mark(line)).any(|line| !is_mark(&line))
    });
    producer.kill().expect("a running process can be killed");
    producer.wait().expect("its end can be awaited");

    let (marks, records): (Vec<Value>, Vec<Value>) =
        lines(stream.as_bytes()).into_iter().partition(|row| row.get("mark").is_some());
    let mark = &marks[0]["mark"];
    assert_eq!((number(mark, "node"), &mark["reason"]), (liar, &"outvoted".into()), "{mark}");
    let range = number(mark, "from_timestamp_ns")..=number(mark, "until_timestamp_ns");
    assert!(records.iter().any(|record| range.contains(&number(record, "timestamp_ns"))), "{mark}");
    assert!(range.end() < &number(mark, "timestamp_ns"), "it stands behind all that it concerns: {mark}");

    // The last of them stands behind the mark.
    let all = records.len().to_string();
    let plain: Vec<&str> = CONSUME.into_iter().chain(["--max", &all]).collect();
    let plain = cluster.succeed(&plain);
    assert_eq!(lines(&plain.stdout), records, "who did not ask for marks gets records alone");
    let told = String::from_utf8_lossy(&plain.stderr);
    assert!(told.contains("order not guaranteed: shard"), "{told}");
    let raw: Vec<&str> = with_marks.iter().map(|word| if *word == "ndjson" { "raw" } else { word }).collect();
    assert_eq!(cluster.run(&raw).status.code(), Some(2));

    await_output(&cluster, &["clock", "status", "-o", "ndjson"], |status| {
        lines(status.as_bytes()).iter().filter(|row| row["node"] != liar).all(|row| {
            let doubts = row["doubts"].as_array().expect("a list");
            doubts.len() == 1 && doubts[0]["node"] == liar && doubts[0]["is_open"] == true
        })
    });
    let honest: Vec<u16> = (1..=NODES).filter(|node| u64::from(*node) != liar).collect();
    await_metrics(&cluster, &honest, |text| {
        let has_marked = text.contains(&format!("timberline_order_marks_total{{node=\"{liar}\"}} "));
        has_marked && text.matches(&format!("timberline_clock_doubts_open{{node=\"{liar}\"}} 1")).count() == 2
    });
}
