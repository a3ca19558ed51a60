//! One segment file: a head that says whose it is and where it starts, then frames.
//!
//! Knows nothing of the files beside it. The format, and the argument why recovery is right, are in
//! `docs/SEGMENT_FORMAT.md`. Invariants: bytes behind the last frame are zeros; a frame follows the one
//! before it in index, chain, term, offset and time; what cannot be proved is never handed out.

mod error;
mod file;
mod frame_index;
mod head;
mod recover;
mod tail;

#[cfg(test)]
mod tests;

pub use error::{Error, FrameFault};
pub use file::{Segment, Share};
pub use head::{HEAD_BYTES_MIN, SegmentHead, SegmentIdentity};
pub use recover::{CutTail, Recovered, holds_whole_frame, is_blank, recover};
pub use tail::Tail;
