//! Folders that are not this log's as it was left: each refusal says what, where and what to do, and changes nothing.

use std::sync::Arc;

use timberline::codec::checksum;
use timberline::disk::{Disk, MemoryDisk};
use timberline::log::{Error, Log, LogIdentity};
use timberline::segment;
use timberline::types::{Index, ReplicaId, ShardId, TopicId};

use super::values::identity;
use super::world::{FOLDER, HEAD, OPTIONS, VOTE, World, contents, index, segment as path};

fn world() -> World {
    World::marked()
}

fn says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{text}` does not say `{word}`");
    }
}

/// The bytes with `at..at + new.len()` replaced and the checksum at 8, over 12 to `end` and then 0 to 8, made good.
fn resealed(bytes: &[u8], start: usize, end: usize, at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[start + at..start + at + new.len()].copy_from_slice(new);
    let crc = checksum(&[&bytes[start + 12..start + end], &bytes[start..start + 8]]);
    bytes[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_segment_missing_in_the_middle_is_named() {
    let world = world();
    world.disk.remove(&path(2)).unwrap();
    let error = world.judge(&Arc::new(world.disk.fork())).refused("without its second segment");
    says(
        &error,
        &["00000000000000000003.segment", "previous segment is 2, 1 was due", "missing", "restore it"],
    );
}

#[test]
fn two_segments_in_each_others_place_are_named() {
    let world = world();
    for (a, b) in [(1, 2), (2, 3), (1, 3)] {
        let disk = world.disk.fork();
        disk.replace(&path(a), &world.read(&path(b))).unwrap();
        disk.replace(&path(b), &world.read(&path(a))).unwrap();
        let error = world.judge(&Arc::new(disk)).refused(&format!("{a} and {b} swapped"));
        assert!(matches!(error, Error::Segment(segment::Error::Gap { .. })), "{a} and {b}: {error}");
        says(&error, &[".segment", "in another's place", "nothing was changed", "restore it"]);
    }
}

#[test]
fn one_segment_in_the_place_of_each_other_is_named() {
    let world = world();
    for (from, to) in [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)] {
        let disk = world.with(&path(to), &world.read(&path(from)));
        let error = world.judge(&disk).refused(&format!("{from} in the place of {to}"));
        says(&error, &[".segment", "nothing was changed"]);
    }
}

#[test]
fn a_foreign_file_in_the_place_of_a_segment_is_named() {
    let world = world();
    for number in 1..=3 {
        for foreign in [&b"not ours"[..], &[0xff; 8192], &world.read(VOTE.as_ref()), &world.read(&index(1))] {
            let error = world.judge(&world.with(&path(number), foreign)).refused("a foreign file");
            assert!(matches!(error, Error::Segment(segment::Error::Foreign { .. })), "{error}");
            says(&error, &[path(number).to_str().unwrap(), "no segment of this format", "take it away"]);
        }
    }
}

#[test]
fn another_clusters_topics_shards_or_replicas_folder_is_named() {
    let world = world();
    let own = identity();
    let strangers = [
        ("cluster", LogIdentity { cluster: "other".parse().unwrap(), ..own.clone() }),
        ("topic", LogIdentity { topic: TopicId(99), ..own.clone() }),
        ("shard", LogIdentity { shard: ShardId(99), ..own.clone() }),
        ("replica", LogIdentity { replica: ReplicaId(99), ..own }),
    ];
    for (field, stranger) in strangers {
        let disk = Arc::new(world.disk.fork());
        let before = contents(&disk);
        let opened = Log::open(Arc::clone(&disk) as Arc<dyn Disk>, FOLDER.as_ref(), &stranger, OPTIONS);
        let error = opened.err().expect("another's folder is refused");
        says(&error, &["00000000000000000001.segment", &format!("its {field} is"), "put the folder back"]);
        assert!(before == contents(&disk), "another's {field}: something was changed");
    }
}

#[test]
fn anothers_vote_is_named() {
    let world = world();
    for (at, field) in [(48, "shard"), (56, "replica")] {
        let vote = resealed(&world.read(VOTE.as_ref()), 0, 80, at, &99_u64.to_le_bytes());
        let error = world.judge(&world.with(VOTE.as_ref(), &vote)).refused("another's vote");
        says(&error, &[VOTE, &format!("{field} 99"), "nothing was changed", "put the folder back"]);
    }
}

#[test]
fn a_head_of_another_version_is_named() {
    let world = world();
    for (number, version) in [(1, 0_u16), (1, 2), (2, 2), (3, 2), (3, 99)] {
        let head = resealed(&world.read(&path(number)), 0, HEAD as usize, 4, &version.to_le_bytes());
        let error = world.judge(&world.with(&path(number), &head)).refused("another version");
        let version = format!("version {version}");
        says(&error, &[path(number).to_str().unwrap(), &version, "a version of timberline that reads it"]);
    }
}

#[test]
fn a_vote_of_another_version_is_named_whichever_slot_holds_it() {
    let world = world();
    let vote = world.read(VOTE.as_ref());
    for slot in [0, 512] {
        for version in [0_u16, 2] {
            let vote = resealed(&vote, slot, 80, 4, &version.to_le_bytes());
            let error = world.judge(&world.with(VOTE.as_ref(), &vote)).refused("another version");
            let version = format!("version {version}");
            says(&error, &[VOTE, &version, "nothing was changed", "a version of timberline that reads it"]);
        }
    }
}

/// Also of the last frames, which no later one calls committed: what is whole was never torn.
#[test]
fn a_whole_frame_of_another_version_or_of_a_reserved_kind_is_named_and_never_cut() {
    let world = World::active();
    let bytes = world.read(&path(1));
    for (start, frame) in world.places() {
        for (at, new) in [(4, &[2, 0][..]), (6, &[7]), (6, &[10]), (7, &[9]), (112, &[1])] {
            let changed = resealed(&bytes, start, 128, at, new);
            let what = format!("frame {} with {new:?} at {at}", frame.header.index);
            let error = world.judge(&world.with(&path(1), &changed)).refused(&what);
            let Error::Segment(segment::Error::Unreadable { at_byte, index, .. }) = error else {
                panic!("{what}: {error}")
            };
            assert_eq!((at_byte, index), (start as u64, frame.header.index), "{what}");
            says(
                &error,
                &[path(1).to_str().unwrap(), "not of this format", "a version of timberline that reads it"],
            );
        }
    }
}

#[test]
fn a_folder_without_a_log_without_segments_or_without_a_vote_is_named() {
    let world = world();
    let error = world.judge(&Arc::new(MemoryDisk::new())).refused("an empty folder");
    says(&error, &[FOLDER, "holds no log", "check the data folder's path"]);
    let disk = world.disk.fork();
    disk.remove(VOTE.as_ref()).unwrap();
    says(&world.judge(&Arc::new(disk)).refused("without a vote"), &[FOLDER, "create it again"]);
    for number in 1..=3 {
        world.disk.remove(&path(number)).unwrap();
    }
    let error = world.judge(&Arc::new(world.disk.fork())).refused("without segments");
    says(&error, &[FOLDER, "its log is lost", "under a new replica id"]);
}

/// It looks like a prepared file until it is used.
#[test]
fn a_file_that_only_begins_blank_is_not_written_over() {
    let world = World::sealed();
    let mut foreign = vec![0; 68 << 10];
    foreign[64 << 10..][..10].copy_from_slice(b"somebody's");
    let disk = world.with(&path(3), &foreign);
    let (mut log, _) = super::world::open(&disk).unwrap();
    let more = super::world::filler(&log.state_at(log.last_index()).unwrap(), 60_000);
    let error = log.append(&[more], Index(0)).unwrap_err();
    says(&error, &[path(3).to_str().unwrap(), "not blank", "take the file away"]);
    assert!(disk.read(&path(3)).unwrap().unwrap() == foreign);
}
