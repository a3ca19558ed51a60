//! Reads a segment's frames, active or sealed: by index, by offset, by time.
//!
//! Knows nothing of where marks come from. Invariants: every header is proved to be the frame that was looked for, every
//! frame handed out is proved whole; a look-up reads one mark and walks at most one stride from it.

use std::path::Path;

use super::file::{header_crc, padded_len, slice_within};
use super::mark::{Goal, Mark};
use super::{Error, Extent, FrameFault, SegmentHead, Share, Tail};
use crate::codec::{Frame, FrameHeader, HEADER_BYTES, ShardState, check_body_crc};
use crate::disk::DiskFile;
use crate::simulation::{Bug, is_planted};
use crate::types::Index;

/// Gives the last mark at or before a goal, proved; `None` if the goal lies before the first.
pub(super) trait FindMark {
    fn mark_before(&self, goal: Goal, frames: &Frames<'_>) -> Result<Option<Mark>, Error>;
}

/// A segment's bytes, and which frames are in them.
#[derive(Clone, Copy)]
pub(super) struct Frames<'a> {
    pub(super) file: &'a dyn DiskFile,
    pub(super) extent: Extent,
}

impl Frames<'_> {
    pub(super) fn damaged(&self, at_byte: u64, index: Index, reason: impl Into<FrameFault>) -> Error {
        Error::Damaged { file: self.file.path().to_owned(), at_byte, index, reason: reason.into() }
    }

    /// Reads and proves the header of the frame `index` at `at`; also gives its CRC.
    pub(super) fn header_at(&self, at: u64, index: Index) -> Result<(FrameHeader, u32), Error> {
        let bytes = slice_within(self.file, at..at + HEADER_BYTES as u64, Share::Map);
        let bytes = bytes.map_err(|fault| self.damaged(at, index, fault))?;
        match FrameHeader::decode(&bytes) {
            Ok(header) if header.index == index => Ok((header, header_crc(&bytes))),
            Ok(FrameHeader { index: Index(found), .. }) => {
                let fault = FrameFault::NotNext { field: "index", expected: index.0, found };
                Err(self.damaged(at, index, fault))
            }
            Err(fault) => Err(self.damaged(at, index, fault)),
        }
    }

    /// Whether the frame at a mark is the one that was marked.
    pub(super) fn is_marked(&self, mark: &Mark) -> bool {
        // Nothing is read at a place where no frame can be.
        let within =
            mark.at_byte.checked_add(HEADER_BYTES as u64).is_some_and(|end| end <= self.file.size_bytes());
        within
            && mark.at_byte.is_multiple_of(8)
            && self
                .header_at(mark.at_byte, mark.index)
                .is_ok_and(|(header, crc)| Mark::of(&header, crc, mark.at_byte) == *mark)
    }

    /// Walks all headers up to `to` from the head on, proving that each follows the one before; gives where the frame
    /// behind `to` would start. What was seen before a flaw stands.
    pub(super) fn walk(
        &self,
        to: Index,
        seen: &mut dyn FnMut(&FrameHeader, u32, u64),
    ) -> Result<(Tail, u64), Error> {
        let (mut tail, mut at) = (self.extent.start, u64::from(self.extent.head_bytes));
        while tail.index < to {
            let next = tail.index.plus(1);
            let (header, crc) = self.header_at(at, next)?;
            tail.check_next(&header).map_err(|fault| self.damaged(at, next, fault))?;
            seen(&header, crc, at);
            tail.advance(&header, crc);
            at += padded_len(header.frame_len());
        }
        if to == self.extent.last && tail.chain != self.extent.end_chain {
            let (expected, found) = (self.extent.end_chain.into(), tail.chain.into());
            let fault = FrameFault::NotNext { field: "chain", expected, found };
            return Err(self.damaged(at, tail.index, fault));
        }
        Ok((tail, at))
    }
}

