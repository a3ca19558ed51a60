//! Arbitrary histories of a log against a model, which is a list of frames: look-ups agree with a walk over the list,
//! and power that fails at any operation of the disk takes nothing that was synced.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{Leader, all, create, genesis, open, sync, try_open};
use crate::codec::Frame;
use crate::disk::{Disk, MemoryDisk};
use crate::log::{Error, Log};
use crate::types::{Index, Offset, Term, Timestamp, Vote};

/// What happens to a log.
#[derive(Clone, Debug)]
enum Step {
    Append {
        count: usize,
        body_len: usize,
    },
    /// Frames of a new term in place of some that are not synced.
    Overwrite {
        back: usize,
        count: usize,
        body_len: usize,
    },
    Sync,
    Vote,
    Prepare,
    Trim,
    /// Reads sealed segments too, and so makes their indexes.
    Read,
    /// The process ends, and another opens the log on the same page cache.
    Restart(Ending),
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Killed,
    InGoodOrder,
    /// Its last sync left pages clean that never reached the disk.
    AfterFailedSync,
}

fn some_step() -> impl Strategy<Value = Step> {
    let body_len = prop_oneof![4 => 0_usize..700, 1 => 3_000_usize..12_000];
    prop_oneof![
        4 => (1_usize..20, body_len.clone()).prop_map(|(count, body_len)| Step::Append { count, body_len }),
        2 => (0_usize..60, 1_usize..12, body_len)
            .prop_map(|(back, count, body_len)| Step::Overwrite { back, count, body_len }),
        2 => Just(Step::Sync),
        1 => Just(Step::Vote),
        1 => Just(Step::Prepare),
        1 => Just(Step::Trim),
        1 => Just(Step::Read),
        1 => prop::sample::select(&[Ending::Killed, Ending::InGoodOrder, Ending::AfterFailedSync][..])
            .prop_map(Step::Restart),
    ]
}

/// A log, and what it must hold.
struct Story {
    disk: Arc<MemoryDisk>,
    log: Log,
    leader: Leader,
    frames: Vec<Frame>,
    votes: u64,
    /// The highest entry that a trim said to keep.
    start: Index,
    /// Frames that are synced and stand since then.
    synced: usize,
    synced_votes: u64,
    /// What the log has been since the last sync, and may be after a crash.
    pasts: Vec<Vec<Frame>>,
}

impl Story {
    fn new() -> Self {
        let disk = Arc::new(MemoryDisk::new());
        let log = create(&disk);
        let (leader, start) = (Leader::new(), Index(1));
        let (frames, pasts) = (Vec::new(), vec![Vec::new()]);
        Self { disk, log, leader, frames, votes: 0, start, synced: 0, synced_votes: 0, pasts }
    }

    fn append(&mut self, new: &[Frame]) -> Result<(), Error> {
        self.frames.extend_from_slice(new);
        self.pasts.push(self.frames.clone());
        self.log.append(new, self.leader.committed)
    }

    fn overwrite(&mut self, back: usize, count: usize, body_len: usize) -> Result<(), Error> {
        let committed = self.leader.committed.0 as usize;
        let kept = self.frames.len().saturating_sub(back).max(committed);
        let mut state = genesis();
        for frame in &self.frames[..kept] {
            state.fold(&frame.header, frame.header_crc());
        }
        let Leader { term, committed, sequence, .. } = self.leader;
        self.leader = Leader { state, term: Term(term.0 + 1), committed, sequence };
        self.frames.truncate(kept);
        self.synced = self.synced.min(kept);
        let new = self.leader.frames(count, body_len);
        self.append(&new)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.disk.sync(&self.log.take_dirty().unwrap()).into_iter().collect::<Result<(), _>>()?;
        self.log.note_synced();
        self.note_durable();
        Ok(())
    }

    fn note_durable(&mut self) {
        (self.synced, self.synced_votes) = (self.frames.len(), self.votes);
        self.pasts = vec![self.frames.clone()];
    }

    /// What the next process reports is durable, whatever became of the syncs before.
    fn restart(&mut self, ending: Ending) -> Result<(), Error> {
        match ending {
            Ending::Killed => {}
            Ending::InGoodOrder => self.log.mark_synced(),
            Ending::AfterFailedSync => {
                let files = self.log.take_dirty()?;
                self.disk.fail_sync(self.disk.begin_sync(files));
            }
        }
        let (log, recovery) = try_open(&self.disk)?;
        // A vote that was noted and not written yet died with the process.
        (self.log, self.votes) = (log, recovery.vote.term.0);
        assert_eq!(self.log.last_index().0 as usize, self.frames.len(), "the page cache shows all");
        self.note_durable();
        Ok(())
    }

