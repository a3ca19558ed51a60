//! What a crash may leave, and what it may not: torn is cut, rotten is refused.

use std::sync::Arc;

use proptest::prelude::*;

use super::fixture::{FIRST_SEGMENT, Leader, all, create, folder, open, refused, segment, sync};
use crate::disk::{Disk, MemoryDisk};
use crate::log::{Error, Log};
use crate::segment;
use crate::types::{Index, Term, Vote};

const HEAD: u64 = 4096;

/// Three synced frames of 128 + 72 bytes.
fn three() -> (Arc<MemoryDisk>, Log, Leader) {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(3, 72), Index(0)).unwrap();
    sync(&disk, &mut log);
    (disk, log, leader)
}

#[test]
fn a_torn_tail_is_cut_at_the_last_whole_frame() {
    let (disk, log, _) = three();
    let frames = all(&log);
    disk.flip(FIRST_SEGMENT.as_ref(), HEAD + 2 * 200 + 150, 1).unwrap();
    drop(log);
    let (mut log, recovery) = open(&disk);
    let cut = recovery.cut.unwrap();
    assert_eq!((cut.at_byte, cut.bytes, cut.after), (HEAD + 400, 200, Index(2)));
    assert_eq!((recovery.frames_replayed, recovery.bytes_replayed), (2, 400));
    assert_eq!(all(&log), frames[..2]);
    log.append(&frames[2..], Index(0)).unwrap();
    drop(log);
    let (log, recovery) = open(&disk);
    assert_eq!((recovery.cut, all(&log)), (None, frames));
}

#[test]
fn a_frame_cut_at_any_byte_is_gone_and_those_before_it_stay() {
    let (disk, log, _) = three();
    let frames = all(&log);
    let file = disk.open(FIRST_SEGMENT.as_ref()).unwrap();
    let last = file.copy(HEAD + 400..HEAD + 600);
    drop(log);
    for kept in 0..200_usize {
        let disk = Arc::new(disk.fork());
        let file = disk.open(FIRST_SEGMENT.as_ref()).unwrap();
        file.write_at(HEAD + 400 + kept as u64, &vec![0; 200 - kept]).unwrap();
        let (log, recovery) = open(&disk);
        assert_eq!(recovery.cut.is_some(), kept > 0, "{kept} bytes kept");
        assert_eq!(all(&log), frames[..2]);
        assert!(file.copy(HEAD + 400..HEAD + 600).iter().all(|byte| *byte == 0), "{kept}: zeros again");
    }
    assert_eq!(last.len(), 200);
}

#[test]
fn a_flipped_byte_before_a_frame_that_says_it_was_committed_is_rot() {
    for at in [0, 9, 60, 127, 128, 199] {
        let (disk, mut log, mut leader) = three();
        leader.committed = Index(2);
        log.append(&leader.frames(1, 72), Index(2)).unwrap();
        drop(log);
        disk.flip(FIRST_SEGMENT.as_ref(), HEAD + 200 + at, 4).unwrap();
        let Error::Segment(segment::Error::Rot { file, at_byte, index, witness, committed, .. }) =
            refused(&disk)
        else {
            panic!("byte {at} is rot")
        };
        assert_eq!((file, at_byte, index), (FIRST_SEGMENT.into(), HEAD + 200, Index(2)));
        assert_eq!((witness, committed), (Index(4), Index(2)));
    }
}

#[test]
fn a_lost_frame_before_a_kept_one_that_knew_nothing_of_it_is_an_unsynced_tail() {
    let (disk, mut log, mut leader) = three();
    leader.committed = Index(3);
    let frames = leader.frames(2, 72);
    log.append(&frames, Index(3)).unwrap();
    drop(log);
    let file = disk.open(FIRST_SEGMENT.as_ref()).unwrap();
    file.write_at(HEAD + 600, &[0; 200]).unwrap();
    let (log, recovery) = open(&disk);
    let cut = recovery.cut.unwrap();
    assert_eq!((cut.at_byte, cut.bytes, cut.after), (HEAD + 600, 400, Index(3)));
    assert_eq!(log.last_index(), Index(3));
}

#[test]
fn a_half_created_segment_is_removed_only_if_it_holds_no_frame() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(10, 72), Index(0)).unwrap();
    sync(&disk, &mut log);
    let frames = all(&log);
    drop(log);
    // The first sector of a head, and nothing behind it.
    let sector = disk.open(FIRST_SEGMENT.as_ref()).unwrap().copy(0..512);
    let half = disk.create(&segment(2), 16 << 10).unwrap();
    half.write_at(0, &sector[..120]).unwrap();
    let (log, recovery) = open(&disk);
    assert_eq!((recovery.cut, all(&log)), (None, frames.clone()));
    assert!(disk.open(&segment(2)).is_err());
    drop(log);

    let half = disk.create(&segment(2), 16 << 10).unwrap();
    half.write_at(0, &sector[..120]).unwrap();
    half.write_at(HEAD, &frames[0].header_bytes).unwrap();
    half.write_at(HEAD + 128, &frames[0].body).unwrap();
    assert!(matches!(refused(&disk), Error::Segment(segment::Error::Head { .. })));
}

