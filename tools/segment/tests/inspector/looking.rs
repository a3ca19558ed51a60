//! What `ls`, `dump`, `diff` and `stat` show, and that nothing they look at changes.

use timberline::codec::Compression;

use crate::fixture::{Leader, Replica, contents, flip, places, run};

#[test]
fn dump_finds_the_thread_again_behind_damage() {
    let replica = Replica::new(1, &Leader::new().story());
    let segment = replica.segment(2);
    let places = places(&segment);
    flip(&segment, places[1].0);
    let dumped = run(&["dump"], &[&segment]);
    assert_eq!(dumped.code, 0, "{}", dumped.err);
    let lost = format!(r#""at_byte":{},"until_byte":{},"is_found":true"#, places[1].0, places[2].0);
    assert!(dumped.out.contains(&lost), "{lost} in {}", dumped.out);
    let frames = dumped.out.lines().filter(|line| line.starts_with(r#"{"type":"frame""#)).count();
    assert_eq!(frames, places.len() - 1);
}

#[test]
fn dump_shows_the_records_of_a_range_alone() {
    let replica = Replica::new(1, &Leader::new().story());
    let dumped = run(&["dump", "--records", "--offsets", "20..22"], &[replica.root()]);
    let records: Vec<_> = dumped.out.lines().filter(|line| line.contains(r#""type":"record""#)).collect();
    assert_eq!(records.len(), 3, "{}", dumped.out);
    for (record, offset) in records.iter().zip(20..) {
        assert!(record.contains(&format!(r#""offset":{offset},"#)), "{record}");
        assert!(record.contains(&format!(r#""key":"key {offset}""#)), "{record}");
    }
    let none = run(&["dump", "--until", "2020-01-01T00:00:00Z"], &[replica.root()]);
    assert_eq!((none.code, none.out.as_str()), (0, ""));
}

#[test]
fn diff_says_where_two_replicas_part() {
    let mut leader = Leader::new();
    let mut frames = leader.story();
    let one = Replica::new(1, &frames);
    let same = run(&["diff"], &[one.root(), Replica::new(2, &frames).root()]);
    assert_eq!(same.code, 0, "{}{}", same.out, same.err);
    let last = frames.pop().unwrap();
    let shorter = run(&["diff"], &[one.root(), Replica::new(2, &frames).root()]);
    assert_eq!(shorter.code, 0, "{}", shorter.out);
    assert!(shorter.out.contains("goes-further"), "{}", shorter.out);
    let mut other = Leader::new();
    other.story();
    other.state = {
        let mut state = Leader::new().state;
        for frame in &frames {
            state.fold(&frame.header, frame.header_crc());
        }
        state
    };
    other.term = 2;
    frames.push(other.batch(3, 150, Compression::None));
    let parted = run(&["diff"], &[one.root(), Replica::new(2, &frames).root()]);
    assert_eq!(parted.code, 1);
    let index = format!(r#""what":"parts","first_index":{}"#, last.header.index);
    assert!(parted.out.contains(&index), "{index} in {}", parted.out);
    assert!(
        parted.out.contains(&format!(r#""offset":{}"#, last.header.first_offset.0 + 2)),
        "{}",
        parted.out
    );
}

#[test]
fn no_command_changes_a_byte_of_what_it_looks_at() {
    let replica = Replica::new(1, &Leader::new().story());
    flip(&replica.segment(2), 4200);
    let before = contents(&replica.folder());
    let pictures = tempfile::tempdir().unwrap();
    let (picture, copy) = (pictures.path().join("stat.svg"), pictures.path().join("copy"));
    let (picture, copy) = (picture.to_str().unwrap(), copy.to_str().unwrap());
    let root = replica.root().to_str().unwrap();
    for (arguments, code) in [
        (vec!["ls"], 0),
        (vec!["dump", "--records"], 0),
        (vec!["verify"], 7),
        (vec!["verify-order"], 7),
        (vec!["diff", root], 0),
        (vec!["stat", "--svg", picture], 0),
        (vec!["repair", "--from", root, "--to", copy], 7),
    ] {
        let ran = run(&arguments, &[replica.root()]);
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(contents(&replica.folder()) == before, "{arguments:?}");
    }
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg"));
}

#[test]
fn what_is_not_there_has_its_own_exit_code() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(run(&["ls"], &[empty.path()]).code, 3);
    assert_eq!(run(&["verify"], &[&empty.path().join("nothing")]).code, 3);
    assert_eq!(run(&["verify", "--unknown"], &[empty.path()]).code, 2);
}
