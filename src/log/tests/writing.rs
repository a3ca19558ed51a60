//! Appending, rolling, reopening, the vote, and what is refused.

use std::sync::Arc;

use super::fixture::{
    self, FIRST_SEGMENT, Leader, all, create, folder, identity, open, refused, segment, sync,
};
use crate::disk::{Disk, MemoryDisk, OsDisk};
use crate::log::{Error, Log, LogIdentity, Share};
use crate::segment;
use crate::types::{ClusterId, Index, Membership, ReplicaId, ShardId, Term, Vote};

#[test]
fn a_log_rolls_and_reopens_with_every_frame() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    let frames = leader.frames(300, 300);
    for some in frames.chunks(7) {
        log.append(some, Index(0)).unwrap();
    }
    assert!(disk.list(folder()).unwrap().len() > 4, "several segments");
    assert_eq!(all(&log), frames);
    sync(&disk, &mut log);
    disk.lose_unsynced();
    let (log, recovery) = open(&disk);
    assert_eq!(recovery.cut, None);
    assert_eq!(all(&log), frames);
    assert_eq!(log.state_at(Index(300)).unwrap(), leader.state);
}

#[test]
fn a_log_on_the_operating_systems_disk_reopens_with_every_frame() {
    let root = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(root.path()).unwrap());
    let options = fixture::OPTIONS;
    let mut log =
        Log::create(Arc::clone(&disk), folder(), &identity(), &fixture::genesis(), options).unwrap();
    let frames = Leader::new().frames(200, 500);
    log.append(&frames, Index(0)).unwrap();
    assert!(disk.sync(&log.take_dirty().unwrap()).iter().all(Result::is_ok));
    drop(log);
    let (log, _) = Log::open(disk, folder(), &identity(), options).unwrap();
    assert_eq!(all(&log), frames);
    let mapped = log.frames(Index(1), Index(201), u64::MAX, Share::Map).unwrap();
    assert_eq!(mapped, frames);
}

#[test]
fn segment_sizes_grow_fourfold_up_to_the_maximum_and_fit_a_large_frame() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(110, 500), Index(0)).unwrap();
    log.append(&[leader.frame(1, 100_000)], Index(0)).unwrap();
    let size = |number| disk.open(&segment(number)).unwrap().size_bytes();
    assert_eq!([1, 2, 3, 4].map(size), [8, 32, 32, 32].map(|kib| kib << 10));
    assert_eq!(size(5), 106_496);
    drop(log);
    assert_eq!(open(&disk).0.last_index(), Index(111));
}

#[test]
fn a_growing_segment_asks_for_the_next_one_when_a_quarter_is_left_and_one_of_full_size_at_once() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    let mut asked = Vec::new();
    while asked.len() < 3 {
        log.append(&leader.frames(1, 300), Index(0)).unwrap();
        if let Some(plan) = log.wants_segment() {
            let active = log.active();
            asked.push((active.size_bytes() >> 10, active.free_bytes() * 8 / active.size_bytes()));
            log.install_segment(disk.create(&plan.path, plan.bytes).unwrap()).unwrap();
        }
    }
    assert_eq!(asked, [(8, 1), (32, 6), (32, 6)]);
}

#[test]
fn frames_that_cannot_wait_for_the_next_segment_get_one_as_small_as_they_need_and_it_is_used_after() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(150, 500), Index(0)).unwrap();
    let plan = log.wants_segment().unwrap();
    let size = |log: &Log| log.active().size_bytes() >> 10;
    assert_eq!((size(&log), plan.bytes >> 10), (32, 32));
    let mut sizes = Vec::new();
    for _ in 0..150 {
        log.append(&leader.frames(1, 500), Index(0)).unwrap();
        sizes.push(size(&log));
    }
    sizes.dedup();
    assert_eq!(sizes, [32, 8], "as small as the first");
    log.install_segment(disk.create(&plan.path, plan.bytes).unwrap()).unwrap();
    log.append(&leader.frames(30, 500), Index(0)).unwrap();
    assert_eq!(size(&log), 32, "the planned one");
    assert_eq!(log.wants_segment().map(|plan| plan.bytes >> 10), Some(32), "it does not begin to grow anew");
    let frames = all(&log);
    drop(log);
    assert_eq!(all(&open(&disk).0), frames);
}

