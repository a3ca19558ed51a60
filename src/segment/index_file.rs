//! The index of a sealed segment, as a file beside it: its marks, each of which proves itself.
//!
//! Knows nothing of the segment's frames: it tells where to look, and the reader proves what stands there. It may be
//! missing, torn, stale or another segment's; then it is built again. Drawn in `docs/SEGMENT_FORMAT.md`.
//! Invariant: a look-up reads the head once and then one entry per step of a binary search.

use std::sync::Arc;

use bytes::{Buf, BufMut};

use super::extent::Extent;
use super::mark::{Goal, Mark, last_before};
use crate::codec::checksum;
use crate::disk::DiskFile;
use crate::types::{Index, Offset, Timestamp};

const MAGIC: u32 = u32::from_le_bytes(*b"TMIX");
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 64;
const ENTRY_BYTES: usize = 40;

/// An entry of the index is not what was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongIndex;

/// An open index.
pub(super) struct IndexFile {
    file: Arc<dyn DiskFile>,
    head_crc: u32,
    marks: usize,
}

/// The bytes of an index of `marks` for the segment.
pub(super) fn encode(extent: &Extent, marks: &[Mark]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + marks.len() * ENTRY_BYTES);
    bytes.put_u32_le(MAGIC);
    bytes.put_u16_le(VERSION);
    bytes.put_u16_le(ENTRY_BYTES as u16);
    bytes.put_u32_le(0);
    bytes.put_u32_le(extent.head_crc);
    bytes.put_u64_le(extent.start.index.plus(1).0);
    bytes.put_u64_le(extent.last.0);
    bytes.put_u32_le(extent.end_chain);
    bytes.put_u32_le(marks.len() as u32);
    bytes.resize(HEAD_BYTES, 0);
    let head_crc = checksum(&[&bytes[12..HEAD_BYTES], &bytes[..8]]);
    bytes[8..12].copy_from_slice(&head_crc.to_le_bytes());
    for (number, mark) in marks.iter().enumerate() {
        let at = bytes.len();
        bytes.put_u32_le(0);
        bytes.put_u32_le(mark.header_crc);
        bytes.put_u64_le(mark.index.0);
        bytes.put_u64_le(mark.at_byte);
        bytes.put_u64_le(mark.first_offset.0);
        bytes.put_u64_le(mark.last_timestamp.0);
        let crc = entry_crc(&bytes[at..], head_crc, number);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

/// An entry is bound to its index and to its place in it.
fn entry_crc(entry: &[u8], head_crc: u32, number: usize) -> u32 {
    checksum(&[&entry[4..], &head_crc.to_le_bytes(), &(number as u32).to_le_bytes()])
}

impl IndexFile {
    /// Opens the index of exactly this segment; `None` if the file is not that.
    pub(super) fn open(file: Arc<dyn DiskFile>, extent: &Extent) -> Option<Self> {
        if file.size_bytes() < HEAD_BYTES as u64 {
            return None;
        }
        let head = file.copy(0..HEAD_BYTES as u64);
        let mut b = &head[36..];
        let marks = b.get_u32_le() as usize;
        if file.size_bytes() != (HEAD_BYTES + marks * ENTRY_BYTES) as u64 {
            return None;
        }
        // Everything else in the head is known: it must be, byte for byte, the head that would be written.
        let mut expected = encode(extent, &[]);
        expected[36..40].copy_from_slice(&(marks as u32).to_le_bytes());
        let head_crc = checksum(&[&expected[12..], &expected[..8]]);
        expected[8..12].copy_from_slice(&head_crc.to_le_bytes());
        (marks > 0 && expected == head).then_some(Self { file, head_crc, marks })
    }

    /// The last mark at or before the goal.
    pub(super) fn before(&self, goal: Goal) -> Result<Option<Mark>, WrongIndex> {
        last_before(self.marks, goal, |number| self.mark(number))
    }

    fn mark(&self, number: usize) -> Result<Mark, WrongIndex> {
        let at = (HEAD_BYTES + number * ENTRY_BYTES) as u64;
        let entry = self.file.copy(at..at + ENTRY_BYTES as u64);
        let mut b = &entry[..];
        if b.get_u32_le() != entry_crc(&entry, self.head_crc, number) {
            return Err(WrongIndex);
        }
        Ok(Mark {
            header_crc: b.get_u32_le(),
            index: Index(b.get_u64_le()),
            at_byte: b.get_u64_le(),
            first_offset: Offset(b.get_u64_le()),
            last_timestamp: Timestamp(b.get_u64_le()),
        })
    }
}
