//! A segment as its log holds it, and the writing of the active one: append, seal, truncate.
//!
//! One thread writes. Invariants: positions are multiples of 8; bytes behind the last frame are zeros; a sealed segment
//! holds no file open.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::index_file;
use super::mark::{Goal, Mark, Marks};
use super::reader::{FindMark, Frames, Reader};
use super::{CutTail, Error, Extent, SegmentHead, Tail};
use crate::codec::{self, Frame, HEADER_BYTES};
use crate::disk::DiskFile;
use crate::types::Index;

/// Frames up to this size are gathered into one write; larger bodies are written from where they are.
const GATHERED_BYTES_MAX: usize = 64 << 10;
const ZEROS: &[u8] = &[0; 64 << 10];
/// What a file is written back in, at least.
const PAGE_BYTES: u64 = 4096;

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

/// A segment of a log: a sealed one is its extent alone, the active one has its file open.
pub struct Segment {
    extent: Extent,
    writing: Option<Box<Writing>>,
}

/// What the active segment needs to be written.
struct Writing {
    file: Arc<dyn DiskFile>,
    marks: Marks,
    /// Where the next frame goes.
    end: u64,
}

impl Segment {
    /// Makes a blank file a segment that starts after `head.state`, durably. The file's size goes into the head.
    pub fn create(file: Arc<dyn DiskFile>, head: &SegmentHead) -> Result<Self, Error> {
        let head = SegmentHead { file_bytes: file.size_bytes(), ..head.clone() };
        let bytes = head.encode();
        file.write_at(0, &bytes)?;
        file.sync()?;
        let (head_bytes, size_bytes) = (bytes.len() as u64, file.size_bytes());
        let extent = Extent::empty(&head, head_bytes, SegmentHead::crc_of(&bytes), size_bytes);
        Ok(Self::active(file, extent, Marks::default(), head_bytes))
    }

    pub(super) fn active(file: Arc<dyn DiskFile>, extent: Extent, marks: Marks, end: u64) -> Self {
        Self { extent, writing: Some(Box::new(Writing { file, marks, end })) }
    }

    /// A segment that takes no more frames.
    pub fn sealed(extent: Extent) -> Self {
        Self { extent, writing: None }
    }

    /// Makes a sealed segment the active one again: its headers are walked.
    pub fn reopen(file: Arc<dyn DiskFile>, extent: Extent) -> Result<Self, Error> {
        let mut marks = Marks::default();
        let frames = Frames { file: &*file, extent };
        let (_, end) = frames.walk(extent.last, &mut |header, crc, at| marks.note(header, crc, at))?;
        Ok(Self::active(file, extent, marks, end))
    }

    pub fn extent(&self) -> &Extent {
        &self.extent
    }

    /// What its first frame connects to.
    pub fn start(&self) -> &Tail {
        &self.extent.start
    }

    pub fn first_index(&self) -> Index {
        self.extent.first_index()
    }

    pub fn last_index(&self) -> Index {
        self.extent.last
    }

    pub fn size_bytes(&self) -> u64 {
        self.extent.size_bytes
    }

    pub fn is_active(&self) -> bool {
        self.writing.is_some()
    }

    fn writing(&self) -> &Writing {
        self.writing.as_ref().expect("only the active segment is written")
    }

    fn writing_mut(&mut self) -> &mut Writing {
        self.writing.as_mut().expect("only the active segment is written")
    }

    /// Of an active segment: its file.
    pub fn file(&self) -> &Arc<dyn DiskFile> {
        &self.writing().file
    }

