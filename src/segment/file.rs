//! An open segment: appends, reads, finds, truncates.
//!
//! One thread writes. Positions are multiples of 8; bytes behind the last frame are zeros.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::frame_index::FrameIndex;
use super::{Error, FrameFault, SegmentHead, Tail};
use crate::codec::{self, Frame, FrameHeader, HEADER_BYTES, ShardState};
use crate::disk::DiskFile;
use crate::simulation::{Bug, is_planted};
use crate::types::Index;

/// Frames up to this size are gathered into one write; larger bodies are written from where they are.
const GATHERED_BYTES_MAX: usize = 64 << 10;
const ZEROS: &[u8] = &[0; 64 << 10];

/// How frames leave a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Slices of the map: only for frames that can no longer be truncated.
    Map,
    /// Copies.
    Copy,
}

/// Bytes a frame takes in a segment.
pub(super) fn padded_len(frame_len: usize) -> u64 {
    frame_len.next_multiple_of(8) as u64
}

/// One segment file. `last` is the last frame it holds, or the one before its first.
pub struct Segment {
    file: Arc<dyn DiskFile>,
    head_bytes: u64,
    start: Tail,
    last: Index,
    /// Where the next frame goes; of a sealed segment that was never walked, unknown and not needed.
    end: u64,
    /// Of a sealed segment: what the next one's first frame connects to.
    next_chain: Option<u32>,
    index: OnceLock<FrameIndex>,
}

impl Segment {
    /// Makes a blank file a segment that starts after `head.state`, durably.
    pub fn create(file: Arc<dyn DiskFile>, head: &SegmentHead) -> Result<Self, Error> {
        let bytes = head.encode();
        file.write_at(0, &bytes)?;
        file.sync()?;
        let start = Tail::from(&head.state);
        Ok(Self::active(
            file,
            bytes.len() as u64,
            start,
            FrameIndex::new(start.index.plus(1)),
            bytes.len() as u64,
        ))
    }

    pub(super) fn active(
        file: Arc<dyn DiskFile>,
        head_bytes: u64,
        start: Tail,
        index: FrameIndex,
        end: u64,
    ) -> Self {
        let last = Index(start.index.0 + index.marks() as u64);
        Self { file, head_bytes, start, last, end, next_chain: None, index: OnceLock::from(index) }
    }

    /// A segment that ends where the next one, whose start is `next`, begins. Its frames are walked when
    /// first needed.
    pub fn sealed(file: Arc<dyn DiskFile>, head: &SegmentHead, head_bytes: u64, next: &Tail) -> Self {
        let (start, index) = (Tail::from(&head.state), OnceLock::new());
        Self {
            file,
            head_bytes,
            start,
            last: next.index,
            end: head_bytes,
            next_chain: Some(next.chain),
            index,
        }
    }

    pub fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// What its first frame connects to.
    pub fn start(&self) -> &Tail {
        &self.start
    }

    pub fn first_index(&self) -> Index {
        self.start.index.plus(1)
    }

    pub fn last_index(&self) -> Index {
        self.last
    }

    pub fn size_bytes(&self) -> u64 {
        self.file.size_bytes()
    }

    /// Of an active segment: whether half of its room for frames is used.
    pub fn is_half_full(&self) -> bool {
        2 * (self.end - self.head_bytes) >= self.size_bytes() - self.head_bytes
    }

    /// Of an active segment: room behind its last frame.
    pub fn free_bytes(&self) -> u64 {
        self.size_bytes() - self.end
    }

    /// How many of `frames` fit behind those here.
    pub fn fitting(&self, frames: &[Frame]) -> usize {
        let mut end = self.end;
        let fits = |frame: &&Frame| {
            end += padded_len(frame.header.frame_len());
            end <= self.size_bytes()
        };
        frames.iter().take_while(fits).count()
    }

    /// Its head's state: what precedes its first frame.
    pub fn start_state(&self) -> Result<ShardState, Error> {
        let read = SegmentHead::read(&*self.file);
        let damaged = |reason| Error::Head { file: self.file.path().to_owned(), reason };
        read.map(|(head, _)| head.state).map_err(damaged)
    }