#[test]
fn a_planned_segment_that_comes_after_more_than_its_place_leaves_room_for_is_removed() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(9, 100), Index(0)).unwrap();
    let plan = log.wants_segment().unwrap();
    log.append(&leader.frames(70 * 13, 500), Index(0)).unwrap();
    log.install_segment(disk.create(&plan.path, plan.bytes).unwrap()).unwrap();
    assert!(disk.open(&plan.path).is_err());
    let frames = all(&log);
    assert_eq!(frames.len(), 9 + 70 * 13);
    drop(log);
    assert_eq!(all(&open(&disk).0), frames);
}

#[test]
fn a_frame_that_does_not_follow_is_refused_and_changes_nothing() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    let frames = leader.frames(5, 10);
    log.append(&frames[..2], Index(0)).unwrap();
    assert!(matches!(log.append(&frames[3..], Index(0)), Err(Error::NotNext { index: Index(4), .. })));
    let other = Leader::after(fixture::genesis(), 2).frames(3, 11);
    assert!(matches!(log.append(&other[2..], Index(0)), Err(Error::NotNext { .. })));
    let mixed = [other[1].clone(), frames[2].clone()];
    assert!(log.append(&mixed, Index(0)).is_err());
    assert_eq!(all(&log), frames[..2]);
}

#[test]
fn a_prepared_segment_is_used() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    assert_eq!(log.wants_segment(), None);
    log.append(&leader.frames(14, 100), Index(0)).unwrap();
    let plan = log.wants_segment().unwrap();
    assert_eq!(log.wants_segment(), None, "asked for once");
    log.install_segment(disk.create(&plan.path, plan.bytes).unwrap()).unwrap();
    log.append(&leader.frames(14, 100), Index(0)).unwrap();
    assert_eq!(disk.list(folder()).unwrap().len(), 4, "two segments, an index, the vote");
    let frames = all(&log);
    drop(log);
    assert_eq!(all(&open(&disk).0), frames);
}

#[test]
fn a_planned_file_never_takes_the_place_of_a_larger_one_that_was_reserved() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(9, 100), Index(0)).unwrap();
    let plan = log.wants_segment().unwrap();
    let frames = leader.frames(4, 20_000);
    let bytes = frames.iter().map(|frame| frame.header.frame_len().next_multiple_of(8) as u64).sum::<u64>();
    assert!(bytes > plan.bytes, "the plan's file is too small for them");
    log.reserve(bytes).unwrap();
    log.install_segment(disk.create(&plan.path, plan.bytes).unwrap()).unwrap();
    disk.set_capacity_bytes(Some(0));
    log.append(&frames, Index(0)).unwrap();
    assert!(disk.open(&plan.path).is_err(), "it is removed");
}

#[test]
fn a_reservation_that_finds_no_room_leaves_the_one_before_it() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(9, 100), Index(0)).unwrap();
    let frames = leader.frames(4, 20_000);
    let bytes = frames.iter().map(|frame| frame.header.frame_len().next_multiple_of(8) as u64).sum::<u64>();
    log.reserve(bytes).unwrap();
    disk.set_capacity_bytes(Some(0));
    assert!(log.reserve(2 * bytes).unwrap_err().is_no_space());
    let plan = log.wants_segment().unwrap();
    let refused = disk.create(&plan.path, plan.bytes).err().unwrap();
    log.abandon_segment(&refused);
    disk.set_capacity_bytes(None);
    let plan = log.wants_segment().expect("it is asked for until there is room");
    log.install_segment(disk.create(&plan.path, plan.bytes).unwrap()).unwrap();
    log.reserve(2 * bytes).unwrap();
    log.append(&frames, Index(0)).unwrap();
}

