//! What is known of a segment without its file: where it starts and ends, and which file it is.

use std::path::Path;

use super::{Error, SegmentHead, Tail};
use crate::codec::HEADER_BYTES;
use crate::types::Index;

/// A segment's place in its log. Of a sealed segment this is all that stays in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What its first frame connects to.
    pub start: Tail,
    /// The last frame it holds, or the one before its first.
    pub last: Index,
    /// That frame's header CRC: what the frame behind it names as its chain.
    pub end_chain: u32,
    pub head_bytes: u32,
    pub head_crc: u32,
    pub size_bytes: u64,
}

impl Extent {
    /// A segment that holds nothing yet. `head_bytes` are the head's bytes in the file.
    pub fn empty(head: &SegmentHead, head_bytes: u64, head_crc: u32, size_bytes: u64) -> Self {
        let start = Tail::from(&head.state);
        let head_bytes = u32::try_from(head_bytes).expect("a head is at most 1 MiB");
        Self { start, last: start.index, end_chain: start.chain, head_bytes, head_crc, size_bytes }
    }

    /// The same segment, ending where the next one, which starts after `next`, begins.
    #[must_use]
    pub fn until(self, next: &Tail) -> Self {
        Self { last: next.index, end_chain: next.chain, ..self }
    }

    pub fn first_index(&self) -> Index {
        self.start.index.plus(1)
    }
}

/// Whether the segment of `head`, in `file`, can go on from the segment `number`: it names it, nothing falls, and the
/// frames between the two starts have room in it. That the frames are there is proved when they are read.
pub fn check_joins(file: &Path, number: u64, before: &Extent, head: &SegmentHead) -> Result<(), Error> {
    let (start, next) = (&before.start, Tail::from(&head.state));
    let demand = |holds: bool, field, expected, found| {
        if holds { Ok(()) } else { Err(Error::Gap { file: file.to_owned(), field, expected, found }) }
    };
    if head.begins_log {
        return Ok(());
    }
    demand(head.previous == number, "previous segment", number, head.previous)?;
    let (expected, found) = (start.index.0, next.index.0);
    demand(found >= expected, "first index", expected + 1, found + 1)?;
    let most = expected + (before.size_bytes - u64::from(before.head_bytes)) / HEADER_BYTES as u64;
    demand(found <= most, "first index", most + 1, found + 1)?;
    demand(found > expected || next == *start, "chain", start.chain.into(), next.chain.into())?;
    demand(next.term >= start.term, "term", start.term.0, next.term.0)?;
    demand(next.next_offset >= start.next_offset, "next offset", start.next_offset.0, next.next_offset.0)?;
    let (expected, found) = (start.last_timestamp.0, next.last_timestamp.0);
    demand(found >= expected, "last timestamp", expected, found)
}
