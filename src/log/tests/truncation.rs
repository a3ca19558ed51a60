//! Truncation: what follows is the new history alone, whatever a crash keeps.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{Leader, all, create, genesis, open, sync};
use crate::codec::ShardState;
use crate::disk::MemoryDisk;
use crate::log::Log;
use crate::types::Index;

fn folded(log: &Log) -> ShardState {
    let mut state = genesis();
    for frame in all(log) {
        state.fold(&frame.header, frame.header_crc());
    }
    state
}

#[test]
fn an_overwritten_tail_is_gone_and_the_new_one_reads_back() {
    for kept in [0, 1, 17, 40, 79] {
        let disk = Arc::new(MemoryDisk::new());
        let (mut log, mut old) = (create(&disk), Leader::new());
        let frames = old.frames(80, 150);
        log.append(&frames, Index(0)).unwrap();
        let mut new = Leader::after(log.state_at(Index(kept)).unwrap(), 2);
        let after = new.frames(3, 20);
        log.append(&after, Index(kept)).unwrap();
        let expected = [&frames[..kept as usize], &after].concat();
        assert_eq!(all(&log), expected);
        assert_eq!(log.state_at(log.last_index()).unwrap(), new.state);
        sync(&disk, &mut log);
        drop(log);
        let (log, recovery) = open(&disk);
        assert_eq!(recovery.cut, None);
        assert_eq!(all(&log), expected);
    }
}

#[test]
#[should_panic(expected = "committed entry 3 is not overwritten")]
fn a_committed_entry_is_never_overwritten() {
    let disk = Arc::new(MemoryDisk::new());
    let (mut log, mut leader) = (create(&disk), Leader::new());
    let frames = leader.frames(5, 10);
    log.append(&frames, Index(0)).unwrap();
    let _ = log.append(&frames[2..], Index(3));
}

#[test]
fn a_crash_around_a_truncation_leaves_the_old_history_or_the_new_never_a_mix() {
    for seed in 0..150 {
        let disk = Arc::new(MemoryDisk::new());
        let (mut log, mut old) = (create(&disk), Leader::new());
        old.committed = Index(20);
        let frames = old.frames(80, 150);
        log.append(&frames, Index(0)).unwrap();
        sync(&disk, &mut log);
        let kept = 20 + seed % 50;
        let mut new = Leader::after(log.state_at(Index(kept)).unwrap(), 2);
        new.committed = Index(20);
        let after = new.frames(1 + seed as usize % 30, 150);
        log.append(&after, Index(20)).unwrap();
        disk.power_cut(seed);
        let (log, _) = open(&disk);
        let found = all(&log);
        let (old, new) = (&frames[..], [&frames[..kept as usize], &after].concat());
        let history =
            if found.len() > kept as usize && found[kept as usize].header.term.0 == 2 { &new } else { old };
        assert!(found.len() >= kept as usize, "seed {seed}: synced frames are kept");
        assert_eq!(found, history[..found.len()], "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_state_after_truncation_equals_the_state_folded_from_scratch(
        steps in vec((any::<prop::sample::Index>(), 1_usize..30, 0_usize..400), 1..12),
    ) {
        let disk = Arc::new(MemoryDisk::new());
        let mut log = create(&disk);
        for (term, (keep, count, body_len)) in (1..).zip(steps) {
            let kept = Index(keep.index(log.last_index().0 as usize + 1) as u64);
            let mut leader = Leader::after(log.state_at(kept).unwrap(), term);
            leader.sequence = 100 * term;
            log.append(&leader.frames(count, body_len), Index(0)).unwrap();
            prop_assert_eq!(log.state_at(log.last_index()).unwrap(), folded(&log));
            prop_assert_eq!(&leader.state, &folded(&log));
        }
        let expected = all(&log);
        drop(log);
        let (log, recovery) = open(&disk);
        prop_assert_eq!(recovery.cut, None);
        prop_assert_eq!(all(&log), expected);
        prop_assert_eq!(log.state_at(log.last_index()).unwrap(), folded(&log));
    }
}