#[test]
fn a_full_disk_refuses_the_append_and_the_log_goes_on_later() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    disk.set_capacity_bytes(Some(10 << 10));
    let frames = leader.frames(100, 100);
    assert!(log.append(&frames, Index(0)).unwrap_err().is_no_space());
    let taken = log.last_index().0 as usize;
    assert!(taken > 0 && taken < 100);
    disk.set_capacity_bytes(None);
    log.append(&frames[taken..], Index(0)).unwrap();
    assert_eq!(all(&log), frames);
}

#[test]
fn after_a_failed_sync_the_log_takes_no_more() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(1, 10), Index(0)).unwrap();
    disk.fail_syncs(FIRST_SEGMENT.as_ref(), true).unwrap();
    assert!(disk.sync(&log.take_dirty().unwrap())[0].is_err());
    assert!(log.append(&leader.frames(1, 10), Index(0)).is_err());
    assert!(matches!(log.save_vote(Vote::default()), Err(Error::Failed { .. })));
}

#[test]
fn a_log_in_the_wrong_folder_is_refused() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(3, 10), Index(0)).unwrap();
    let other_cluster: ClusterId = "other".parse().unwrap();
    let strangers = [
        (LogIdentity { cluster: other_cluster, ..identity() }, "cluster"),
        (LogIdentity { shard: ShardId(8), ..identity() }, "shard"),
        (LogIdentity { replica: ReplicaId(4), ..identity() }, "replica"),
    ];
    for (stranger, expected) in strangers {
        let opened = Log::open(Arc::clone(&disk) as _, folder(), &stranger, fixture::OPTIONS);
        let Err(Error::Segment(segment::Error::Identity { field, .. })) = opened else { panic!("refused") };
        assert_eq!(field, expected);
    }
    let again =
        Log::create(Arc::clone(&disk) as _, folder(), &identity(), &fixture::genesis(), fixture::OPTIONS);
    assert!(matches!(again, Err(Error::Exists { .. })));
    assert!(matches!(
        Log::open(Arc::clone(&disk) as _, "elsewhere".as_ref(), &identity(), fixture::OPTIONS),
        Err(Error::Absent { .. })
    ));
}

#[test]
fn the_vote_survives_a_torn_slot_and_never_looks_fresh() {
    let vote = |term| Vote { term: Term(term), voted_for: Some(ReplicaId(2)), committed: Index(0) };
    let disk = Arc::new(MemoryDisk::new());
    let mut log = create(&disk);
    for term in 1..=4 {
        log.save_vote(vote(term)).unwrap();
        sync(&disk, &mut log);
        assert_eq!(open(&Arc::new(disk.fork())).1.vote, vote(term));
    }
    // Sequence 5 stands in the second slot: the last write, torn.
    let votes = crate::log::names::vote(folder());
    disk.flip(&votes, 512 + 30, 0xff).unwrap();
    let (mut log, recovery) = open(&disk);
    assert_eq!(recovery.vote, vote(3));
    log.save_vote(vote(9)).unwrap();
    sync(&disk, &mut log);
    drop(log);
    assert_eq!(open(&disk).1.vote, vote(9));
    disk.flip(&votes, 30, 0xff).unwrap();
    disk.flip(&votes, 512 + 30, 0xff).unwrap();
    assert!(matches!(refused(&disk), Error::VoteDamaged { .. }));
}

