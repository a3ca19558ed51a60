//! Damaged segments: what is refetched is proved, what is put in place is what was there.

use std::path::Path;
use std::sync::Arc;

use super::fixture::{FIRST_SEGMENT, Leader, all, create, folder, open, refused, segment, sync, try_open};
use crate::codec::Frame;
use crate::disk::{Disk, MemoryDisk};
use crate::log::{FileTask, Log, RepairPlan, Salvage, TaskResult};
use crate::types::Index;

const HEAD: u64 = 4096;

/// Forty synced frames of 200 bytes in more than one segment.
fn forty() -> (Arc<MemoryDisk>, Log, Vec<Frame>) {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    for _ in 0..4 {
        leader.committed = log.last_index();
        log.append(&leader.frames(10, 72), Index(0)).unwrap();
    }
    sync(&disk, &mut log);
    let frames = all(&log);
    assert!(disk.open(&segment(2)).is_ok(), "the first segment is sealed");
    (disk, log, frames)
}

fn survey(disk: &MemoryDisk, plan: &RepairPlan) -> Box<Salvage> {
    match FileTask::Survey(plan.clone()).run(disk) {
        TaskResult::Surveyed(found) => found.unwrap().expect("it tells what it lost"),
        _ => panic!("a survey tells what it found"),
    }
}

fn build(disk: &MemoryDisk, plan: &RepairPlan, salvage: Box<Salvage>) -> Index {
    match FileTask::Build(plan.clone(), salvage).run(disk) {
        TaskResult::Built(built) => built.unwrap(),
        _ => panic!("a build tells how it ended"),
    }
}

/// Gives what is asked for until nothing is; tells how much that was.
fn supply(salvage: &mut Salvage, frames: &[Frame]) -> usize {
    let mut given = 0;
    while !salvage.is_whole() {
        let wanted = salvage.lost().1;
        assert!(salvage.take(frames[wanted.0 as usize - 1].clone()), "frame {wanted}");
        given += 1;
    }
    given
}

fn content(disk: &MemoryDisk, path: &Path) -> Vec<u8> {
    disk.read(path).unwrap().unwrap()
}

/// A sealed segment's frames are read, and the damage that shows is planned to be repaired.
fn found(log: &Log) -> RepairPlan {
    let read = log.frames(Index(1), Index(10), u64::MAX, crate::log::Share::Copy);
    read.expect_err("the damage is named");
    log.take_damage().expect("the damage is noted")
}

#[test]
fn a_repaired_segment_is_byte_for_byte_what_it_was_wherever_the_rot_was() {
    let (disk, log, frames) = forty();
    let before = content(&disk, FIRST_SEGMENT.as_ref());
    drop(log);
    for at in (0..9 * 200).step_by(67) {
        let disk = Arc::new(disk.fork());
        let (mut log, _) = open(&disk);
        disk.flip(FIRST_SEGMENT.as_ref(), HEAD + at, 4).unwrap();
        let plan = found(&log);
        let mut salvage = survey(&disk, &plan);
        assert_eq!(supply(&mut salvage, &frames), 1, "byte {at}: one frame is refetched");
        build(&disk, &plan, salvage);
        assert!(log.adopt(&plan).unwrap());
        assert_eq!(content(&disk, FIRST_SEGMENT.as_ref()), before, "byte {at}");
        assert_eq!(all(&log), frames);
        assert_eq!(all(&open(&disk).0), frames);
    }
}

#[test]
fn a_segment_of_which_nothing_is_left_but_its_head_comes_back_whole() {
    let (disk, mut log, frames) = forty();
    let before = content(&disk, FIRST_SEGMENT.as_ref());
    let file = disk.open(FIRST_SEGMENT.as_ref()).unwrap();
    file.write_at(HEAD, &vec![0; before.len() - HEAD as usize]).unwrap();
    let plan = found(&log);
    let mut salvage = survey(&disk, &plan);
    assert_eq!(salvage.lost().0, Index(1));
    supply(&mut salvage, &frames);
    build(&disk, &plan, salvage);
    assert!(log.adopt(&plan).unwrap());
    assert_eq!(content(&disk, FIRST_SEGMENT.as_ref()), before);
}

