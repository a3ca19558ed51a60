//! What `verify` must name: any byte, any cut, any frame out of place.

use std::os::unix::fs::FileExt;
use std::path::Path;

use timberline_segment::finding::{Finding, Kind};
use timberline_segment::scan::{Depth, Event, Scan};

use crate::fixture::{Leader, Replica, findings, flip, golden, overwrite, places, run};

fn names(found: &[Finding], file: &Path) -> bool {
    found.iter().any(|finding| Path::new(&finding.file) == file)
}

#[test]
fn every_flipped_byte_of_the_golden_files_is_named() {
    let folder = golden();
    assert_eq!(findings(folder.path()), []);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let is_segment = path.extension().is_some_and(|extension| extension == "segment");
        for at in 0..content.len() {
            file.write_at(&[content[at] ^ 0x10], at as u64).unwrap();
            let found = findings(folder.path());
            assert!(names(&found, &path), "{} byte {at}: {found:?}", path.display());
            if is_segment {
                let is_padding = found.iter().all(|finding| finding.kind == Kind::DirtyPadding);
                let is_damage = found.iter().any(Finding::is_damage);
                assert!(is_padding || is_damage, "{} byte {at}: {found:?}", path.display());
            }
            file.write_at(&content[at..=at], at as u64).unwrap();
        }
    }
    assert_eq!(findings(folder.path()), []);
}

#[test]
fn every_cut_of_the_golden_files_is_named() {
    let folder = golden();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        for len in (0..content.len()).rev() {
            file.set_len(len as u64).unwrap();
            let found = findings(folder.path());
            assert!(names(&found, &path), "{} cut to {len}: {found:?}", path.display());
        }
        std::fs::write(&path, &content).unwrap();
    }
}

#[test]
fn a_flipped_byte_of_a_synced_mark_is_named_and_is_no_damage() {
    let replica = Replica::new(1, &Leader::new().story());
    assert_eq!(findings(replica.root()), []);
    let vote = replica.segment(1).with_file_name("vote");
    let content = std::fs::read(&vote).unwrap();
    assert!(content[1024..].starts_with(b"TMSY"), "an orderly end leaves a mark");
    for at in 1024..content.len() {
        flip(&vote, at);
        let found = findings(replica.root());
        let kinds: Vec<_> = found.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [Kind::SyncedMarkDamaged], "byte {at}");
        assert!(!found[0].is_damage(), "byte {at}");
        std::fs::write(&vote, &content).unwrap();
    }
}

#[test]
fn a_damaged_segment_costs_the_exit_code_of_corruption_and_is_named_on_stdout() {
    let folder = golden();
    let clean = run(&["verify"], &[folder.path()]);
    assert_eq!((clean.code, clean.out.as_str()), (0, ""), "{}", clean.err);
    let segment = folder.path().join("00000000000000000001.segment");
    let mut content = std::fs::read(&segment).unwrap();
    content[4500] ^= 1;
    std::fs::write(&segment, content).unwrap();
    let damaged = run(&["verify"], &[folder.path()]);
    assert_eq!(damaged.code, 7);
    for part in [r#""kind":"bit-rot""#, r#""at_byte":4440"#, r#""first_index":3"#, r#""record_count":20"#] {
        assert!(damaged.out.contains(part), "{part} in {}", damaged.out);
    }
    assert!(
        damaged.out.contains(r#""last_good_timestamp":"2023-11-14T22:13:20.000001002Z""#),
        "{}",
        damaged.out
    );
}

#[test]
fn two_frames_that_changed_places_are_found_by_verify_and_by_verify_order() {
    let replica = Replica::new(1, &Leader::new().story());
    let segment = replica.segment(replica.last_used());
    let places = places(&segment);
    let pair = places.windows(2).find(|pair| pair[0].1 - pair[0].0 == pair[1].1 - pair[1].0).unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    let (first, second) = (&bytes[pair[0].0..pair[0].1], &bytes[pair[1].0..pair[1].1]);
    overwrite(&segment, pair[0].0, &[second, first].concat());
    let kinds: Vec<_> = findings(replica.root()).iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::MissingFrames, Kind::StaleFrame]);
    let order = run(&["verify-order"], &[replica.root()]);
    assert_eq!(order.code, 7);
    assert!(order.out.contains(r#""is_ordered":false"#) && order.err.contains("index"), "{}", order.err);
}

#[test]
fn an_unsynced_tail_is_told_from_rot() {
    let replica = Replica::new(1, &Leader::new().story());
    let last = replica.segment(replica.last_used());
    let places = places(&last);
    let (torn, _) = places[places.len() - 1];
    flip(&last, torn + 40);
    let kinds = |of: &Replica| findings(of.root()).iter().map(|finding| finding.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&replica), [Kind::UnsyncedTail]);
    // The last frame but two is called committed by the last one.
    let replica = Replica::new(1, &Leader::new().story());
    let (rotten, _) = places[places.len() - 4];
    flip(&replica.segment(replica.last_used()), rotten + 40);
    assert_eq!(kinds(&replica), [Kind::BitRot]);
}

#[test]
fn any_bytes_are_walked_to_one_end_in_rising_places() {
    let golden = golden();
    let whole = std::fs::read(golden.path().join("00000000000000000001.segment")).unwrap();
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for _round in 0..3000 {
        let mut bytes = whole.clone();
        for _change in 0..next() % 40 {
            let (at, from) = (next() as usize % bytes.len(), next() as usize % bytes.len());
            let len = (next() as usize % 300).min(bytes.len() - at.max(from));
            bytes.copy_within(from..from + len, at);
            bytes[at] = next() as u8;
        }
        bytes.truncate(next() as usize % (bytes.len() + 1));
        for depth in [Depth::Headers, Depth::Bodies] {
            let events: Vec<_> = Scan::of_file(&bytes, depth).collect();
            let places = events.iter().map(|event| match event {
                Event::Frame(found) => found.at_byte,
                Event::Lost { at_byte, .. } | Event::End { at_byte } => *at_byte,
            });
            assert!(places.is_sorted(), "{events:?}");
            let ends = events.iter().filter(|event| matches!(event, Event::End { .. })).count();
            assert_eq!((ends, matches!(events.last(), Some(Event::End { .. }))), (1, true));
        }
    }
}
