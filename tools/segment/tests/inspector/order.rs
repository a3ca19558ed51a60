//! What `verify-order` proves of several replicas and of receipts.

use std::fmt::Write;
use std::path::PathBuf;

use tempfile::TempDir;
use timberline::codec::{Compression, Frame};

use crate::fixture::{Leader, Replica, run};

/// Receipts as `timberline produce --receipts` prints them, of the data frames.
fn receipts(frames: &[Frame], shift_ns: u64) -> (TempDir, PathBuf) {
    let mut text = String::new();
    for header in frames.iter().map(|frame| &frame.header).filter(|header| header.record_count > 0) {
        writeln!(
            text,
            r#"{{"topic":"t","shard":7,"first_offset":{},"first_timestamp_ns":{},"record_count":{},"uncertainty_ns":{},"commit_wait_ns":9,"durability":"disk","term":{}}}"#,
            header.first_offset.0,
            header.first_timestamp.0 + shift_ns,
            header.record_count,
            header.uncertainty_ns,
            header.term,
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
