//! What `verify-order` proves of several replicas and of receipts, and what it says of order marks.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use timberline::codec::{Compression, Frame};
use timberline::types::{MarkReason, NodeId, OrderMark};

use crate::fixture::{Leader, Replica, flip, places, run};

/// Receipts as `timberline produce --receipts` prints them, of the data frames.
fn receipts(frames: &[Frame], shift_ns: u64) -> (TempDir, PathBuf) {
    let mut text = String::new();
    for frame in frames.iter().filter(|frame| frame.header.record_count > 0) {
        let header = &frame.header;
        writeln!(
            text,
            r#"{{"topic":"t","shard":7,"first_offset":{},"first_timestamp_ns":{},"record_count":{},"uncertainty_ns":{},"commit_wait_ns":9,"durability":"disk","term":{},"header_crc":{}}}"#,
            header.first_offset.0,
            header.first_timestamp.0 + shift_ns,
            header.record_count,
            header.uncertainty_ns,
            header.term,
            frame.header_crc(),
        )
        .unwrap();
    }
    text.push_str(
        r#"{"topic":"t","shard":7,"record_count":1,"error":"full","outcome":"not_applied","retryable":true}"#,
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.ndjson");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn true_receipts_match_and_altered_or_lost_ones_do_not() {
    let frames = Leader::new().story();
    let one = Replica::new(1, &frames);
    let behind = Replica::new(2, &frames[..frames.len() - 5]);
    let order = |path: &PathBuf, replicas: &[&Replica]| {
        let roots: Vec<_> = replicas.iter().map(|replica| replica.root()).collect();
        run(&["verify-order", "--receipts", path.to_str().unwrap()], &roots)
    };
    let (_kept, truthful) = receipts(&frames, 0);
    let ran = order(&truthful, &[&one, &behind]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(r#""receipts_matched":80"#), "{}", ran.out);
    let (_kept, altered) = receipts(&frames, 1);
    let ran = order(&altered, &[&one, &behind]);
    assert_eq!(ran.code, 7);
    assert!(ran.err.contains("first_timestamp_ns"), "{}", ran.err);
    let ran = order(&truthful, &[&behind]);
    assert_eq!(ran.code, 7, "an acknowledged batch that no replica has is lost: {}", ran.out);
}

#[test]
fn a_receipt_that_differs_in_one_bit_of_its_hash_alone_is_found() {
    let frames = Leader::new().story();
    let replica = Replica::new(1, &frames);
    let data: Vec<&Frame> = frames.iter().filter(|frame| frame.header.record_count > 0).collect();
    let (_kept, path) = receipts(&frames, 0);
    let truthful = std::fs::read_to_string(&path).unwrap();
    let asked = ["verify-order", "--receipts", path.to_str().unwrap()];
    for bit in [0, 17, 31] {
        let crc = data[40].header_crc();
        let flipped = truthful.replace(
            &format!(r#""header_crc":{crc}}}"#),
            &format!(r#""header_crc":{}}}"#, crc ^ (1_u32 << bit)),
        );
        assert_ne!(flipped, truthful);
        std::fs::write(&path, flipped).unwrap();
        let ran = run(&asked, &[replica.root()]);
        assert_eq!(ran.code, 7, "{}", ran.out);
        assert!(ran.err.contains("its header_crc is"), "{}", ran.err);
    }
}

#[test]
fn one_index_in_one_term_is_one_frame_on_every_node() {
    let (mut one, mut two) = (Leader::new(), Leader::new());
    let mut frames = one.story();
    two.story();
    let mut forked = frames.clone();
    frames.push(one.batch(1, 100, Compression::None));
    forked.push(two.batch(1, 101, Compression::None));
    let (a, b) = (Replica::new(1, &frames), Replica::new(2, &forked));
    let ran = run(&["verify-order"], &[a.root(), b.root()]);
    assert_eq!(ran.code, 7);
    assert!(ran.err.contains("another frame"), "{}", ran.err);
    // In different terms, and not committed, both may stand until one is cut.
    let mut later = Leader::new();
    let mut forked = later.story();
    later.term = 3;
    forked.push(later.batch(1, 100, Compression::None));
    let b = Replica::new(2, &forked);
    let ran = run(&["verify-order"], &[a.root(), b.root()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

/// A mark on all that two frames and those between them hold.
fn mark_from_to(first: &Frame, last: &Frame) -> OrderMark {
    OrderMark {
        node: NodeId(2),
        from: first.header.first_timestamp,
        until: last.header.last_timestamp(),
        off_by_ns: 50_000_000,
        reason: MarkReason::Outvoted,
    }
}

/// The story, with marks on two stretches behind it that share a frame, the second of them written twice.
fn marked_story() -> Vec<Frame> {
    let mut leader = Leader::new();
    let mut frames = leader.story();
    let marks = [mark_from_to(&frames[5], &frames[8]), mark_from_to(&frames[8], &frames[9])];
    frames.extend([0, 1, 1].map(|at: usize| leader.mark(&marks[at])));
    frames.push(leader.batch(3, 100, Compression::None));
    frames
}

#[test]
fn marks_are_counted_once_whatever_replicas_hold_them_and_records_once_whatever_marks_cover_them() {
    let frames = marked_story();
    let marked: u32 = frames[5..=9].iter().map(|frame| frame.header.record_count).sum();
    let (one, two) = (Replica::new(1, &frames), Replica::new(2, &frames[..frames.len() - 2]));
    let (_kept, receipts) = receipts(&frames, 0);
    let asked = ["verify-order", "-o", "json", "--receipts", receipts.to_str().unwrap()];
    let ran = run(&asked, &[one.root(), two.root()]);
    assert_eq!(ran.code, 0, "a mark is no violation: {}", ran.err);
    let rows: Value = serde_json::from_str(&ran.out).unwrap();
    let row = &rows[0];
    assert_eq!((&row["mark_count"], &row["marked_record_count"]), (&3.into(), &marked.into()), "{row}");
    assert_eq!((&row["receipts_marked"], &row["receipts_matched"]), (&5.into(), &81.into()), "{row}");
    let first = &row["marks"][0];
    assert_eq!((&first["node"], &first["reason"]), (&2.into(), &"outvoted".into()), "{first}");
    let (from, until) = (&first["from_timestamp_ns"], &first["until_timestamp_ns"]);
    let (begin, end) = (frames[5].header.first_timestamp.0, frames[8].header.last_timestamp().0);
    assert_eq!((from, until), (&begin.into(), &end.into()), "{first}");
    assert!(
        ran.err.contains("3 order marks") && ran.err.contains(&format!("order of {marked} records")),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("marked by frame 83: the clock of node 2 missed the majority by 50.000 ms"),
        "{}",
        ran.err
    );
    let table = run(&["verify-order", "-o", "table"], &[one.root()]);
    assert!(
        table.out.contains("marked") && table.err.contains("3 order marks"),
        "{}{}",
        table.out,
        table.err
    );
}

#[test]
fn many_marks_are_told_by_a_few_and_by_how_many_more_there_are() {
    let mut leader = Leader::new();
    let mut frames = leader.story();
    let mark = mark_from_to(&frames[1], &frames[1]);
    frames.extend((0..130).map(|_| leader.mark(&mark)));
    let replica = Replica::new(1, &frames);
    let ran = run(&["verify-order"], &[replica.root()]);
    let row: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&row["mark_count"], row["marks"].as_array().unwrap().len()), (&130.into(), 100));
    assert_eq!(ran.err.matches("marked by frame").count(), 10, "{}", ran.err);
    assert!(ran.err.contains("and 120 more"), "{}", ran.err);
}

#[test]
fn an_altered_receipt_of_marked_records_says_so_and_stays_a_violation() {
    let frames = marked_story();
    let replica = Replica::new(1, &frames);
    let told = |first_offset: u64, first_timestamp_ns: u64| {
        let text = format!(
            r#"{{"shard":7,"first_offset":{first_offset},"first_timestamp_ns":{first_timestamp_ns},"record_count":1,"term":1}}"#
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.ndjson");
        std::fs::write(&path, text).unwrap();
        run(&["verify-order", "--receipts", path.to_str().unwrap()], &[replica.root()])
    };
    for (at, is_marked) in [(5, true), (20, false)] {
        let header = &frames[at].header;
        let ran = told(header.first_offset.0, header.first_timestamp.0 + 1);
        let row: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.code, row["violation"]["marked_by"].is_object()), (7, is_marked), "{}", ran.out);
        let names_it =
            ran.err.contains("timberline-segment: shard 7:") && ran.err.contains("not guaranteed here");
        assert_eq!(names_it, is_marked, "{}", ran.err);
    }
    let lost = told(10_000, frames[5].header.first_timestamp.0);
    assert!(lost.code == 7 && lost.err.contains("not guaranteed here"), "{}", lost.err);
}

#[test]
fn what_breaks_the_order_within_a_shard_is_no_less_of_a_violation_for_being_marked() {
    let replica = Replica::new(1, &marked_story());
    flip(&replica.segment(1), places(&replica.segment(1))[6].0);
    let ran = run(&["verify-order"], &[replica.root()]);
    let row: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &row["violation"]["marked_by"]), (7, &Value::Null), "{}", ran.out);
    assert_eq!(row["mark_count"], 3, "marks are known though the walk ended before them");
}

#[test]
fn the_other_commands_count_marks_where_they_stand() {
    let replica = Replica::new(1, &marked_story());
    let listed = run(&["ls"], &[replica.root()]);
    let rows = listed.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let marks: u64 = rows.map(|row| row["order_mark_count"].as_u64().unwrap()).sum();
    assert_eq!(marks, 3, "{}", listed.out);
    let verified = run(&["verify"], &[replica.root()]);
    assert!(verified.code == 0 && verified.err.contains(" 3 order marks:"), "{}", verified.err);
    let measured = run(&["stat"], &[replica.root()]);
    let row = r#"{"measure":"frames","of":"order mark","unit":"frames","amount":3}"#;
    assert!(measured.out.contains(row), "{}", measured.out);
}