#[test]
fn a_frame_that_is_not_the_one_that_was_lost_is_not_taken() {
    let (disk, log, frames) = forty();
    disk.flip(FIRST_SEGMENT.as_ref(), HEAD + 5 * 200, 4).unwrap();
    let mut salvage = survey(&disk, &found(&log));
    assert_eq!(salvage.lost(), (Index(6), Index(6)));
    assert!(!salvage.take(frames[6].clone()), "another index");
    let mut other = frames[5].header;
    other.uncertainty_ns += 1;
    let other = Frame::new(other, frames[5].body.clone());
    assert!(!salvage.take(other), "it follows the frame before, but is not what stood here");
    assert!(salvage.take(frames[5].clone()) && salvage.is_whole());
}

#[test]
fn a_repair_of_a_segment_that_is_no_longer_what_it_was_is_dropped() {
    let (disk, mut log, frames) = forty();
    let plan = {
        disk.flip(FIRST_SEGMENT.as_ref(), HEAD, 4).unwrap();
        let plan = found(&log);
        disk.flip(FIRST_SEGMENT.as_ref(), HEAD, 4).unwrap();
        plan
    };
    let salvage = survey(&disk, &plan);
    build(&disk, &plan, salvage);
    let mut leader = Leader::after(log.state_at(Index(5)).unwrap(), 2);
    let newer = leader.frames(1, 72);
    log.append(&newer, Index(5)).unwrap();
    let cut = content(&disk, FIRST_SEGMENT.as_ref());
    assert!(!log.adopt(&plan).unwrap(), "it is the active one now");
    assert_eq!(content(&disk, FIRST_SEGMENT.as_ref()), cut);
    assert_eq!(all(&log), [&frames[..5], &newer[..]].concat());
    let names = disk.list(folder()).unwrap();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("repaired")), "{names:?}");
}

#[test]
fn a_log_refused_for_rot_opens_as_it_was_once_its_lost_frames_are_back() {
    let (disk, log, frames) = forty();
    let active = (1..9).map(segment).rfind(|path| disk.open(path).is_ok()).unwrap();
    let before = content(&disk, &active);
    drop(log);
    let first = frames.len() - frames.iter().rev().take_while(|frame| frame.header.index.0 > 30).count();
    disk.flip(&active, HEAD + 200, 4).unwrap();
    disk.flip(&active, HEAD + 3 * 200 + 140, 4).unwrap();
    let plan = RepairPlan::of_refused(&*disk, folder(), &refused(&disk)).expect("rot can be repaired");
    assert!(plan.is_active() && first > 0);
    let mut salvage = survey(&disk, &plan);
    assert_eq!(supply(&mut salvage, &frames), 2);
    assert_eq!(build(&disk, &plan, salvage), Index(40));
    plan.put_in_place(&*disk).unwrap();
    assert_eq!(content(&disk, &active), before);
    let (log, recovery) = open(&disk);
    assert_eq!((recovery.cut, all(&log)), (None, frames));
}

#[test]
fn where_the_frame_that_names_the_lost_one_is_lost_too_a_committed_one_is_begun_from() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(3, 72), Index(0)).unwrap();
    leader.committed = Index(2);
    log.append(&leader.frames(1, 72), Index(0)).unwrap();
    sync(&disk, &mut log);
    let frames = all(&log);
    drop(log);
    // Frame 2 was committed, as 4 says; 3 and 4 never were, and nobody else has 3.
    disk.open(FIRST_SEGMENT.as_ref()).unwrap().write_at(HEAD + 200, &[0; 400]).unwrap();
    let plan = RepairPlan::of_refused(&*disk, folder(), &refused(&disk)).unwrap();
    let mut salvage = survey(&disk, &plan);
    assert_eq!(salvage.lost(), (Index(2), Index(3)));
    assert!(!salvage.take(frames[1].clone()), "only 3 would prove 2");
    assert_eq!(salvage.fall_back(), Some(Index(2)));
    salvage.begin_from_committed(&frames[1]);
    assert!(salvage.take(frames[1].clone()) && salvage.is_whole());
    assert_eq!(build(&disk, &plan, salvage), Index(2));
    plan.put_in_place(&*disk).unwrap();
    assert_eq!(all(&open(&disk).0), frames[..2], "what was never committed is a tail that was cut");
}