    /// Of an active segment: reads it.
    pub fn reader(&self) -> Reader<'_> {
        let writing = self.writing();
        Reader::new(&*writing.file, self.extent, &writing.marks)
    }

    /// Of an active segment: where its last frame ends, padding included.
    pub fn end(&self) -> u64 {
        self.writing().end
    }

    /// Of an active segment: room behind its last frame.
    pub fn free_bytes(&self) -> u64 {
        self.size_bytes() - self.end()
    }

    /// How many of `frames` fit behind those here.
    pub fn fitting(&self, frames: &[Frame]) -> usize {
        let mut end = self.writing().end;
        let fits = |frame: &&Frame| {
            end += padded_len(frame.header.frame_len());
            end <= self.size_bytes()
        };
        frames.iter().take_while(fits).count()
    }

    /// Writes frames that fit and that follow the last one; both are the caller's to prove.
    pub fn append(&mut self, frames: &[Frame]) -> Result<(), Error> {
        let writing = self.writing.as_mut().expect("only the active segment is written");
        write_frames(&*writing.file, writing.end, frames)?;
        for frame in frames {
            assert_eq!(frame.header.index, self.extent.last.plus(1), "frames are appended in order");
            let crc = frame.header_crc();
            writing.marks.note(&frame.header, crc, writing.end);
            writing.end += padded_len(frame.header.frame_len());
            (self.extent.last, self.extent.end_chain) = (frame.header.index, crc);
        }
        Ok(())
    }

    /// Seals the segment and lets its file go; gives the bytes of its index. All of it must be synced.
    pub fn seal(&mut self) -> Vec<u8> {
        let writing = self.writing.take().expect("a segment is sealed once");
        index_file::encode(&self.extent, writing.marks.all())
    }

    /// Drops the frames after `last` by zeroing them. Not yet synced.
    pub fn truncate(&mut self, last: Index) -> Result<(), Error> {
        let extent = self.extent;
        assert!(extent.start.index <= last && last <= extent.last, "a segment is truncated inside its range");
        if last == extent.last {
            return Ok(());
        }
        let (at, chain) = self.reader().end_of(last)?;
        let writing = self.writing_mut();
        zero(&*writing.file, at..writing.end)?;
        writing.marks.truncate(last);
        writing.end = at;
        (self.extent.last, self.extent.end_chain) = (last, chain);
        Ok(())
    }

    /// Writes zeros where recovery found a tail to cut. Not yet synced.
    pub fn clear(&self, tail: &CutTail) -> Result<(), Error> {
        zero(&**self.file(), tail.at_byte..tail.at_byte + tail.bytes)
    }

    /// Writes what it holds behind `synced` once more, over itself: the next sync then covers all of it. After a sync that
    /// failed the page cache shows bytes as clean that never reached the disk, whole pages of them.
    pub fn write_back(&self, synced: u64) -> Result<(), Error> {
        let Writing { file, end, .. } = self.writing();
        let mut at = if synced < *end { synced - synced % PAGE_BYTES } else { *end };
        while at < *end {
            let next = (*end).min(at + GATHERED_BYTES_MAX as u64);
            file.write_at(at, &file.copy(at..next))?;
            at = next;
        }
        Ok(())
    }
}

impl FindMark for Marks {
    fn mark_before(&self, goal: Goal, _: &Frames<'_>) -> Result<Option<Mark>, Error> {
        Ok(self.before(goal))
    }
}

/// Writes frames one behind the other from `at` on, small ones in one piece.
pub(super) fn write_frames(file: &dyn DiskFile, mut at: u64, frames: &[Frame]) -> Result<(), Error> {
    let mut gathered: Vec<u8> = Vec::new();
    let mut gathered_at = at;
    for frame in frames {
        gathered.extend_from_slice(&frame.header_bytes);
        if gathered.len() + frame.body.len() > GATHERED_BYTES_MAX {
            file.write_at(gathered_at, &gathered)?;
            gathered.clear();
            // The padding behind a body is zero already.
            file.write_at(at + HEADER_BYTES as u64, &frame.body)?;
            gathered_at = at + padded_len(frame.header.frame_len());
        } else {
            gathered.extend_from_slice(&frame.body);
            gathered.resize(gathered.len().next_multiple_of(8), 0);
        }
        at += padded_len(frame.header.frame_len());
    }
    if !gathered.is_empty() {
        file.write_at(gathered_at, &gathered)?;
    }
    Ok(())
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
