//! Format version 1, opened forever: the files in `tests/data/format-v1` are read field by field, and the same values
//! encoded again give the same bytes. Whatever fails here has changed the format: that takes a new version and its
//! own files, never new bytes for these.
//!
//! The files were written by `TIMBERLINE_WRITE_FORMAT_V1=FOLDER cargo test --test format_v1`, which writes them anew
//! into FOLDER. Compressed bodies are the one thing that another release of a compressor may write otherwise; so they
//! are taken from the files, and proved by what they expand to.

#[path = "format_v1/values.rs"]
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use timberline::codec::{
    Compression, Frame, FrameHeader, HEADER_BYTES, ShardState, chain_root, decode_records, encode_records,
};
use timberline::disk::{Disk, OsDisk};
use timberline::log::{Log, LogOptions, Share, VOTE_FILE_BYTES};
use timberline::segment::{Segment, SegmentHead};
use timberline::types::{Index, ProducerId, ReplicaId, ShardId, Term, Vote};
use values::{genesis, identity, membership, plan};

const FILES: [&str; 4] = [
    "00000000000000000001.segment",
    "00000000000000000002.segment",
    "vote",
    // Of the first segment, the only one that is sealed.
    "00000000000000000001.index",
];
/// The index of the second segment's first frame.
const FIRST_OF_SECOND: usize = 10;
const SEGMENT_BYTES: u64 = 8192;
const OPTIONS: LogOptions =
    LogOptions { first_segment_bytes: SEGMENT_BYTES, segment_bytes_max: SEGMENT_BYTES, open_segments_max: 8 };
const SHARD: &str = "shards/7";

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-v1").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A copy of the files that may be opened, and so be written to.
fn opened() -> (tempfile::TempDir, Arc<dyn Disk>, Log) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(SHARD);
    std::fs::create_dir_all(&folder).unwrap();
    for name in FILES {
        std::fs::write(folder.join(name), golden(name)).unwrap();
    }
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(root.path()).unwrap());
    let (log, recovery) =
        Log::open(Arc::clone(&disk), SHARD.as_ref(), &identity(), OPTIONS).expect("version 1 opens");
    assert_eq!((recovery.cut, recovery.frames_replayed), (None, 2));
    (root, disk, log)
}

/// The state in the second segment's head, of the state folded from genesis: the membership frame at 5 is applied.
fn state_before_second(folded: ShardState) -> ShardState {
    ShardState { applied: Index(5), membership: membership(&[1, 2, 3], &[4], &[1, 2]), ..folded }
}

fn frames(log: &Log) -> Vec<Frame> {
    log.frames(log.first_index(), log.last_index().plus(1), u64::MAX, Share::Copy).unwrap()
}

#[test]
fn every_frame_says_what_was_written() {
    let (_root, _disk, log) = opened();
    let (frames, plan) = (frames(&log), plan());
    assert_eq!(frames.len(), plan.len());
    let mut state = genesis();
    for (frame, planned) in frames.iter().zip(&plan) {
        let body = if planned.compression == Compression::None { planned.body() } else { frame.body.clone() };
        assert_eq!(*frame, planned.frame(&state, body), "frame {}", frame.header.index);
        if !planned.records.is_empty() {
            let FrameHeader { compression, record_count, .. } = frame.header;
            assert_eq!(decode_records(&frame.body, compression, record_count).unwrap(), planned.records);
            assert_eq!(compression.expand(&frame.body).unwrap(), planned.body());
        }
        state.fold(&frame.header, frame.header_crc());
    }
    let kinds: Vec<u8> = plan.iter().map(|planned| planned.kind as u8).collect();
    assert!((1..=6).all(|kind| kinds.contains(&kind)), "every kind of frame is there");
    let stored: Vec<_> = frames.iter().map(|frame| frame.header.compression).collect();
    assert!(Compression::ALL.iter().all(|compression| stored.contains(compression)));
}

#[test]
fn the_vote_is_the_newer_slots() {
    let (_root, _disk, log) = opened();
    let vote = Vote { term: Term(2), voted_for: Some(ReplicaId(3)), committed: Index(9) };
    assert_eq!(log.vote(), vote);
}

#[test]
fn the_second_head_holds_what_the_first_segment_left() {
    let bytes = golden(FILES[1]);
    let (head, head_bytes) = SegmentHead::decode(&bytes).unwrap();
    let mut state = genesis();
    let (_root, _disk, log) = opened();
    for frame in &frames(&log)[..FIRST_OF_SECOND - 1] {
        state.fold(&frame.header, frame.header_crc());
    }
    let state = state_before_second(state);
    assert_eq!(state.dedup.newest(ProducerId(11)).map(|entry| entry.sequence), Some(2));
    let (identity, file_bytes) = (identity(), SEGMENT_BYTES);
    let expected =
        SegmentHead { identity: identity.clone(), state, begins_log: false, previous: 1, file_bytes };
    assert_eq!((head, head_bytes), (expected, 4096));
    let (first, _) = SegmentHead::decode(&golden(FILES[0])).unwrap();
    let expected = SegmentHead { identity, state: genesis(), begins_log: true, previous: 0, file_bytes };
    assert_eq!(first, expected);
    assert_eq!((first.state.start, state_start(&bytes)), (Index(1), 3));
}

