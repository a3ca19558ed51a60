//! Whole runs of the program: against nodes in its own process, and against the floor's three processes. Short ones: what is
//! checked is that the numbers are there and agree with each other, not how good they are.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the program with these flags, its files under `folder`.
fn load(folder: &Path, flags: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timberline-load"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIMBERLINE_"))
    {
        command.env_remove(name);
    }
    command.args(flags.split_whitespace()).current_dir(folder);
    command.output().expect("the program starts")
}

/// The reports of a run that succeeds.
fn reports(folder: &Path, flags: &str) -> Vec<Value> {
    let output = load(folder, flags);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{flags}: {said}");
    let text = String::from_utf8(output.stdout).expect("reports are text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is a JSON object")).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// What holds of every run.
fn assert_sound(report: &Value) {
    assert!(number(&report["records"]) > 0.0, "{report}");
    let counted = number(&report["records"]) / number(&report["duration_s"]);
    assert!((counted - number(&report["records_per_s"])).abs() < 1.0, "{report}");
    assert_eq!((&report["failed_batches"], &report["first_error"]), (&0.into(), &Value::Null), "{report}");
    let rising = |percentiles: &Value| {
        let values = ["min_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"]
            .map(|name| number(&percentiles[name]));
        assert!(values.is_sorted() && values[0] > 0.0, "{report}");
    };
    ["ack", "visible", "send_delay"]
        .iter()
        .map(|name| &report[name])
        .filter(|found| !found.is_null())
        .for_each(rising);
    let servers = &report["servers"];
    assert!(number(&servers["peak_bytes"]) >= number(&servers["resident_bytes"]) / 2.0, "{report}");
}

#[test]
fn a_run_against_nodes_in_this_process_tells_when_records_were_acknowledged_and_when_visible() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--dev --folder . --visible --shards 3 --rate 300 --duration 700ms --warmup 200ms --batch 3";
    let reports = reports(folder.path(), flags);
    let [report] = &reports[..] else { panic!("one run, one line: {reports:?}") };
    assert_sound(report);
    assert_eq!((&report["system"], &report["mode"]), (&"timberline".into(), &"open".into()));
    // A hundred batches a second for 700 ms, each acknowledged, each of its three records seen.
    assert_eq!(report["ack"]["count"], 70, "{report}");
    assert_eq!(report["visible"]["count"], 210, "{report}");
    assert!(
        number(&report["visible"]["min_us"]) > 0.0 && number(&report["servers"]["syncs"]) > 0.0,
        "{report}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the nodes' files are gone");
}

#[test]
fn a_replay_reads_what_was_written_before() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--dev 1 --folder . --workload w4 --replay-records 2050 --duration 300ms --warmup 10ms";
    let reports = reports(folder.path(), flags);
    assert_sound(&reports[0]);
    assert_eq!((&reports[0]["mode"], &reports[0]["ack"]), (&"replay".into(), &Value::Null));
}