/// A segment as readers see it.
pub struct Reader<'a> {
    frames: Frames<'a>,
    marks: &'a dyn FindMark,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, extent: Extent, marks: &'a dyn FindMark) -> Self {
        Self { frames: Frames { file, extent }, marks }
    }

    pub fn path(&self) -> &Path {
        self.frames.file.path()
    }

    /// Its head's state: what precedes its first frame.
    pub fn start_state(&self) -> Result<ShardState, Error> {
        let read = SegmentHead::read(self.frames.file);
        let damaged = |reason| Error::Head { file: self.path().to_owned(), reason };
        read.map(|(head, _)| head.state).map_err(damaged)
    }

    /// The header of the frame `index`, which the segment holds.
    pub fn header(&self, index: Index) -> Result<FrameHeader, Error> {
        let extent = &self.frames.extent;
        assert!(extent.start.index < index && index <= extent.last, "the segment holds the frame");
        let found = self.find(Goal::Index(index))?;
        Ok(found.expect("the segment holds the frame").1)
    }

    /// The index of the first frame that has reached the goal; one past the last if none has.
    pub fn seek(&self, goal: Goal) -> Result<Index, Error> {
        let past = self.frames.extent.last.plus(1);
        Ok(self.find(goal)?.map_or(past, |(_, header)| header.index))
    }

    /// The first frame that has reached the goal, and where it stands.
    fn find(&self, goal: Goal) -> Result<Option<(u64, FrameHeader)>, Error> {
        let Frames { extent, .. } = self.frames;
        if extent.last == extent.start.index {
            return Ok(None);
        }
        let mark = self.marks.mark_before(goal, &self.frames)?;
        let start = (extent.first_index(), u64::from(extent.head_bytes));
        let (mut index, mut at) = mark.map_or(start, |mark| (mark.index, mark.at_byte));
        while index <= extent.last {
            let (header, _) = self.frames.header_at(at, index)?;
            if goal.is_reached(&header) {
                return Ok(Some((at, header)));
            }
            at += padded_len(header.frame_len());
            index = index.plus(1);
        }
        Ok(None)
    }

    /// Proved frames from `from` to below `to`, into `frames`, while `budget_bytes` lasts; the first frame of an
    /// empty `frames` comes whatever its size. Gives false once the budget is spent.
    pub fn read(
        &self,
        from: Index,
        to: Index,
        budget_bytes: &mut u64,
        share: Share,
        frames: &mut Vec<Frame>,
    ) -> Result<bool, Error> {
        let extent = &self.frames.extent;
        assert!(extent.start.index < from && from <= extent.last, "the segment holds the frame");
        let (mut at, _) = self.find(Goal::Index(from))?.expect("the segment holds the frame");
        let mut index = from;
        while index < to && index <= extent.last {
            let (header, _) = self.frames.header_at(at, index)?;
            let len = header.frame_len() as u64;
            if len > *budget_bytes && !frames.is_empty() {
                return Ok(false);
            }
            if index == from {
                // Others are about as long.
                let rest = to.min(extent.last.plus(1)).0 - index.0;
                frames.reserve(rest.min(*budget_bytes / len + 1) as usize);
            }
            *budget_bytes = budget_bytes.saturating_sub(len);
            match self.frame_at(at, &header, share) {
                Ok(frame) => frames.push(frame),
                Err(_)
                    if is_planted(Bug::ServeAfterUnproved) && index.plus(1) < to && index < extent.last => {}
                Err(error) => return Err(error),
            }
            at += padded_len(header.frame_len());
            index = index.plus(1);
        }
        Ok(true)
    }

    /// Where the frame behind `last` would start, and `last`'s header CRC; `last` may be the one before the first.
    pub fn end_of(&self, last: Index) -> Result<(u64, u32), Error> {
        let Extent { start, head_bytes, .. } = self.frames.extent;
        if last == start.index {
            return Ok((head_bytes.into(), start.chain));
        }
        let (at, header) = self.find(Goal::Index(last))?.expect("the segment holds the frame");
        let (_, crc) = self.frames.header_at(at, last)?;
        Ok((at + padded_len(header.frame_len()), crc))
    }

    /// Proves the body behind a proved header.
    fn frame_at(&self, at: u64, header: &FrameHeader, share: Share) -> Result<Frame, Error> {
        let damaged = |reason| self.frames.damaged(at, header.index, reason);
        let bytes = slice_within(self.frames.file, at..at + header.frame_len() as u64, share);
        let mut header_bytes = bytes.map_err(damaged)?;
        let body = header_bytes.split_off(HEADER_BYTES);
        if !is_planted(Bug::ServeDamaged) {
            check_body_crc(&body, header.body_crc).map_err(damaged)?;
        }
        Ok(Frame { header: *header, header_bytes, body })
    }

    /// Folds the headers of all frames up to `to`, which the segment holds, into the start's state.
    pub fn state_at(&self, to: Index) -> Result<ShardState, Error> {
        let mut state = self.start_state()?;
        self.frames.walk(to, &mut |header, crc, _| state.fold(header, crc))?;
        Ok(state)
    }
}