/// The first index kept, where `docs/SEGMENT_FORMAT.md` says that it stands.
fn state_start(head: &[u8]) -> u64 {
    u64::from_le_bytes(head[96 + 48..96 + 56].try_into().unwrap())
}

#[test]
fn the_same_values_give_the_same_bytes() {
    let (_root, _disk, log) = opened();
    let root = tempfile::tempdir().unwrap();
    write(root.path(), Some(&frames(&log)));
    for name in FILES {
        let mut expected = golden(name);
        if name == "vote" {
            // Room for a synced mark, which is none yet. The golden votes stand alone, as in files that never had it.
            expected.resize(VOTE_FILE_BYTES as usize, 0);
        }
        assert!(std::fs::read(root.path().join(name)).unwrap() == expected, "{name} differs");
    }
}

/// CRC-32 as `docs/SEGMENT_FORMAT.md` gives it, bit by bit.
fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _bit in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn checksums_and_chain_are_what_the_document_computes() {
    let bytes = golden(FILES[0]);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926);
    assert_eq!(word(8), crc32(&[&bytes[12..4096], &bytes[..8]]));
    let frame = &bytes[4096..4096 + HEADER_BYTES];
    assert_eq!(word(4096 + 8), crc32(&[&frame[12..], &frame[..8]]));
    assert_eq!(word(4096 + 92), crc32(&[b"golden", &7_u64.to_le_bytes()]), "the first frame's chain");
    assert_eq!(word(4096 + 92), chain_root(&identity().cluster, ShardId(7)));
    let second = 4096 + HEADER_BYTES;
    assert_eq!(word(second + 92), word(4096 + 8), "every other frame's chain");
    let body = second + HEADER_BYTES..second + HEADER_BYTES + word(second + 16) as usize;
    assert_eq!(word(second + 12), crc32(&[&bytes[body]]));
    let document =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SEGMENT_FORMAT.md"));
    let document = document.unwrap();
    for (row, at) in frame.chunks(16).zip((4096..).step_by(16)) {
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{at}  {}", hex.join(" "));
        assert!(document.contains(&line), "docs/SEGMENT_FORMAT.md shows the first frame: {line}");
    }
    for crc in [word(4096 + 8), word(4096 + 92)] {
        assert!(document.contains(&format!("{crc:#010x}")), "docs/SEGMENT_FORMAT.md computes {crc:#010x}");
    }
}

/// Writes the files; compressed bodies are those of `stored`, if given.
fn write(folder: &Path, stored: Option<&[Frame]>) {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder).unwrap());
    let (mut state, mut second) = (genesis(), None);
    let mut made = Vec::new();
    for (at, planned) in plan().iter().enumerate() {
        if at + 1 == FIRST_OF_SECOND {
            second = Some(state_before_second(state.clone()));
        }
        let body = match (planned.compression, stored) {
            (Compression::None, _) => planned.body(),
            (_, Some(frames)) => frames[at].body.clone(),
            (compression, None) => encode_records(&planned.records).unwrap().compressed(compression).body,
        };
        let frame = planned.frame(&state, body);
        state.fold(&frame.header, frame.header_crc());
        made.push(frame);
    }
    let (of_first, of_second) = made.split_at(FIRST_OF_SECOND - 1);
    let mut first = write_segment(&*disk, FILES[0], genesis(), 0, of_first);
    write_segment(&*disk, FILES[1], second.expect("the plan reaches the second segment"), 1, of_second);
    disk.replace(FILES[3].as_ref(), &first.seal()).unwrap();
    write_vote(&disk, folder);
}

fn write_segment(disk: &dyn Disk, name: &str, state: ShardState, previous: u64, frames: &[Frame]) -> Segment {
    let file = disk.create(name.as_ref(), SEGMENT_BYTES).unwrap();
    let begins_log = previous == 0;
    let head = SegmentHead { identity: identity(), state, begins_log, previous, file_bytes: 0 };
    let mut segment = Segment::create(file, &head).unwrap();
    assert_eq!(segment.fitting(frames), frames.len());
    segment.append(frames).unwrap();
    assert_eq!(segment.last_index(), head.state.index.plus(frames.len() as u64));
    segment
}

fn write_vote(disk: &Arc<dyn Disk>, folder: &Path) {
    let other: PathBuf = "vote-only".into();
    let mut log = Log::create(Arc::clone(disk), &other, &identity(), &genesis(), OPTIONS).unwrap();
    log.save_vote(Vote { term: Term(2), voted_for: Some(ReplicaId(3)), committed: Index(9) }).unwrap();
    disk.sync(&log.take_dirty().unwrap()).into_iter().for_each(Result::unwrap);
    std::fs::copy(folder.join(&other).join("vote"), folder.join("vote")).unwrap();
    drop(log);
    disk.remove(&other).unwrap();
}

#[test]
fn the_files_are_written_anew_where_a_variable_says() {
    if let Some(folder) = std::env::var_os("TIMBERLINE_WRITE_FORMAT_V1") {
        write(Path::new(&folder), None);
    }
}
