//! What the next frame of a log must connect to.

use super::FrameFault;
use crate::codec::{FrameHeader, ShardState};
use crate::types::{Index, Offset, Term, Timestamp};

/// The end of a log: a shard's state without its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    pub index: Index,
    pub term: Term,
    pub next_offset: Offset,
    pub last_timestamp: Timestamp,
    pub chain: u32,
}

impl From<&ShardState> for Tail {
    fn from(state: &ShardState) -> Self {
        Self {
            index: state.index,
            term: state.term,
            next_offset: state.next_offset,
            last_timestamp: state.last_timestamp,
            chain: state.chain,
        }
    }
}

impl Tail {
    /// Whether a frame with this header may follow. The chain comes first: a frame of another history is
    /// best described by it.
    pub fn check_next(&self, header: &FrameHeader) -> Result<(), FrameFault> {
        let demand = |holds: bool, field, expected, found| {
            if holds { Ok(()) } else { Err(FrameFault::NotNext { field, expected, found }) }
        };
        let next = self.index.plus(1);
        demand(header.index == next, "index", next.0, header.index.0)?;
        demand(header.chain == self.chain, "chain", self.chain.into(), header.chain.into())?;
        demand(header.term >= self.term, "term", self.term.0, header.term.0)?;
        let (expected, found) = (self.next_offset, header.first_offset);
        demand(found == expected, "first offset", expected.0, found.0)?;
        let earliest = if header.record_count > 0 { self.last_timestamp.next() } else { self.last_timestamp };
        demand(header.first_timestamp >= earliest, "timestamp", earliest.0, header.first_timestamp.0)
    }

    /// Moves past a frame that follows.
    pub fn advance(&mut self, header: &FrameHeader, header_crc: u32) {
        *self = Self {
            index: header.index,
            term: header.term,
            next_offset: header.next_offset(),
            last_timestamp: header.last_timestamp(),
            chain: header_crc,
        };
    }
}
