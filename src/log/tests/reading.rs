//! Reads and seeks are exact; damage is named and never served.

use std::sync::Arc;

use super::fixture::{Leader, all, create, folder, open, refused, segment};
use crate::codec::Frame;
use crate::disk::{Disk, MemoryDisk};
use crate::log::{Error, Log, Share};
use crate::segment;
use crate::types::{Index, Offset, Term, Timestamp};

/// Frames of 0 to 4 records over several segments; every frame is read back from a reopened log too.
fn filled() -> (Arc<MemoryDisk>, Log, Vec<Frame>) {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    let frames: Vec<_> = (0..250_u32).map(|n| leader.frame(n % 5, 200 + n as usize)).collect();
    log.append(&frames, Index(0)).unwrap();
    (disk, log, frames)
}

#[test]
fn seek_is_exact_over_batches_that_straddle() {
    let (disk, log, frames) = filled();
    drop(log);
    let log = open(&disk).0;
    let end = frames.last().unwrap().header.last_timestamp();
    for t in (0..=end.0 + 2).map(Timestamp) {
        let found = frames.iter().find(|f| f.header.is_shown() && f.header.last_timestamp() >= t);
        let expected = found.map_or(Index(251), |frame| frame.header.index);
        assert_eq!(log.seek(t).unwrap(), expected, "{t}");
    }
}

#[test]
fn seek_by_offset_is_exact() {
    let (_disk, log, frames) = filled();
    let end = frames.last().unwrap().header.next_offset();
    for offset in (0..end.0 + 2).map(Offset) {
        let found = frames.iter().find(|frame| frame.header.next_offset() > offset);
        let expected = found.map_or(Index(251), |frame| frame.header.index);
        assert_eq!(log.seek_offset(offset).unwrap(), expected, "{offset}");
    }
}

#[test]
fn a_read_gives_at_least_one_frame_and_no_more_than_asked() {
    let (_disk, log, frames) = filled();
    for share in [Share::Map, Share::Copy] {
        assert_eq!(log.frames(Index(9), Index(200), 1, share).unwrap(), frames[8..9]);
        assert_eq!(log.frames(Index(9), Index(12), u64::MAX, share).unwrap(), frames[8..11]);
        let some = log.frames(Index(1), Index(251), 20_000, share).unwrap();
        let len = |frames: &[Frame]| frames.iter().map(|frame| frame.header.frame_len()).sum::<usize>();
        assert!(len(&some) <= 20_000 && len(&frames[..=some.len()]) > 20_000);
    }
    assert!(matches!(log.frames(Index(251), Index(252), 1, Share::Copy), Err(Error::Unavailable { .. })));
    assert!(matches!(log.header(Index(0)), Err(Error::Compacted { .. })));
}

#[test]
fn every_entry_tells_its_term_and_the_state_after_it() {
    let (disk, log, frames) = filled();
    drop(log);
    let log = open(&disk).0;
    let mut leader = Leader::new();
    assert_eq!(log.term(Index(0)).unwrap(), Term(0));
    assert_eq!(log.state_at(Index(0)).unwrap(), leader.state);
    for frame in &frames {
        let index = frame.header.index;
        leader.state.fold(&frame.header, frame.header_crc());
        assert_eq!(log.header(index).unwrap(), frame.header);
        assert_eq!(log.term(index).unwrap(), Term(1));
        assert_eq!(log.state_at(index).unwrap(), leader.state);
    }
}

#[test]
fn a_flipped_byte_in_a_sealed_segment_is_named_and_refused() {
    let (disk, log, frames) = filled();
    assert_eq!(all(&log), frames);
    let sealed = disk.open(&segment(1)).unwrap();
    let start = 4096;
    for at in (start..start + 3000).step_by(13) {
        // Zero behind the last frame and padding carry nothing.
        if sealed.copy(at..at + 1) == [0] {
            continue;
        }
        let disk = Arc::new(disk.fork());
        disk.flip(&segment(1), at, 0x10).unwrap();
        let log = open(&disk).0;
        let read = log.frames(Index(1), Index(251), u64::MAX, Share::Copy);
        let Err(Error::Segment(segment::Error::Damaged { file, at_byte, index, .. })) = read else {
            panic!("byte {at}: served")
        };
        assert_eq!(file, segment(1));
        let frame = &frames[index.0 as usize - 1];
        assert!((at_byte..at_byte + frame.header.frame_len() as u64).contains(&at), "byte {at}: {at_byte}");
    }
}

#[test]
fn a_sealed_segment_that_is_missing_is_noticed() {
    let (disk, log, _) = filled();
    drop(log);
    disk.remove(&segment(2)).unwrap();
    assert!(disk.list(folder()).unwrap().len() > 3);
    assert!(matches!(refused(&disk), Error::Segment(segment::Error::Gap { field: "previous segment", .. })));
}