    /// Writes frames that fit and that follow the last one; both are the caller's to prove.
    pub fn append(&mut self, frames: &[Frame]) -> Result<(), Error> {
        let mut gathered: Vec<u8> = Vec::new();
        let mut gathered_at = self.end;
        let mut at = self.end;
        for frame in frames {
            gathered.extend_from_slice(&frame.header_bytes);
            if gathered.len() + frame.body.len() > GATHERED_BYTES_MAX {
                self.file.write_at(gathered_at, &gathered)?;
                gathered.clear();
                // The padding behind a body is zero already.
                self.file.write_at(at + HEADER_BYTES as u64, &frame.body)?;
                gathered_at = at + padded_len(frame.header.frame_len());
            } else {
                gathered.extend_from_slice(&frame.body);
                gathered.resize(gathered.len().next_multiple_of(8), 0);
            }
            at += padded_len(frame.header.frame_len());
        }
        if !gathered.is_empty() {
            self.file.write_at(gathered_at, &gathered)?;
        }
        let index = self.index.get_mut().expect("an active segment has its index");
        for frame in frames {
            assert_eq!(frame.header.index, self.last.plus(1), "frames are appended in order");
            index.push(self.end);
            self.end += padded_len(frame.header.frame_len());
            self.last = frame.header.index;
        }
        Ok(())
    }

    /// Seals the segment: its index gets small. Its bytes must be synced.
    pub fn seal(&mut self) {
        self.index.get_mut().expect("an active segment has its index").thin();
    }

    /// Drops the frames after `last` by zeroing them, and makes the segment active. Not yet synced.
    pub fn truncate(&mut self, last: Index) -> Result<(), Error> {
        assert!(self.start.index <= last && last <= self.last, "a segment is truncated inside its range");
        if !self.index.get().is_some_and(FrameIndex::is_dense) {
            let (index, end) = self.walk()?;
            (self.index, self.end) = (OnceLock::from(index), end);
        }
        self.next_chain = None;
        let kept = (last.0 - self.start.index.0) as usize;
        if last < self.last {
            let index = self.index.get_mut().expect("just walked");
            let (_, at) = index.mark(kept);
            index.truncate(kept);
            zero(&*self.file, at..self.end)?;
            (self.last, self.end) = (last, at);
        }
        Ok(())
    }

    /// Writes what it holds once more, over itself: the next sync then covers all of it. After a sync that failed the
    /// page cache shows bytes as clean that never reached the disk.
    pub fn write_back(&self) -> Result<(), Error> {
        let mut at = 0;
        while at < self.end {
            let end = self.end.min(at + GATHERED_BYTES_MAX as u64);
            self.file.write_at(at, &self.file.copy(at..end))?;
            at = end;
        }
        Ok(())
    }

    /// Reads and proves the header of the frame `index` at `at`; also gives its CRC.
    fn header_at(&self, at: u64, index: Index) -> Result<(FrameHeader, u32), Error> {
        let bytes = self.bytes(at..at + HEADER_BYTES as u64, Share::Map);
        let header = bytes.and_then(|bytes| Ok((FrameHeader::decode(&bytes)?, header_crc(&bytes))));
        let (header, crc) = header.map_err(|fault| self.damaged(at, index, fault))?;
        if header.index != index {
            let fault = FrameFault::NotNext { field: "index", expected: index.0, found: header.index.0 };
            return Err(self.damaged(at, index, fault));
        }
        Ok((header, crc))
    }

    fn damaged(&self, at_byte: u64, index: Index, reason: impl Into<FrameFault>) -> Error {
        Error::Damaged { file: self.file.path().to_owned(), at_byte, index, reason: reason.into() }
    }

    fn bytes(&self, range: Range<u64>, share: Share) -> Result<Bytes, codec::Error> {
        slice_within(&*self.file, range, share)
    }

    /// Walks all headers from the head on, proving that each follows the one before.
    fn walk(&self) -> Result<(FrameIndex, u64), Error> {
        let (mut tail, mut at) = (self.start, self.head_bytes);
        let mut index = FrameIndex::new(self.first_index());
        while tail.index < self.last {
            let next = tail.index.plus(1);
            let (header, crc) = self.header_at(at, next)?;
            tail.check_next(&header).map_err(|fault| self.damaged(at, next, fault))?;
            index.push(at);
            tail.advance(&header, crc);
            at += padded_len(header.frame_len());
        }
        if let Some(expected) = self.next_chain.filter(|chain| *chain != tail.chain) {
            let (expected, found) = (expected.into(), tail.chain.into());
            return Err(self.damaged(
                at,
                tail.index,
                FrameFault::NotNext { field: "chain", expected, found },
            ));
        }
        Ok((index, at))
    }