#[test]
fn a_sweep_beside_the_floor_is_a_line_for_each_rate_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--dev 1 --with-floor --floor-file 1MiB --folder . --sweep 50,100 --plot p.svg --duration 300ms --warmup 50ms";
    let reports = reports(folder.path(), flags);
    reports.iter().for_each(assert_sound);
    let said: Vec<_> = reports
        .iter()
        .map(|report| (report["system"].as_str().unwrap(), report["offered_per_s"].as_u64().unwrap()))
        .collect();
    assert_eq!(said, [("floor", 50), ("floor", 100), ("timberline", 50), ("timberline", 100)]);
    let svg = std::fs::read_to_string(folder.path().join("p.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
}

#[test]
fn the_floor_runs_every_workload_in_three_processes_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (workload, more) in [("w1", ""), ("w2", ""), ("w3", ""), ("w4", "--replay-records 1000")] {
        let flags = format!(
            "floor --workload {workload} --folder . --floor-file 4MiB --duration 200ms --warmup 50ms {more}"
        );
        let reports = reports(folder.path(), &flags);
        assert_sound(&reports[0]);
        assert_eq!(reports[0]["workload"], workload);
        assert_eq!(reports[0]["servers"]["pids"].as_array().unwrap().len(), 3);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the floor's files are gone");
}

#[test]
fn a_lost_rate_is_told_and_fails_the_program_only_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing syncs a hundred million times a second.
    let flags =
        "floor --rate 100000000 --outstanding 1 --folder . --floor-file 1MiB --duration 20ms --warmup 0s";
    for (strict, code) in [("", 0), (" --strict", 1)] {
        let output = load(folder.path(), &format!("{flags}{strict}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("RATE LOST: 100000000 records/s were offered"), "{said}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["rate_kept"], false);
        // Two million were due; those that were not even sent count too.
        assert!(number(&report["unanswered_batches"]) > 1_900_000.0, "{report}");
    }
}

#[test]
fn mistakes_end_with_the_exit_code_of_their_kind_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, code, says) in [
        ("--rate 0", 2, "--rate"),
        ("--workload w4 --rate 5", 2, "has no rate"),
        ("--file none.ndjson", 1, "none.ndjson"),
        ("--duration 1ms", 4, "--certs"),
        ("floor --workload w4 --floor-file 1MiB", 2, "--floor-file 196MiB"),
        ("growth replicas --points 10", 2, "replicas cannot be 10"),
    ] {
        let output = load(folder.path(), flags);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{flags}: {said}");
        assert!(said.contains(says) && output.stdout.is_empty(), "{flags}: {said}");
    }
}

#[test]
fn growth_is_a_line_for_each_step_and_round_from_nodes_of_their_own_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "growth records --points 200,2000 --rounds 2 --folder . --plot p.svg --record-size 100";
    let points = reports(folder.path(), flags);
    points.iter().for_each(assert_sound);
    let said: Vec<_> =
        points.iter().map(|point| [&point["value"], &point["round"], &point["records"]]).collect();
    assert_eq!(said, [[200, 1, 200], [2_000, 1, 2_000], [200, 2, 200], [2_000, 2, 2_000]]);
    for point in &points {
        assert_eq!((&point["dimension"], &point["mode"]), (&"records".into(), &"count".into()), "{point}");
        // A batch holds a hundred; each is answered, and by three processes that are not the load's.
        let batches = point["ack"]["count"].as_u64().unwrap();
        assert_eq!(Some(batches * 100), point["records"].as_u64(), "{point}");
        assert_eq!((point["servers"]["pids"].as_array().unwrap().len(), &point["replicas"]), (3, &3.into()));
        assert_eq!(point["servers"]["with_the_load"], false);
    }
    let svg = std::fs::read_to_string(folder.path().join("p.svg")).unwrap();
    assert!(svg.contains("Growth with records"), "{svg}");
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["p.svg"], "the nodes' files are gone");
}

#[test]
fn a_step_that_the_disk_has_no_room_for_is_left_out_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let output = load(folder.path(), "growth records --points 1000000 --disk 1MiB --folder .");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    assert!(said.contains("1000000 records are left out") && said.contains("--disk allows 1"), "{said}");
}

#[test]
fn a_node_that_does_not_start_is_told_with_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let output = load(folder.path(), "growth shards --quick --folder . --set no.such=1");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("node 1 ended with") && said.contains("no.such"), "{said}");
}

#[test]
fn a_follower_that_is_paused_again_and_again_is_named_beside_the_same_run_without() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--serve --folder . --slow-follower 40ms --rate 200 --duration 1s --warmup 200ms";
    let reports = reports(folder.path(), flags);
    let [steady, slow] = &reports[..] else { panic!("a run, and the same again: {reports:?}") };
    reports.iter().for_each(assert_sound);
    assert!(steady["slow_follower"].is_null() && slow["servers"]["with_the_load"] == false);
    assert_eq!(
        (&slow["slow_follower"]["paused_ms"], &slow["slow_follower"]["running_ms"]),
        (&40.into(), &10.into())
    );
    let share = |name: &str| number(&slow["stages"][name]["share"]);
    let whole: f64 = ["queue", "replication", "commit_wait", "outside"].map(share).iter().sum();
    assert!((whole - 1.0).abs() < 0.02, "the stages make up the whole: {slow}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the nodes and their files are gone");
}
