//! What is shown of clocks, of nodes that run: one of them is skewed, or gone, and is named; the others go on.

use serde_json::Value;

use super::cluster::Cluster;
use super::faults::append_one;
use super::{await_output, lines, number, start, start_with};

const SECOND_NS: i64 = 1_000_000_000;
const STATUS: [&str; 4] = ["clock", "status", "-o", "json"];
const WATCH: [&str; 6] = ["clock", "watch", "--count", "3", "--interval", "100ms"];

fn signed(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or_else(|| panic!("{field} in {value}"))
}

fn rows(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("one document, a list")
}

fn row(rows: &[Value], node: u64) -> &Value {
    rows.iter().find(|row| number(row, "node") == node).expect("every node has a row")
}

/// Whether a clock is drawn at that distance from the middle of the majority.
fn is_near(row: &Value, offset_ns: i64) -> bool {
    let ends = ["offset_low_ns", "offset_high_ns"];
    ends.iter().all(|end| (signed(row, end) - offset_ns).abs() < SECOND_NS / 10)
}

/// Waits until every clock agrees with every other.
fn agree(cluster: &Cluster) {
    await_output(cluster, &STATUS, |status| {
        let agrees = |peer: &Value| peer["verdict"] == "agrees";
        let all_agree = |row: &Value| row["peers"].as_array().is_some_and(|peers| peers.iter().all(agrees));
        rows(status).iter().all(|row| row["state"] == "trusted" && all_agree(row))
    });
}

#[test]
fn a_node_skewed_by_5_s_is_fenced_with_a_reason_and_the_others_go_on() {
    let cluster = start_with(&["--set", "testing.enabled=true", "--set", "clock.inject_file=inject-{node}"]);
    cluster.succeed(&["topic", "create", "flights", "--shards", "6"]);
    agree(&cluster);
    std::fs::write(cluster.path("inject-2"), "offset_ns=5000000000\n").expect("the control file is written");
    let status = await_output(&cluster, &STATUS, |status| row(&rows(status), 2)["state"] == "fenced");
    let fenced = rows(&status);
    let reason = row(&fenced, 2)["reason"].as_str().expect("a sentence");
    assert!(reason.contains("node 2 misses the majority by 4"), "{reason}");
    assert!([1, 3].iter().all(|node| row(&fenced, *node)["state"] == "trusted"), "{status}");
    append_one(&cluster);

    let refreshes = |text: &str| -> Vec<Vec<Value>> {
        let all = lines(text.as_bytes());
        (1..=3)
            .map(|refresh| all.iter().filter(|row| number(row, "refresh") == refresh).cloned().collect())
            .collect()
    };
    // Until the others have heard enough of it, their word may still be open.
    let watched = await_output(&cluster, &WATCH, |text| {
        refreshes(text).iter().all(|rows| rows.iter().filter(|row| row["standing"] == "misses").count() == 1)
    });
    for rows in refreshes(&watched) {
        assert_eq!(rows.len(), 3, "one object per node and refresh: {watched}");
        let off = row(&rows, 2);
        assert_eq!((&off["state"], &off["standing"]), (&"fenced".into(), &"misses".into()), "{off}");
        assert!(is_near(off, 5 * SECOND_NS), "{off}");
        for node in [1, 3] {
            let fine = row(&rows, node);
            assert_eq!(
                (&fine["state"], &fine["standing"]),
                (&"trusted".into(), &"majority".into()),
                "{fine}"
            );
            assert!(is_near(fine, 0), "{fine}");
        }
    }
}

#[test]
fn a_node_that_is_gone_has_a_row_that_says_so_and_the_doctor_finds_it() {
    let mut cluster = start();
    cluster.succeed(&["topic", "create", "flights", "--shards", "2"]);
    agree(&cluster);
    let doctor = ["doctor", "-o", "ndjson"];
    let well = await_output(&cluster, &doctor, |_| true);
    let failed = |text: &[u8]| -> Vec<String> {
        let failures = lines(text).into_iter().filter(|check| check["result"] == "failure");
        failures.map(|check| check["check"].as_str().expect("a name").to_owned()).collect()
    };
    assert!(failed(well.as_bytes()).is_empty() && well.contains("certificate client.pem"), "{well}");
    let settings = std::fs::read_to_string(cluster.settings(1)).expect("its settings");
    let nobody = settings.replace("127.0.0.1:323", "127.0.0.1:9");
    std::fs::write(cluster.path("elsewhere.toml"), nobody).expect("written");
    let told = cluster.succeed(&["doctor", "--config", "elsewhere.toml", "-o", "ndjson"]).stdout;
    assert!(
        String::from_utf8_lossy(&told).contains("chronyd at 127.0.0.1:9"),
        "as the node is told to ask it"
    );
    cluster.kill(3);
    let status = cluster.succeed(&STATUS);
    let rows = rows(std::str::from_utf8(&status.stdout).expect("text"));
    assert_eq!(row(&rows, 3)["state"], "unreachable");
    assert!(row(&rows, 3)["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    assert!([1, 2].iter().all(|node| row(&rows, *node)["state"] == "trusted"), "{rows:?}");
    let ill = cluster.run(&doctor);
    assert_eq!(ill.status.code(), Some(1), "{}", String::from_utf8_lossy(&ill.stderr));
    let checks = failed(&ill.stdout);
    assert!(checks.contains(&"node 3 answers".to_owned()), "{checks:?}");
}
