//! The reading side of a log: positions, frames, seeks, state.

use super::append::Held;
use super::{Error, Log, Share};
use crate::codec::{Frame, FrameHeader, ShardState};
use crate::segment::{self, Goal, Reader, Tail};
use crate::types::{Index, Offset, Term, Timestamp, Vote};

impl Log {
    /// The first index the log holds, or will hold.
    pub fn first_index(&self) -> Index {
        self.segments[0].segment.first_index()
    }

    /// The last index the log holds; the one before the first if it is empty.
    pub fn last_index(&self) -> Index {
        self.state.index
    }

    /// The saved vote, synced or not; `committed` is at most the last index.
    pub fn vote(&self) -> Vote {
        let vote = self.votes.vote();
        Vote { committed: vote.committed.min(self.last_index()), ..vote }
    }

    /// The state at the log's start.
    pub fn first_state(&self) -> Result<ShardState, Error> {
        self.start_state_of(0)
    }

    /// The term of the entry at `index`, from the one before the first.
    pub fn term(&self, index: Index) -> Result<Term, Error> {
        if index == self.state.index {
            return Ok(self.state.term);
        }
        self.check_holds(index, self.first_index().before())?;
        let starting = self.segments.iter().rev().find(|held| held.segment.start().index <= index);
        let start = starting.expect("the first segment starts at or before it").segment.start();
        if start.index == index { Ok(start.term) } else { Ok(self.header(index)?.term) }
    }

    pub fn header(&self, index: Index) -> Result<FrameHeader, Error> {
        self.check_holds(index, self.first_index())?;
        self.read_segment(self.segment_of(index), |segment| segment.header(index))
    }

    /// The state after the entry at `index`, from the one before the first. Its `applied` and
    /// `membership` are those of the nearest segment head at or below it.
    pub fn state_at(&self, index: Index) -> Result<ShardState, Error> {
        if index == self.state.index {
            return Ok(self.state.clone());
        }
        self.check_holds(index, self.first_index().before())?;
        let starting = self.segments.partition_point(|held| held.segment.start().index <= index);
        let nearest = starting.checked_sub(1).expect("the first segment starts at or before it");
        self.read_segment(nearest, |segment| segment.state_at(index))
    }

    /// The state that a segment's head holds.
    pub(super) fn start_state_of(&self, position: usize) -> Result<ShardState, Error> {
        self.read_segment(position, |segment| segment.start_state())
    }

    /// Reads one segment; a sealed one is opened, or found open.
    fn read_segment<T>(
        &self,
        position: usize,
        read: impl FnOnce(Reader<'_>) -> Result<T, segment::Error>,
    ) -> Result<T, Error> {
        let Held { number, segment } = &self.segments[position];
        if segment.is_active() {
            return self.noting_damage(*number, read(segment.reader()));
        }
        let sealed = self.files.segment(&self.folder, *number, segment.extent())?;
        self.noting_damage(*number, read(sealed.reader()))
    }

    /// Remembers which segment is to be repaired.
    pub(super) fn noting_damage<T>(&self, number: u64, read: Result<T, segment::Error>) -> Result<T, Error> {
        if let Err(segment::Error::Damaged { .. }) = read {
            self.damaged.set(Some(number));
        }
        Ok(read?)
    }

    /// Proved frames `from..to_exclusive`: at least one, then as many as fit in `max_bytes`. `Share::Map`
    /// is for frames that are committed.
    pub fn frames(
        &self,
        from: Index,
        to_exclusive: Index,
        max_bytes: u64,
        share: Share,
    ) -> Result<Vec<Frame>, Error> {
        assert!(from < to_exclusive, "at least one frame is asked for");
        self.check_holds(from, self.first_index())?;
        self.check_holds(to_exclusive.before(), self.first_index())?;
        let mut budget_bytes = max_bytes;
        let mut frames = Vec::new();
        for position in self.segment_of(from)..self.segments.len() {
            let next = from.plus(frames.len() as u64);
            if self.segments[position].segment.last_index() < next {
                // Begun, and given up for a larger one before a frame was in it.
                continue;
            }
            let goes_on = next < to_exclusive
                && self.read_segment(position, |segment| {
                    segment.read(next, to_exclusive, &mut budget_bytes, share, &mut frames)
                })?;
            if !goes_on {
                break;
            }
        }
        Ok(frames)
    }

    /// The first frame that readers are shown, stamped at or after `t`; one past the last if there is none.
    pub fn seek(&self, t: Timestamp) -> Result<Index, Error> {
        let found = self.find(Goal::Time(t), |start| start.last_timestamp < t)?;
        self.skip_hidden(found)
    }

    /// The frame that holds the record at `offset`; one past the last if there is none yet.
    pub fn seek_offset(&self, offset: Offset) -> Result<Index, Error> {
        self.find(Goal::Offset(offset), |start| start.next_offset <= offset)
    }

    /// The first frame that has reached the goal. Segments `below` start short of it, so it stands in the last such
    /// one or right behind. Starts are in memory: one segment is looked into.
    fn find(&self, goal: Goal, below: impl Fn(&Tail) -> bool) -> Result<Index, Error> {
        let count = self.segments.partition_point(|held| below(held.segment.start()));
        match count.checked_sub(1) {
            None => Ok(self.first_index()),
            Some(position) => self.read_segment(position, |segment| segment.seek(goal)),
        }
    }

    fn skip_hidden(&self, mut index: Index) -> Result<Index, Error> {
        while index <= self.last_index() && !self.header(index)?.is_shown() {
            index = index.plus(1);
        }
        Ok(index)
    }

    /// The segment that holds the frame `index`.
    fn segment_of(&self, index: Index) -> usize {
        self.segments.partition_point(|held| held.segment.start().index < index) - 1
    }

    fn check_holds(&self, index: Index, first: Index) -> Result<(), Error> {
        let last = self.last_index();
        if index < first {
            Err(Error::Compacted { index })
        } else if index > last {
            Err(Error::Unavailable { index, last })
        } else {
            Ok(())
        }
    }
}
