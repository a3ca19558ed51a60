//! The index of a segment, made from a walk over its frames by whoever walks them.
//!
//! Knows nothing of files. Invariant: the same frames give the same bytes as the log itself writes when it seals.

use super::Extent;
use super::index_file;
use super::mark::Marks;
use crate::codec::FrameHeader;

/// Collects a segment's marks.
#[derive(Clone, Debug, Default)]
pub struct IndexBuilder(Marks);

impl IndexBuilder {
    /// Notes the next frame: its header, that header's CRC, and where it stands.
    pub fn note(&mut self, header: &FrameHeader, header_crc: u32, at_byte: u64) {
        self.0.note(header, header_crc, at_byte);
    }

    /// The bytes of the index.
    pub fn finish(&self, extent: &Extent) -> Vec<u8> {
        index_file::encode(extent, self.0.all())
    }
}