#[test]
fn a_vote_is_written_over_the_older_slot_alone_until_it_is_synced() {
    let disk = Arc::new(MemoryDisk::new());
    let mut log = create(&disk);
    let vote = |term| Vote { term: Term(term), ..Vote::default() };
    log.save_vote(vote(1)).unwrap();
    sync(&disk, &mut log);
    let votes = crate::log::names::vote(folder());
    let answered_on = disk.read(&votes).unwrap().unwrap()[..512].to_vec();
    log.save_vote(vote(2)).unwrap();
    let under_way = log.take_dirty().unwrap();
    // While that sync is under way, two more: nothing may touch the slot that was answered on.
    log.save_vote(vote(3)).unwrap();
    log.save_vote(vote(4)).unwrap();
    assert_eq!(disk.read(&votes).unwrap().unwrap()[..512], answered_on);
    disk.sync(&under_way).into_iter().for_each(Result::unwrap);
    sync(&disk, &mut log);
    assert_eq!(open(&disk).1.vote, vote(4));
}

#[test]
fn a_vote_file_of_another_size_or_with_bytes_beside_its_fields_is_refused() {
    let disk = Arc::new(MemoryDisk::new());
    drop(create(&disk));
    let votes = crate::log::names::vote(folder());
    // Sequence 1 stands in the second slot.
    for at in [512 + 80, 1023] {
        let disk = Arc::new(disk.fork());
        disk.flip(&votes, at, 1).unwrap();
        assert!(matches!(refused(&disk), Error::VoteDamaged { .. }), "byte {at}");
    }
    let bytes = disk.read(&votes).unwrap().unwrap();
    // One slot, which is the newer; two and a half; one too many.
    for part in [bytes[512..1024].to_vec(), bytes[..1280].to_vec(), [&bytes[..], &[0; 512]].concat()] {
        let disk = Arc::new(disk.fork());
        disk.replace(&votes, &part).unwrap();
        assert!(matches!(refused(&disk), Error::VoteDamaged { .. }), "{} bytes", part.len());
    }
}

#[test]
fn a_creation_cut_short_is_begun_again() {
    let disk = Arc::new(MemoryDisk::new());
    drop(create(&disk));
    disk.remove(&crate::log::names::vote(folder())).unwrap();
    assert!(matches!(refused(&disk), Error::Unfinished { .. }));
    disk.flip(FIRST_SEGMENT.as_ref(), 20, 1).unwrap();
    drop(create(&disk));
    assert_eq!(open(&disk).0.last_index(), Index(0));
}

#[test]
fn what_is_applied_stands_in_the_next_segments_head() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    log.append(&leader.frames(5, 100), Index(0)).unwrap();
    let membership = Membership { voters: vec![ReplicaId(3)], ..Membership::default() };
    log.note_applied(Index(4), &membership);
    log.append(&leader.frames(60, 100), Index(0)).unwrap();
    drop(log);
    let log = open(&disk).0;
    let state = log.state_at(log.last_index()).unwrap();
    assert_eq!((state.applied, state.membership), (Index(4), membership));
    assert_eq!(log.first_state().unwrap(), fixture::genesis());
}

#[test]
fn a_log_may_move_between_threads() {
    fn moves<T: Send>() {}
    moves::<Log>();
}

#[test]
fn large_and_small_bodies_in_one_append_read_back() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    // The first frame does not fit the first segment, which stays empty.
    let sizes = [100_000, 5, 70_001, 0, 9, 65_535, 65_536, 3, 200_003, 1, 64_000, 2_000];
    let frames: Vec<_> = sizes.into_iter().map(|body_len| leader.frame(1, body_len)).collect();
    log.append(&frames, Index(0)).unwrap();
    assert_eq!(all(&log), frames);
    drop(log);
    let (mut log, recovery) = open(&disk);
    assert_eq!((recovery.cut, all(&log)), (None, frames.clone()));
    assert_eq!(log.state_at(Index(0)).unwrap(), fixture::genesis());
    assert_eq!(log.term(Index(0)).unwrap(), Term(0));
    assert_eq!(log.seek(frames[0].header.first_timestamp).unwrap(), Index(1));
    let mut other = Leader::after(fixture::genesis(), 2);
    let new = other.frames(2, 50_000);
    log.append(&new, Index(0)).unwrap();
    assert_eq!(all(&log), new);
    drop(log);
    assert_eq!(all(&open(&disk).0), new);
}
