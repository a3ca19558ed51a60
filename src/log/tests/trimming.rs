//! A log whose beginning moves, and what is left of it when the power fails on the way.

use std::sync::Arc;

use super::fixture::{
    Leader, OPTIONS, all, create, folder, genesis, identity, open, segment, sync, try_open,
};
use crate::codec::{Frame, ShardState};
use crate::disk::{Disk, MemoryDisk};
use crate::log::{Error, Log, OpenFiles, Share};
use crate::types::{Index, Offset, Timestamp, Vote};

/// A log of several segments, all of it committed, applied and synced, with its leader.
fn long() -> (Arc<MemoryDisk>, Log, Leader) {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    for _ in 0..500 {
        log.append(&leader.frames(1, 72), Index(0)).unwrap();
        log.note_applied(log.last_index(), &genesis().membership);
        sync(&disk, &mut log);
    }
    (disk, log, leader)
}

/// Writes the trim frame, synced, and trims.
fn trim(disk: &MemoryDisk, log: &mut Log, leader: &mut Leader, start: Index) {
    log.append(&[leader.trim(start)], Index(0)).unwrap();
    sync(disk, log);
    log.trim(start, log.last_index()).unwrap();
}

fn remove_retired(disk: &MemoryDisk, log: &mut Log) {
    while let Some(path) = log.wants_removal() {
        log.removed(disk.remove(&path).is_ok());
        if disk.is_power_off() {
            return;
        }
    }
}

fn everything(log: &Log) -> Option<Index> {
    log.trimmable(log.last_index(), Timestamp::MAX, None)
}

/// The state of another replica, far ahead of this log.
fn ahead(leader: &Leader) -> ShardState {
    let mut leader = leader.clone();
    leader.frames(500, 8);
    ShardState { applied: leader.state.index.plus(20), start: leader.state.index, ..leader.state }
}

#[test]
fn a_trim_takes_whole_sealed_segments_and_all_behind_them_reads_as_before() {
    let (disk, mut log, mut leader) = long();
    let before = all(&log);
    let start = everything(&log).unwrap();
    let inside = Index(start.0 - 3);
    trim(&disk, &mut log, &mut leader, inside);
    assert!(
        log.first_index() > Index(1) && log.first_index() <= inside,
        "the segment of `start` stays whole"
    );
    trim(&disk, &mut log, &mut leader, start);
    assert_eq!(log.first_index(), start);
    let kept = all(&log);
    assert_eq!(kept[..kept.len() - 2], before[start.0 as usize - 1..]);
    assert!(matches!(log.header(start.before()), Err(Error::Compacted { .. })));
    assert_eq!(log.term(start.before()).unwrap(), before[start.0 as usize - 2].header.term);
    assert_eq!(log.first_state().unwrap().index, start.before());
    assert_eq!(log.seek(Timestamp::ZERO).unwrap(), start);
    remove_retired(&disk, &mut log);
    drop(log);
    let (log, _) = open(&disk);
    assert_eq!((log.first_index(), all(&log)), (start, kept));
}

#[test]
fn only_what_is_old_released_and_sealed_may_go() {
    let (_, log, _) = long();
    let all_sealed = everything(&log).unwrap();
    assert!(all_sealed <= log.last_index(), "the active segment stays");
    let second = log.trimmable(all_sealed.before().before(), Timestamp::MAX, None).unwrap();
    assert!(second < all_sealed, "a segment with an entry that is not released stays");
    let end = log.header(second.before()).unwrap().last_timestamp();
    assert_eq!(
        log.trimmable(log.last_index(), end, None),
        log.trimmable(second.before().before(), end, None)
    );
    assert_eq!(log.trimmable(log.last_index(), end.next(), None), Some(second));
    assert_eq!(log.trimmable(log.last_index(), Timestamp::ZERO, None), None);
}

#[test]
fn by_size_the_sealed_segments_kept_still_hold_that_much() {
    let (_, log, _) = long();
    assert_eq!(log.trimmable(log.last_index(), Timestamp::ZERO, Some(0)), everything(&log));
    assert_eq!(log.trimmable(log.last_index(), Timestamp::ZERO, Some(1 << 30)), None);
    let some = log.trimmable(log.last_index(), Timestamp::ZERO, Some(20 << 10)).unwrap();
    assert!(Index(1) < some && some < everything(&log).unwrap());
}

#[test]
fn segments_whose_memberships_no_later_head_holds_are_kept() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(200, 72), Index(0)).unwrap();
    sync(&disk, &mut log);
    let start = everything(&log).unwrap();
    trim(&disk, &mut log, &mut leader, start);
    assert_eq!(log.first_index(), Index(1), "nothing was known as applied when the segments began");
}

#[test]
fn slices_of_a_trimmed_segment_stay_what_they_were() {
    let (disk, mut log, mut leader) = long();
    let shared = log.frames(Index(1), Index(6), u64::MAX, Share::Map).unwrap();
    let copies = log.frames(Index(1), Index(6), u64::MAX, Share::Copy).unwrap();
    let start = everything(&log).unwrap();
    trim(&disk, &mut log, &mut leader, start);
    remove_retired(&disk, &mut log);
    assert_eq!(shared, copies);
}