    /// Commits all, and trims what whole segments it can.
    fn trim(&mut self) -> Result<(), Error> {
        self.sync()?;
        self.leader.committed = self.log.last_index();
        self.log.note_applied(self.log.last_index(), &genesis().membership);
        let last = self.log.last_index();
        let Some(start) = self.log.trimmable(last, Timestamp::MAX, Some(20 << 10)) else { return Ok(()) };
        self.start = self.start.max(start);
        let frame = self.leader.trim(start);
        self.append(&[frame])?;
        self.sync()?;
        self.leader.committed = self.log.last_index();
        self.log.trim(start, self.leader.committed)?;
        while let Some(path) = self.log.wants_removal() {
            let removed = self.disk.remove(&path);
            self.log.removed(removed.is_ok());
            removed?;
        }
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<(), Error> {
        match *step {
            Step::Append { count, body_len } => {
                let new = self.leader.frames(count, body_len);
                self.append(&new)
            }
            Step::Overwrite { back, count, body_len } => self.overwrite(back, count, body_len),
            Step::Sync => self.sync(),
            Step::Vote => {
                self.votes += 1;
                self.log.save_vote(Vote { term: Term(self.votes), ..Vote::default() })
            }
            Step::Prepare => {
                let Some(plan) = self.log.wants_segment() else { return Ok(()) };
                let made = self.disk.create(&plan.path, plan.bytes);
                made.inspect_err(|error| self.log.abandon_segment(error))
                    .map(|file| self.log.install_segment(file))?
            }
            Step::Trim => self.trim(),
            Step::Restart(ending) => self.restart(ending),
            Step::Read => {
                assert_eq!(all(&self.log), self.frames[self.log.first_index().0 as usize - 1..]);
                Ok(())
            }
        }
    }

    /// What a crash left is one of the pasts, cut behind what is synced.
    fn judge_after_crash(&self) -> Result<(), TestCaseError> {
        let (log, recovery) = try_open(&self.disk).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (first, last) = (log.first_index().0 as usize, log.last_index().0 as usize);
        prop_assert!(log.first_index() <= self.start.max(Index(1)), "begins at {}", first);
        prop_assert!(last >= self.synced, "{} of {} synced frames", last, self.synced);
        let found = all(&log);
        let is_past =
            self.pasts.iter().any(|past| past.get(first - 1..last).is_some_and(|past| past == found));
        prop_assert!(is_past, "frames {} to {} are no part of any past", first, last);
        let votes = recovery.vote.term.0;
        prop_assert!(self.synced_votes <= votes && votes <= self.votes, "vote {}", votes);
        drop(log);
        let (again, recovery) = open(&self.disk);
        prop_assert_eq!(recovery.cut, None);
        prop_assert_eq!(all(&again), found);
        Ok(())
    }

    /// Every look-up finds what a walk over the model finds.
    fn judge_look_ups(&self, log: &Log, goals: &[u64]) -> Result<(), TestCaseError> {
        let first = log.first_index();
        let held = &self.frames[first.0 as usize - 1..];
        let past = log.last_index().plus(1);
        let walked = |reached: &dyn Fn(&Frame) -> bool| {
            held.iter().find(|frame| reached(frame)).map_or(past, |frame| frame.header.index)
        };
        let end = self.leader.state.next_offset.0 + 2;
        for goal in goals {
            let offset = Offset(goal % end);
            prop_assert_eq!(
                log.seek_offset(offset).unwrap(),
                walked(&|frame| frame.header.next_offset() > offset)
            );
            let time = Timestamp(goal % (self.leader.state.last_timestamp.0 + 2));
            let expected = walked(&|frame| frame.header.is_shown() && frame.header.last_timestamp() >= time);
            prop_assert_eq!(log.seek(time).unwrap(), expected);
            if let Some(frame) = held.get(*goal as usize % held.len().max(1)) {
                prop_assert_eq!(log.header(frame.header.index).unwrap(), frame.header);
                prop_assert_eq!(log.term(frame.header.index).unwrap(), frame.header.term);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_history_reads_as_its_model_before_and_after_a_reopening(
        steps in vec(some_step(), 1..25), goals in vec(any::<u64>(), 1..30),
    ) {
        let mut story = Story::new();
        for step in &steps {
            story.take(step).unwrap();
            prop_assert_eq!(&all(&story.log), &story.frames[story.log.first_index().0 as usize - 1..]);
        }
        story.judge_look_ups(&story.log, &goals)?;
        sync(&story.disk, &mut story.log);
        let disk = Arc::new(story.disk.fork());
        let (log, recovery) = open(&disk);
        prop_assert_eq!(recovery.cut, None);
        prop_assert_eq!(recovery.vote.term, Term(story.votes));
        story.judge_look_ups(&log, &goals)?;
        prop_assert_eq!(&all(&log), &story.frames[log.first_index().0 as usize - 1..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn power_that_fails_at_any_operation_of_any_history_takes_nothing_synced(
        steps in vec(some_step(), 1..25), operations in 0_u64..120, seed in any::<u64>(),
    ) {
        let mut story = Story::new();
        story.disk.fail_power_after(Some(operations));
        for step in &steps {
            let taken = story.take(step);
            prop_assert!(taken.is_ok() || story.disk.is_power_off(), "{:?}", taken);
            if story.disk.is_power_off() {
                break;
            }
        }
        story.disk.power_cut(seed);
        story.judge_after_crash()?;
    }
}
