//! A sealed segment read once more from head to end, in small steps, to find what nobody reads.
//!
//! Knows nothing of when. Invariant: a segment that was gone through without an error is, byte for byte in head and
//! frames, what was written.

use super::file::padded_len;
use super::recover::next_frame;
use super::{Error, Extent, FrameFault, SegmentHead, Tail};
use crate::codec;
use crate::disk::DiskFile;

/// How far a segment is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubPoint {
    tail: Tail,
    at_byte: u64,
}

impl ScrubPoint {
    /// Proves the segment's head.
    pub fn begin(file: &dyn DiskFile, extent: &Extent) -> Result<Self, Error> {
        let head_bytes = u64::from(extent.head_bytes);
        let head = file.copy(0..head_bytes.min(file.size_bytes()));
        let found = SegmentHead::decode(&head).map(|_| SegmentHead::crc_of(&head));
        let reason = match found {
            Ok(found) if found == extent.head_crc => {
                return Ok(Self { tail: extent.start, at_byte: head_bytes });
            }
            Ok(found) => codec::Error::HeaderCrc { found, computed: extent.head_crc },
            Err(reason) => reason,
        };
        Err(Error::Head { file: file.path().to_owned(), reason })
    }

    /// Proves the frames that follow, about `bytes` of them. `None` when the segment is done; also tells how much was
    /// read.
    pub fn go_on(
        mut self,
        file: &dyn DiskFile,
        extent: &Extent,
        bytes: u64,
    ) -> (u64, Result<Option<Self>, Error>) {
        let begun = self.at_byte;
        let content = file.slice(0..file.size_bytes());
        while self.tail.index < extent.last {
            if self.at_byte - begun >= bytes {
                return (self.at_byte - begun, Ok(Some(self)));
            }
            match next_frame(&content, self.at_byte, &self.tail) {
                Ok((header, crc)) => {
                    self.tail.advance(&header, crc);
                    self.at_byte += padded_len(header.frame_len());
                }
                Err(reason) => return (self.at_byte - begun, Err(self.damaged(file, reason))),
            }
        }
        let (expected, found) = (extent.end_chain.into(), self.tail.chain.into());
        let ends = if expected == found {
            Ok(None)
        } else {
            Err(self.damaged(file, FrameFault::NotNext { field: "chain", expected, found }))
        };
        (self.at_byte - begun, ends)
    }

    fn damaged(&self, file: &dyn DiskFile, reason: FrameFault) -> Error {
        let (file, index) = (file.path().to_owned(), self.tail.index.plus(1));
        Error::Damaged { file, at_byte: self.at_byte, index, reason }
    }
}