#[test]
fn a_trim_cut_short_at_any_operation_leaves_a_log_that_begins_at_or_below_the_start() {
    for operations in 0..12 {
        let (disk, mut log, mut leader) = long();
        let start = everything(&log).unwrap();
        let before = all(&log);
        disk.fail_power_after(Some(operations));
        let _cut_short = log.append(&[leader.trim(start)], Index(0));
        if disk.sync(&log.take_dirty().unwrap()).iter().all(Result::is_ok) && !disk.is_power_off() {
            log.trim(start, log.last_index()).unwrap();
            remove_retired(&disk, &mut log);
        }
        drop(log);
        disk.power_cut(operations);
        let (mut log, _) = open(&disk);
        let first = log.first_index();
        assert!(first <= start, "{operations} operations");
        let (found, skipped) = (all(&log), first.0 as usize - 1);
        assert_eq!(found[..before.len() - skipped], before[skipped..], "{operations} operations");
        if log.last_index() > Index(500) {
            log.trim(start, log.last_index()).unwrap();
            assert_eq!(log.first_index(), start, "it is trimmed on");
        }
    }
}

#[test]
fn a_missing_oldest_segment_is_named_unless_it_was_trimmed_away() {
    let (disk, log, _) = long();
    drop(log);
    disk.remove(&segment(1)).unwrap();
    assert!(matches!(try_open(&disk), Err(Error::BeginningLost { start: Index(1), .. })));
}

#[test]
fn a_reset_log_holds_nothing_but_its_new_start_and_takes_what_follows() {
    let (disk, mut log, leader) = long();
    log.save_vote(Vote { committed: Index(500), ..Vote::default() }).unwrap();
    let state = ahead(&leader);
    log.reset(&state).unwrap();
    assert_eq!((log.first_index(), log.last_index()), (state.index.plus(1), state.index));
    assert_eq!((log.first_state().unwrap(), log.term(state.index).unwrap()), (state.clone(), state.term));
    assert!(matches!(log.term(state.index.before()), Err(Error::Compacted { .. })));
    let mut leader = Leader::after(state.clone(), 1);
    let frames: Vec<Frame> = leader.frames(100, 72);
    log.append(&frames, state.index).unwrap();
    sync(&disk, &mut log);
    remove_retired(&disk, &mut log);
    drop(log);
    let (log, recovery) = open(&disk);
    assert_eq!((all(&log), recovery.vote.committed), (frames, Index(500)));
    assert_eq!(log.first_state().unwrap().applied, state.applied);
}

#[test]
fn a_reset_cut_short_at_any_operation_leaves_the_old_log_or_the_new_one_whole() {
    let mut ends = std::collections::BTreeSet::new();
    for operations in 0..16 {
        let (disk, mut log, leader) = long();
        let (before, state) = (all(&log), ahead(&leader));
        disk.fail_power_after(Some(operations));
        if log.reset(&state).is_ok() {
            remove_retired(&disk, &mut log);
        }
        drop(log);
        disk.power_cut(operations);
        let (mut log, _) = open(&disk);
        if log.last_index() == state.index {
            assert_eq!(log.state_at(state.index).unwrap(), state, "{operations} operations");
            assert_eq!(log.first_index(), state.index.plus(1));
        } else {
            assert_eq!(all(&log), before, "{operations} operations");
        }
        ends.insert(log.last_index());
        let mut leader = Leader::after(log.state_at(log.last_index()).unwrap(), 1);
        log.append(&leader.frames(3, 72), Index(0)).unwrap();
        sync(&disk, &mut log);
        remove_retired(&disk, &mut log);
        let after = all(&log);
        drop(log);
        assert_eq!(all(&open(&disk).0), after, "{operations} operations");
    }
    assert_eq!(ends.len(), 2, "some were cut before the new head was durable, some after");
}

#[test]
fn what_a_reset_replaced_is_removed_after_a_restart() {
    let (disk, mut log, leader) = long();
    log.reset(&ahead(&leader)).unwrap();
    drop(log);
    let (mut log, _) = open(&disk);
    remove_retired(&disk, &mut log);
    assert_eq!(disk.list(folder()).unwrap().len(), 2, "the vote and one segment");
    assert_eq!(log.last_index(), ahead(&leader).index);
    assert!(log.state_at(log.last_index()).unwrap().next_offset > Offset(1000));
}

#[test]
fn at_most_so_many_sealed_segments_are_open_and_trimmed_ones_are_let_go() {
    let (disk, log, mut leader) = long();
    drop(log);
    let files = OpenFiles::new(Arc::clone(&disk) as Arc<dyn Disk>, 2);
    let opening = Log::begin_open(&files, folder(), &identity(), OPTIONS).unwrap();
    let synced = disk.sync(opening.files());
    let (mut log, _) = opening.finish(synced).unwrap();
    assert_eq!(files.segments(), 0, "opening holds none open");
    all(&log);
    assert_eq!(files.segments(), 2, "reading all leaves the last two");
    let start = everything(&log).unwrap();
    trim(&disk, &mut log, &mut leader, start);
    assert_eq!(files.segments(), 0, "all of them were trimmed");
}
