//! What an opening writes back, and what a synced mark spares it.

use std::path::Path;
use std::sync::Arc;

use super::fixture::{
    Leader, OPTIONS, all, create, folder, genesis, identity, open, segment, sync, try_open,
};
use crate::codec::Frame;
use crate::disk::{Disk, MemoryDisk};
use crate::log::{Log, LogOptions, OpenFiles, Opening, SyncedMark, names};
use crate::types::Index;

const SECTOR: u64 = 512;
/// Both votes and the mark.
const VOTE_SECTORS: usize = 3;
const HEAD: u64 = 4096;

fn begin_open(disk: &Arc<MemoryDisk>) -> Opening {
    let files = OpenFiles::new(Arc::clone(disk) as Arc<dyn Disk>, 2);
    Log::begin_open(&files, folder(), &identity(), OPTIONS).unwrap()
}

/// How many sectors of the active segment an opening writes back.
fn written_back(disk: &Arc<MemoryDisk>) -> usize {
    let disk = Arc::new(disk.fork());
    let opening = begin_open(&disk);
    disk.begin_sync(opening.files().to_vec()).sectors() - VOTE_SECTORS
}

fn mark(disk: &MemoryDisk) -> Option<SyncedMark> {
    SyncedMark::decode(&disk.read(&names::vote(folder())).unwrap().unwrap()[1024..])
}

/// Three synced frames of 504 bytes with their headers, marked by an orderly end.
fn marked() -> (Arc<MemoryDisk>, Leader) {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(3, 376), Index(0)).unwrap();
    sync(&disk, &mut log);
    log.mark_synced();
    (disk, leader)
}

/// The next sync of all that is written fails: the page cache calls it clean, the disk never had it.
fn fail_sync(disk: &MemoryDisk, log: &mut Log) {
    let under_way = disk.begin_sync(log.take_dirty().unwrap());
    assert!(disk.fail_sync(under_way).iter().all(Result::is_err));
}

/// What an opening reports is still there when the power has failed behind it.
fn reports_only_what_is_durable(disk: &Arc<MemoryDisk>, expected: &[Frame]) {
    assert!(all(&open(disk).0) == expected, "the page cache shows it all");
    disk.lose_unsynced();
    assert!(all(&open(disk).0) == expected, "and so does the disk");
}

#[test]
fn an_opening_writes_back_nothing_that_is_marked_and_all_that_is_not_from_its_page_on() {
    let (disk, mut leader) = marked();
    assert_eq!(written_back(&disk), 0);
    let (mut log, _) = open(&disk);
    log.append(&leader.frames(2, 376), Index(0)).unwrap();
    // The mark stands in the page behind the head, at 5,608.
    let expected = (HEAD + 2_520).div_ceil(SECTOR) - HEAD / SECTOR;
    assert_eq!(written_back(&disk) as u64, expected);
    drop(log);
    let (log, _) = open(&disk);
    assert_eq!(written_back(&disk), 0, "an opening marks what it synced");
    drop(log);
}

#[test]
fn without_a_sound_mark_of_the_segment_all_is_written_back() {
    let (disk, _) = marked();
    let everything = ((HEAD + 1_512).div_ceil(SECTOR)) as usize;
    let vote = names::vote(folder());
    let slot = disk.read(&vote).unwrap().unwrap()[1024..].to_vec();
    let found = SyncedMark::decode(&slot).unwrap();
    assert_eq!((found.number, found.last, found.end_byte), (1, Index(3), HEAD + 1_512));
    for at in 0..SECTOR {
        let disk = Arc::new(disk.fork());
        disk.flip(&vote, 1024 + at, 1).unwrap();
        assert_eq!(written_back(&disk), everything, "byte {at} of the mark");
    }
    let foreign = [
        SyncedMark { number: 2, ..found },
        SyncedMark { last: Index(2), ..found },
        SyncedMark { last: Index(4), ..found },
        SyncedMark { end_byte: HEAD + 1_008, ..found },
        SyncedMark { chain: !found.chain, ..found },
        SyncedMark::nothing(found.boot),
    ];
    for mark in foreign {
        let disk = Arc::new(disk.fork());
        disk.open(&vote).unwrap().write_at(1024, &mark.encode()).unwrap();
        assert_eq!(written_back(&disk), everything, "{mark:?}");
    }
}

#[test]
fn a_vote_file_without_room_for_a_mark_opens_and_all_is_written_back() {
    let (disk, _) = marked();
    let vote = names::vote(folder());
    let bytes = disk.read(&vote).unwrap().unwrap();
    disk.replace(&vote, &bytes[..1024]).unwrap();
    for _ in 0..2 {
        let opening = begin_open(&disk);
        let sectors = disk.begin_sync(opening.files().to_vec()).sectors();
        assert_eq!(sectors as u64, 2 + (HEAD + 1_512).div_ceil(SECTOR));
        drop(open(&disk));
    }
    assert_eq!(disk.read(&vote).unwrap().unwrap().len(), 1024);
}

#[test]
fn in_another_run_of_the_machine_nothing_is_written_back_until_somebody_has_written_there() {
    let (disk, mut leader) = marked();
    disk.lose_unsynced();
    // Opened once more, so that a mark of the run before is on the disk.
    drop(open(&disk));
    disk.power_cut(7);
    let before = mark(&disk).unwrap();
    assert_eq!(written_back(&disk), 0);
    let (mut log, _) = open(&disk);
    assert_ne!(mark(&disk).unwrap().boot, before.boot);
    log.append(&leader.frames(2, 376), Index(0)).unwrap();
    let frames = all(&log);
    fail_sync(&disk, &mut log);
    drop(log);
    assert!(written_back(&disk) > 0);
    reports_only_what_is_durable(&disk, &frames);
}