#[test]
fn a_half_created_segment_beside_which_an_index_stands_goes_with_it() {
    let (disk, log, _) = three();
    let frames = all(&log);
    drop(log);
    let sector = disk.open(FIRST_SEGMENT.as_ref()).unwrap().copy(0..120);
    disk.create(&segment(2), 16 << 10).unwrap().write_at(0, &sector).unwrap();
    disk.replace(&crate::log::names::index(folder(), 2), b"no index").unwrap();
    assert_eq!(all(&open(&disk).0), frames);
    assert_eq!(disk.list(folder()).unwrap().len(), 2, "the vote and one segment");
}

#[test]
fn a_damaged_head_of_a_sealed_segment_is_refused() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(100, 72), Index(0)).unwrap();
    drop(log);
    disk.flip(FIRST_SEGMENT.as_ref(), 100, 1).unwrap();
    assert!(matches!(refused(&disk), Error::Segment(segment::Error::Head { .. })));
}

#[test]
fn a_vote_without_segments_is_a_lost_log_never_a_fresh_one() {
    let (disk, log, _) = three();
    drop(log);
    disk.remove(FIRST_SEGMENT.as_ref()).unwrap();
    assert!(matches!(refused(&disk), Error::SegmentsLost { .. }));
}

#[test]
fn a_prepared_segment_survives_a_reopening() {
    let (disk, log, _) = three();
    drop(log);
    disk.create(&segment(2), 16 << 10).unwrap();
    let (mut log, _) = open(&disk);
    assert_eq!(disk.list(folder()).unwrap().len(), 3);
    let mut leader = Leader::after(log.state_at(Index(3)).unwrap(), 1);
    log.append(&leader.frames(40, 72), Index(0)).unwrap();
    assert_eq!(disk.list(folder()).unwrap().len(), 4, "two segments, an index, the vote");
}

#[test]
fn what_a_killed_process_wrote_is_synced_before_it_is_reported() {
    let (disk, mut log, mut leader) = three();
    log.append(&leader.frames(2, 72), Index(0)).unwrap();
    drop(log);
    let frames = all(&open(&disk).0);
    assert_eq!(frames.len(), 5);
    disk.lose_unsynced();
    assert_eq!(all(&open(&disk).0), frames);
}

#[test]
fn what_a_failed_sync_left_clean_in_the_page_cache_is_written_again_before_it_is_reported() {
    let (disk, mut log, mut leader) = three();
    log.append(&leader.frames(2, 72), Index(0)).unwrap();
    log.save_vote(Vote { term: Term(9), ..Vote::default() }).unwrap();
    let under_way = disk.begin_sync(log.take_dirty().unwrap());
    assert!(disk.fail_sync(under_way).iter().all(Result::is_err));
    drop(log);
    let (log, recovery) = open(&disk);
    assert_eq!((log.last_index(), recovery.vote.term), (Index(5), Term(9)), "the page cache shows it all");
    drop(log);
    disk.lose_unsynced();
    let (log, recovery) = open(&disk);
    assert_eq!((log.last_index(), recovery.vote.term), (Index(5), Term(9)), "and so does the disk");
}

#[test]
fn a_roll_cut_short_at_any_operation_leaves_a_log_that_is_written_and_read_on() {
    for operations in 0..12 {
        let (disk, mut log, mut leader) = three();
        log.append(&leader.frames(60, 72), Index(0)).unwrap();
        sync(&disk, &mut log);
        let before = all(&log);
        let fitting = leader.frames(1, 5_000);
        disk.fail_power_after(Some(operations));
        let _cut_short = log.append(&fitting, Index(0));
        drop(log);
        disk.power_cut(operations);
        let (mut log, _) = open(&disk);
        let mut leader = Leader::after(log.state_at(log.last_index()).unwrap(), 1);
        log.append(&leader.frames(1, 60_000), Index(0)).unwrap();
        sync(&disk, &mut log);
        let after = all(&log);
        assert!(after.len() > before.len() && after[..before.len()] == before[..], "{operations} operations");
        drop(log);
        assert_eq!(all(&open(&disk).0), after, "{operations} operations");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_power_cut_keeps_all_synced_frames_and_a_prefix_of_the_rest(
        synced in 0_usize..60, unsynced in 0_usize..60, body_len in 0_usize..700, seed in any::<u64>(),
    ) {
        let disk = Arc::new(MemoryDisk::new());
        let (mut log, mut leader) = (create(&disk), Leader::new());
        log.append(&leader.frames(synced, body_len), Index(0)).unwrap();
        sync(&disk, &mut log);
        leader.committed = Index(synced as u64);
        log.append(&leader.frames(unsynced, body_len), Index(0)).unwrap();
        let frames = all(&log);
        disk.power_cut(seed);
        let found = all(&open(&disk).0);
        prop_assert!(found.len() >= synced);
        prop_assert_eq!(&found[..], &frames[..found.len()]);
        let (again, recovery) = open(&disk);
        prop_assert_eq!(recovery.cut, None);
        prop_assert_eq!(all(&again), found);
    }
}
