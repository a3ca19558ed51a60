//! Where a log begins, and how its beginning moves: a trim takes whole segments off its front, a reset begins it anew
//! at another replica's start.
//!
//! Knows nothing of who decides. Invariants: the log stays one run of segments; no segment goes whose membership frames
//! the head that recovery would start from does not include; files are removed after they are no part of the log any
//! more, oldest first, one at a time; a reset is durable before the segments that it replaces are forgotten.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::append::{Held, Prepared, Spare};
use super::{Error, Log, names};
use crate::codec::ShardState;
use crate::segment::{HEAD_BYTES_MIN, Segment, SegmentHead};
use crate::simulation::{Bug, is_planted};
use crate::types::{Index, Membership, Timestamp};

/// Segments that are no part of a log any more and whose files are still there.
#[derive(Debug, Default)]
pub(super) struct Retired {
    /// Oldest first.
    numbers: VecDeque<u64>,
    /// One of their files is being removed.
    removing: bool,
    /// Of the oldest of them only the index is left.
    index_remains: bool,
}

impl From<Vec<u64>> for Retired {
    fn from(numbers: Vec<u64>) -> Self {
        Self { numbers: numbers.into(), ..Self::default() }
    }
}

impl Log {
    /// The first index to keep, if the log's oldest segments may go: sealed ones of which all is `released`, and whose
    /// last entry is older than `expired`, or behind which the sealed ones hold at least `keep_bytes`.
    pub fn trimmable(&self, released: Index, expired: Timestamp, keep_bytes: Option<u64>) -> Option<Index> {
        let sealed = &self.segments[..self.segments.len() - 1];
        let mut behind: u64 = sealed.iter().map(|held| held.segment.size_bytes()).sum();
        let mut start = None;
        for pair in self.segments.windows(2) {
            let (old, end) = (&pair[0].segment, pair[1].segment.start());
            behind -= old.size_bytes();
            let judged = if is_planted(Bug::TrimByFirstTimestamp) { old.start() } else { end };
            let is_old = judged.last_timestamp < expired;
            let is_too_much = keep_bytes.is_some_and(|keep_bytes| behind >= keep_bytes);
            if end.index > released || !(is_old || is_too_much) {
                break;
            }
            start = Some(end.index.plus(1));
        }
        start
    }

    /// Forgets the sealed segments that hold only entries below `start`, which a trim frame at or below `committed`
    /// tells. Those whose membership frames are not in the head of the segment of `committed` stay: ask again later.
    pub fn trim(&mut self, start: Index, committed: Index) -> Result<(), Error> {
        self.check_usable()?;
        let last = self.segments.iter().rposition(|held| held.segment.start().index <= committed);
        // A truncation may make this segment the active one again, never an older one.
        let recovered_from = last.expect("what is committed is in the log");
        let kept = start.min(self.start_state_of(recovered_from)?.applied.plus(1));
        let gone = self.segments[1..].iter().take_while(|held| held.segment.first_index() <= kept).count();
        self.retire(gone);
        Ok(())
    }

    /// The oldest file that is no part of the log any more: a segment, then its index. Remove it,
    /// durably, then call `removed`.
    pub fn wants_removal(&mut self) -> Option<PathBuf> {
        let retired = &mut self.retired;
        let oldest = retired.numbers.front().filter(|_| !retired.removing)?;
        retired.removing = true;
        let path = if retired.index_remains { names::index } else { names::segment };
        Some(path(&self.folder, *oldest))
    }

    /// The file last asked for is gone, or could not be removed and is asked for again.
    pub fn removed(&mut self, is_gone: bool) {
        let retired = &mut self.retired;
        retired.removing = false;
        let Some(oldest) = retired.numbers.front().filter(|_| is_gone || retired.index_remains) else {
            return;
        };
        let index = names::index(&self.folder, *oldest);
        // There may be none; one that cannot be removed is swept at the next opening.
        retired.index_remains = !retired.index_remains && self.disk.read_start(&index, 0).is_ok();
        if !retired.index_remains {
            retired.numbers.pop_front();
        }
    }

    /// Sees to it that a reset to a state of `bytes` finds room, and makes its file if none is ready.
    pub fn reserve_reset(&mut self, bytes: u64) -> Result<(), Error> {
        self.check_usable()?;
        // A head's fields and its padding are less than one unit.
        let needed = 2 * (bytes + HEAD_BYTES_MIN).next_multiple_of(HEAD_BYTES_MIN);
        if self.spare.as_ref().is_none_or(|spare| spare.size_bytes < needed) {
            let made = self.blank_file(needed);
            let made = self.note_failure(made);
            self.spare = Some(Prepared::from(made?));
        }
        Ok(())
    }

    /// Gives the whole log up and begins it after `state`, durably. A crash leaves the old log or the new one.
    pub fn reset(&mut self, state: &ShardState) -> Result<(), Error> {
        self.check_usable()?;
        let reset = self.begin_after(state);
        self.note_failure(reset)
    }

    fn begin_after(&mut self, state: &ShardState) -> Result<(), Error> {
        let begins_log = !is_planted(Bug::ResetKeepsOldLog);
        let (identity, state) = (self.identity.clone(), state.clone());
        // A log that begins goes on from no segment; a planted one that only seems to must look like the next.
        let previous = if begins_log { 0 } else { self.segments.last().expect("a log has a segment").number };
        let head = SegmentHead { identity, state, begins_log, previous, file_bytes: 0 };
        let Spare { number, file } = self.blank_file(2 * head.encode().len() as u64)?;
        let segment = Segment::create(file, &head)?;
        self.retire(self.segments.len());
        self.segments.push(Held { number, segment });
        self.applied = (head.state.applied, head.state.membership.clone());
        self.state = head.state;
        self.active_dirty = false;
        Ok(())
    }

    /// The first `count` segments are no part of the log any more. Their maps are let go, so that their files' room is free
    /// once they are removed and no slice of them lives.
    fn retire(&mut self, count: usize) {
        for Held { number, .. } in self.segments.drain(..count) {
            self.files.forget_segment(number);
            self.retired.numbers.push_back(number);
        }
    }

    /// How far membership frames are known to be applied, and the membership there.
    pub fn applied(&self) -> (Index, &Membership) {
        (self.applied.0, &self.applied.1)
    }

    /// Refuses a log whose oldest segments are missing. What was trimmed away, a frame or a head behind it tells.
    pub(super) fn check_beginning(&self, begins_log: bool) -> Result<(), Error> {
        let (first, start) = (self.first_index(), self.state.start);
        if begins_log || first <= start {
            return Ok(());
        }
        Err(Error::BeginningLost { folder: self.folder.clone(), first, start })
    }
}

/// Takes out the segments before the last that begins the log; gives their numbers. A reset was cut short before they
/// were removed.
pub(super) fn forget_replaced<T>(heads: &mut Vec<(u64, SegmentHead, T)>) -> Vec<u64> {
    let begin = heads.iter().rposition(|(_, head, _)| head.begins_log).unwrap_or(0);
    heads.drain(..begin).map(|(number, ..)| number).collect()
}