#[test]
fn a_tail_that_an_opening_cut_and_could_not_sync_is_cut_again_by_the_next() {
    let (disk, mut leader) = marked();
    disk.power_cut(7);
    drop(open(&disk));
    let (mut log, _) = open(&disk);
    log.append(&leader.frames(1, 376), Index(0)).unwrap();
    sync(&disk, &mut log);
    drop(log);
    disk.power_cut(7);
    // The last frame is torn on the disk; the run of the machine has written nothing yet.
    disk.flip(&segment(1), HEAD + 1_800, 1).unwrap();
    let opening = begin_open(&disk);
    let under_way = disk.begin_sync(opening.files().to_vec());
    assert!(opening.finish(disk.fail_sync(under_way)).is_err());
    assert_eq!(mark(&disk).map(|mark| mark.number), Some(0), "an opening that failed vouches for nothing");
    let (log, recovery) = open(&disk);
    assert_eq!((log.last_index(), recovery.cut), (Index(3), None), "the page cache shows it cut");
}

#[test]
fn what_is_appended_behind_a_sync_under_way_is_not_marked_with_it() {
    let (disk, mut leader) = marked();
    let (mut log, _) = open(&disk);
    log.append(&leader.frames(1, 376), Index(0)).unwrap();
    let under_way = disk.begin_sync(log.take_dirty().unwrap());
    log.append(&leader.frames(2, 376), Index(0)).unwrap();
    let frames = all(&log);
    disk.finish_sync(under_way, None).into_iter().for_each(Result::unwrap);
    log.note_synced();
    log.mark_synced();
    assert_eq!(mark(&disk).unwrap().last, Index(4));
    fail_sync(&disk, &mut log);
    log.mark_synced();
    assert_eq!(mark(&disk).unwrap().last, Index(4), "a sync that failed proves nothing");
    drop(log);
    reports_only_what_is_durable(&disk, &frames);
}

/// A leader without the frames that replaced these may bring the same ones again.
#[test]
fn frames_that_come_back_after_a_truncation_are_not_taken_for_those_that_were_synced_before() {
    let (disk, mut leader) = marked();
    let (mut log, _) = open(&disk);
    let same = leader.frames(3, 376);
    log.append(&same, Index(0)).unwrap();
    sync(&disk, &mut log);
    log.mark_synced();
    let frames = all(&log);
    let mut other = Leader::after(log.state_at(Index(3)).unwrap(), 2);
    log.append(&other.frames(3, 376), Index(3)).unwrap();
    assert_eq!(mark(&disk).map(|mark| mark.number), Some(0), "the mark went before the frames");
    let under_way = disk.begin_sync(log.take_dirty().unwrap());
    log.append(&same, Index(3)).unwrap();
    disk.finish_sync(under_way, None).into_iter().for_each(Result::unwrap);
    log.note_synced();
    log.mark_synced();
    assert!(all(&log) == frames);
    fail_sync(&disk, &mut log);
    drop(log);
    reports_only_what_is_durable(&disk, &frames);
}

#[test]
fn a_copied_folder_whose_first_sync_fails_is_written_back_by_the_next_opening() {
    let (disk, _) = marked();
    let copy = Arc::new(MemoryDisk::new());
    for name in disk.list(folder()).unwrap() {
        let path = folder().join(name);
        let bytes = disk.read(&path).unwrap().unwrap();
        copy.create(&path, bytes.len() as u64).unwrap().write_at(0, &bytes).unwrap();
    }
    let opening = begin_open(&copy);
    let under_way = copy.begin_sync(opening.files().to_vec());
    assert!(opening.finish(copy.fail_sync(under_way)).is_err());
    reports_only_what_is_durable(&copy, &all(&open(&disk).0));
}

#[test]
fn a_mark_moves_when_enough_was_synced_and_an_idle_log_writes_none() {
    let disk = Arc::new(MemoryDisk::new());
    let options = LogOptions { first_segment_bytes: 2 << 20, segment_bytes_max: 2 << 20, ..OPTIONS };
    let shared = Arc::clone(&disk) as Arc<dyn Disk>;
    let mut log = Log::create(shared, folder(), &identity(), &genesis(), options).unwrap();
    let mut leader = Leader::new();
    let mut ends = Vec::new();
    for _ in 0..20 {
        log.append(&leader.frames(1, 50_000), Index(0)).unwrap();
        sync(&disk, &mut log);
        ends.extend(mark(&disk).map(|mark| mark.end_byte));
        ends.dedup();
    }
    let every_sixth = [6, 12, 18].map(|frames| HEAD + frames * 50_128);
    assert_eq!(ends, every_sixth, "256 KiB are five frames and a bit");
    assert!(log.last_index() == Index(20) && !log.is_dirty());
    let before = disk.read(Path::new("shards/7/vote")).unwrap();
    for _ in 0..3 {
        sync(&disk, &mut log);
    }
    assert!(before == disk.read(Path::new("shards/7/vote")).unwrap());
    assert!(try_open(&disk).is_ok());
}
