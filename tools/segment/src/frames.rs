//! The good frames of one replica, across its segments, in order of their indexes.
//!
//! Passes over damage in silence: `verify` names it. Invariants: every frame is proved by both its CRCs; indexes rise.

use timberline::codec::{self, FrameHeader, FrameKind, checksum, decode_order_mark, decode_records};
use timberline::types::{Index, OrderMark, Record};

use crate::folder::{Part, SegmentFile, ShardFolder};
use crate::scan::{Depth, Event, Found, Joint, Scan};

/// A proved frame and where it stands.
pub(crate) struct Good<'a> {
    pub(crate) segment: &'a SegmentFile,
    pub(crate) found: Found,
}

impl<'a> Good<'a> {
    pub(crate) fn header(&self) -> &FrameHeader {
        &self.found.header
    }

    pub(crate) fn index(&self) -> Index {
        self.found.header.index
    }

    /// Header and body.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        &self.segment.bytes[self.found.frame_range()]
    }

    pub(crate) fn file(&self) -> String {
        self.segment.path.display().to_string()
    }

    pub(crate) fn records(&self) -> Result<Vec<Record>, codec::Error> {
        records(self.segment, &self.found)
    }
}

/// The records of a frame; of a frame without records, none.
pub(crate) fn records(segment: &SegmentFile, found: &Found) -> Result<Vec<Record>, codec::Error> {
    let header = &found.header;
    if header.record_count == 0 {
        return Ok(Vec::new());
    }
    decode_records(&segment.bytes.slice(found.body_range()), header.compression, header.record_count)
}

/// What an order mark says; of another frame, or of a body that cannot be proved or read, nothing.
pub(crate) fn mark(segment: &SegmentFile, found: &Found) -> Option<OrderMark> {
    let header = &found.header;
    if header.kind != FrameKind::OrderMark || found.body.is_err() {
        return None;
    }
    let body = segment.bytes.slice(found.body_range());
    // A walk over headers alone has not proved it.
    (checksum(&[&body]) == header.body_crc).then(|| decode_order_mark(&body).ok()).flatten()
}

/// The good frames of `folder`.
pub(crate) fn frames(folder: &ShardFolder) -> Frames<'_> {
    let segments: Vec<_> = folder.log_segments().collect();
    Frames { folder, segments: segments.into_iter(), open: None, last: Index(0) }
}

pub(crate) struct Frames<'a> {
    folder: &'a ShardFolder,
    segments: std::vec::IntoIter<&'a SegmentFile>,
    open: Option<(&'a SegmentFile, Scan<'a>, Option<Index>)>,
    last: Index,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Good<'a>;

    fn next(&mut self) -> Option<Good<'a>> {
        loop {
            let Some((segment, scan, end)) = &mut self.open else {
                let segment = self.segments.next()?;
                self.open = Some((segment, segment.scan(Depth::Bodies), end_of(self.folder, segment)));
                continue;
            };
            let segment = *segment;
            match scan.next() {
                None => self.open = None,
                Some(Event::Frame(found)) if end.is_some_and(|end| found.header.index > end) => {
                    self.open = None;
                }
                Some(Event::Frame(found)) => {
                    let is_good = found.body.is_ok() && !matches!(found.joint, Joint::Stale(_));
                    if is_good && found.header.index > self.last {
                        self.last = found.header.index;
                        return Some(Good { segment, found });
                    }
                }
                Some(_) => {}
            }
        }
    }
}

/// The last index of a sealed segment, where the next head is there to tell it.
pub(crate) fn end_of(folder: &ShardFolder, segment: &SegmentFile) -> Option<Index> {
    let Part::Sealed { next } = segment.part else { return None };
    folder.segments[next].head().map(|head| head.state.index)
}