    fn index(&self) -> Result<&FrameIndex, Error> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let (mut index, _) = self.walk()?;
        index.thin();
        Ok(self.index.get_or_init(|| index))
    }

    /// Where the frame `index`, which the segment holds, stands.
    fn position(&self, index: Index) -> Result<u64, Error> {
        let (mut found, mut at) = self.index()?.mark_below(index);
        while found < index {
            at += padded_len(self.header_at(at, found)?.0.frame_len());
            found = found.plus(1);
        }
        Ok(at)
    }

    /// The header of the frame `index`, which the segment holds.
    pub fn header(&self, index: Index) -> Result<FrameHeader, Error> {
        assert!(self.start.index < index && index <= self.last, "the segment holds the frame");
        Ok(self.header_at(self.position(index)?, index)?.0)
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
        assert!(self.start.index < from && from <= self.last, "the segment holds the frame");
        let mut at = self.position(from)?;
        let mut index = from;
        while index < to && index <= self.last {
            let (header, _) = self.header_at(at, index)?;
            let len = header.frame_len() as u64;
            if len > *budget_bytes && !frames.is_empty() {
                return Ok(false);
            }
            *budget_bytes = budget_bytes.saturating_sub(len);
            match self.frame_at(at, &header, share) {
                Ok(frame) => frames.push(frame),
                Err(_) if is_planted(Bug::ServeAfterUnproved) && index.plus(1) < to && index < self.last => {}
                Err(error) => return Err(error),
            }
            at += padded_len(header.frame_len());
            index = index.plus(1);
        }
        Ok(true)
    }

    fn frame_at(&self, at: u64, header: &FrameHeader, share: Share) -> Result<Frame, Error> {
        let bytes = self.bytes(at..at + header.frame_len() as u64, share);
        let frame = bytes.and_then(|mut bytes| {
            let body = bytes.split_off(HEADER_BYTES);
            Frame::decode(bytes, body)
        });
        frame.map_err(|reason| self.damaged(at, header.index, reason))
    }

    /// The first frame whose header fulfils `reached`, which never turns false again along a log; one past
    /// the last if none does.
    pub fn first_where(&self, reached: impl Fn(&FrameHeader) -> bool) -> Result<Index, Error> {
        if self.last == self.start.index {
            return Ok(self.first_index());
        }
        let index = self.index()?;
        let (mut low, mut high) = (0, index.marks());
        while low < high {
            let middle = low.midpoint(high);
            let (found, at) = index.mark(middle);
            if reached(&self.header_at(at, found)?.0) { high = middle } else { low = middle + 1 }
        }
        let Some(before) = low.checked_sub(1) else { return Ok(self.first_index()) };
        let (mut found, mut at) = index.mark(before);
        while found <= self.last {
            let (header, _) = self.header_at(at, found)?;
            if reached(&header) {
                break;
            }
            at += padded_len(header.frame_len());
            found = found.plus(1);
        }
        Ok(found)
    }

    /// Folds the headers of all frames up to `to` into the start's state.
    pub fn state_at(&self, to: Index) -> Result<ShardState, Error> {
        let (mut state, mut at) = (self.start_state()?, self.head_bytes);
        while state.index < to {
            let next = state.index.plus(1);
            let (header, crc) = self.header_at(at, next)?;
            Tail::from(&state).check_next(&header).map_err(|fault| self.damaged(at, next, fault))?;
            state.fold(&header, crc);
            at += padded_len(header.frame_len());
        }
        Ok(state)
    }
}

/// The CRC that a proved header carries.
pub(super) fn header_crc(header: &[u8]) -> u32 {
    u32::from_le_bytes(header[8..12].try_into().expect("four bytes"))
}

/// Bytes of a file, or how far its end is.
pub(super) fn slice_within(
    file: &dyn DiskFile,
    range: Range<u64>,
    share: Share,
) -> Result<Bytes, codec::Error> {
    if range.end > file.size_bytes() {
        let (needed, available) = (range.end - range.start, file.size_bytes().saturating_sub(range.start));
        return Err(codec::Error::Short { needed: needed as usize, available: available as usize });
    }
    Ok(match share {
        Share::Map => file.slice(range),
        Share::Copy => file.copy(range).into(),
    })
}

/// Writes zeros.
pub(super) fn zero(file: &dyn DiskFile, mut range: Range<u64>) -> Result<(), Error> {
    while range.start < range.end {
        let len = (range.end - range.start).min(ZEROS.len() as u64);
        file.write_at(range.start, &ZEROS[..len as usize])?;
        range.start += len;
    }
    Ok(())
}