#[test]
fn a_frame_of_another_history_does_not_say_what_was_lost() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(2, 72), Index(0)).unwrap();
    let mut before = Leader::after(leader.state.clone(), 1);
    let replaced = before.frames(1, 64).remove(0);
    log.append(&leader.frames(1, 72), Index(0)).unwrap();
    leader.committed = Index(3);
    log.append(&leader.frames(1, 72), Index(0)).unwrap();
    sync(&disk, &mut log);
    let frames = all(&log);
    drop(log);
    let whole = content(&disk, FIRST_SEGMENT.as_ref());
    // Of the truncation before frame 3 was written, one sector came too late.
    let file = disk.open(FIRST_SEGMENT.as_ref()).unwrap();
    file.write_at(HEAD + 200, &[0; 400]).unwrap();
    file.write_at(HEAD + 400, &replaced.header_bytes).unwrap();
    file.write_at(HEAD + 528, &replaced.body).unwrap();
    let plan = RepairPlan::of_refused(&*disk, folder(), &refused(&disk)).unwrap();
    let mut salvage = survey(&disk, &plan);
    assert_eq!(salvage.lost(), (Index(2), Index(3)));
    assert!(!salvage.take(replaced), "4 does not name it");
    assert_eq!(supply(&mut salvage, &frames), 2);
    build(&disk, &plan, salvage);
    plan.put_in_place(&*disk).unwrap();
    assert_eq!(content(&disk, FIRST_SEGMENT.as_ref()), whole);
}

#[test]
fn scrubbing_finds_any_flipped_bit_of_a_sealed_segment_and_none_where_the_segment_was_cut_meanwhile() {
    let scrub = |disk: &MemoryDisk, log: &Log| {
        let step = log.scrub_after(0, 100).expect("a sealed segment");
        let (mut next, mut bytes) = (Some(step), 0);
        while let Some(step) = next.clone() {
            let TaskResult::Scrubbed(scrubbed) = FileTask::Scrub(step).run(disk) else { unreachable!() };
            bytes += scrubbed.bytes;
            match scrubbed.next {
                Ok(go_on) => next = go_on,
                Err(_) => return Err(Box::new(next.expect("the step that was run"))),
            }
        }
        Ok(bytes)
    };
    let (disk, mut log, _) = forty();
    let used = scrub(&disk, &log).expect("nothing is damaged");
    for at in (0..HEAD + used).step_by(131) {
        disk.flip(FIRST_SEGMENT.as_ref(), at, 16).unwrap();
        let step = scrub(&disk, &log).expect_err("a bit is flipped");
        assert!(log.note_damage(&step), "byte {at}");
        disk.flip(FIRST_SEGMENT.as_ref(), at, 16).unwrap();
    }
    let step = log.scrub_after(0, u64::MAX).unwrap();
    let mut leader = Leader::after(log.state_at(Index(5)).unwrap(), 2);
    log.append(&leader.frames(1, 72), Index(5)).unwrap();
    let TaskResult::Scrubbed(scrubbed) = FileTask::Scrub(step.clone()).run(&*disk) else { unreachable!() };
    assert!(scrubbed.next.is_err() && !log.note_damage(&step), "it is not the segment it was");
}

#[test]
fn a_repair_cut_short_at_any_operation_leaves_the_damaged_segment_or_the_repaired_one() {
    for operations in 0..12 {
        let (disk, mut log, frames) = forty();
        let before = content(&disk, FIRST_SEGMENT.as_ref());
        disk.flip(FIRST_SEGMENT.as_ref(), HEAD + 5 * 200, 4).unwrap();
        let damaged = content(&disk, FIRST_SEGMENT.as_ref());
        let plan = found(&log);
        let mut salvage = survey(&disk, &plan);
        supply(&mut salvage, &frames);
        disk.fail_power_after(Some(operations));
        if let TaskResult::Built(Ok(_)) = FileTask::Build(plan.clone(), salvage).run(&*disk) {
            let _cut_short = log.adopt(&plan);
        }
        drop(log);
        disk.power_cut(operations);
        let left = content(&disk, FIRST_SEGMENT.as_ref());
        assert!(left == before || left == damaged, "{operations} operations");
        assert!(try_open(&disk).is_ok(), "{operations} operations");
        let names = disk.list(folder()).unwrap();
        assert!(names.iter().all(|name| !name.to_string_lossy().contains("repaired")), "{names:?}");
    }
}
