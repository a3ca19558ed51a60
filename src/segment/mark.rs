//! Marks: where some of a segment's frames stand, far enough apart to be few, close enough to walk from one to the next.
//!
//! Knows nothing of files. Invariants: the first frame has a mark; marks rise in index, position, offset and time; two
//! neighbours stand at least `STRIDE_BYTES` apart, and every frame starts less than that, or one frame, behind a mark.

use crate::codec::FrameHeader;
use crate::types::{Index, Offset, Timestamp};

/// A frame is marked if it starts this far or further behind the mark before it.
pub const STRIDE_BYTES: u64 = 32 << 10;

/// One frame's place, and what proves that the frame found there is the one that was marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) index: Index,
    pub(super) at_byte: u64,
    pub(super) first_offset: Offset,
    pub(super) last_timestamp: Timestamp,
    pub(super) header_crc: u32,
}

impl Mark {
    pub(super) fn of(header: &FrameHeader, header_crc: u32, at_byte: u64) -> Self {
        Self {
            index: header.index,
            at_byte,
            first_offset: header.first_offset,
            last_timestamp: header.last_timestamp(),
            header_crc,
        }
    }
}

/// What is looked for: the first frame that has come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The frame of this index.
    Index(Index),
    /// The frame that holds the record of this offset, or the first one behind it.
    Offset(Offset),
    /// The first frame whose last record is stamped at or after this.
    Time(Timestamp),
}

impl Goal {
    /// Whether a frame has come so far. It never turns false again along a log.
    pub(super) fn is_reached(self, header: &FrameHeader) -> bool {
        match self {
            Self::Index(index) => header.index >= index,
            Self::Offset(offset) => header.next_offset() > offset,
            Self::Time(time) => header.last_timestamp() >= time,
        }
    }

    /// Whether the goal stands at a mark or behind it.
    pub(super) fn is_at_or_behind(self, mark: &Mark) -> bool {
        match self {
            Self::Index(index) => mark.index <= index,
            Self::Offset(offset) => mark.first_offset <= offset,
            Self::Time(time) => mark.last_timestamp < time,
        }
    }
}

/// The last of `count` marks at or before the goal; `None` if there is none. Fails with the first mark that cannot be
/// read.
pub(super) fn last_before<E>(
    count: usize,
    goal: Goal,
    mark: impl Fn(usize) -> Result<Mark, E>,
) -> Result<Option<Mark>, E> {
    let (mut low, mut high, mut found) = (0, count, None);
    while low < high {
        let middle = low.midpoint(high);
        let candidate = mark(middle)?;
        if goal.is_at_or_behind(&candidate) {
            (low, found) = (middle + 1, Some(candidate));
        } else {
            high = middle;
        }
    }
    Ok(found)
}

/// A segment's marks, in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    /// Notes the next frame, if it is far enough from the last mark.
    pub(super) fn note(&mut self, header: &FrameHeader, header_crc: u32, at_byte: u64) {
        if self.0.last().is_none_or(|last| at_byte - last.at_byte >= STRIDE_BYTES) {
            self.0.push(Mark::of(header, header_crc, at_byte));
        }
    }

    /// Forgets the frames behind `last`.
    pub(super) fn truncate(&mut self, last: Index) {
        self.0.truncate(self.0.partition_point(|mark| mark.index <= last));
    }

    pub(super) fn all(&self) -> &[Mark] {
        &self.0
    }

    pub(super) fn before(&self, goal: Goal) -> Option<Mark> {
        let count = self.0.partition_point(|mark| goal.is_at_or_behind(mark));
        count.checked_sub(1).map(|last| self.0[last])
    }
}
