//! One segment file: a head that says whose it is and where it starts, then frames.
//!
//! Knows nothing of the files beside it. The format, and the argument why recovery is right, are in
//! `docs/SEGMENT_FORMAT.md`. Invariants: bytes behind the last frame are zeros; a frame follows the one
//! before it in index, chain, term, offset and time; what cannot be proved is never handed out.

mod error;
mod extent;
mod file;
mod head;
mod index_builder;
mod index_file;
mod mark;
mod reader;
mod recover;
mod salvage;
mod scrub;
mod sealed;
mod tail;

#[cfg(test)]
mod tests;

pub use error::{Error, FrameFault};
pub use extent::{Extent, check_joins};
pub use file::{Segment, Share};
pub use head::{HEAD_BYTES_MIN, SegmentHead, SegmentIdentity};
pub use index_builder::IndexBuilder;
pub use mark::{Goal, STRIDE_BYTES};
pub use reader::Reader;
pub use recover::{CutTail, Recovered, holds_whole_frame, is_blank, recover};
pub use salvage::{End, FrameName, Salvage};
pub use scrub::ScrubPoint;
pub use sealed::{KeepIndex, SealedSegment};
pub use tail::Tail;
