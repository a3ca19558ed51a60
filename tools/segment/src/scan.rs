//! Walks any bytes as a segment's frames: yields each frame, says where the thread is lost and where it is found again.
//!
//! Knows nothing of files, of other segments, or of what a body holds. Never panics, whatever the bytes are, allocates
//! nothing, and takes time linear in the bytes: it never goes back.
//!
//! Invariants: events come in order of position; a frame is yielded only if its header proves itself by its CRC; the
//! last event is `End`, and it comes once.

use std::ops::Range;

use timberline::codec::{self, FrameHeader, HEADER_BYTES};
use timberline::segment::{FrameFault, HEAD_BYTES_MIN, SegmentHead, Tail};

/// Frames start at multiples of this.
const ALIGNMENT: usize = 8;
/// Where a header holds its CRC.
const HEADER_CRC: Range<usize> = 8..12;
const ZEROS: &[u8] = &[0; 64 << 10];

/// How much of each frame is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The header alone: one page is read per frame.
    Headers,
    /// The header, and the body against its CRC.
    Bodies,
}

/// How a frame stands to what came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joint {
    /// It follows.
    Next,
    /// It belongs further on in this log, or to another history of it; the walk goes on from it.
    Ahead(FrameFault),
    /// It lies behind what was seen already, or contradicts it; the walk goes on as if it were not there.
    Stale(FrameFault),
}

/// A frame whose header is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub at_byte: u64,
    /// Where the next frame stands.
    pub end_byte: u64,
    pub header: FrameHeader,
    pub header_crc: u32,
    /// Whether the body is what its producer sealed; with `Depth::Headers`, whether it fits in the file.
    pub body: Result<(), codec::Error>,
    pub joint: Joint,
    /// The first byte that is not zero between the body and the next frame.
    pub dirty_padding: Option<u64>,
}

impl Found {
    /// Where the body stands.
    pub fn body_range(&self) -> Range<usize> {
        let start = self.at_byte as usize + HEADER_BYTES;
        start..start + self.header.body_len as usize
    }

    /// Where header and body stand.
    pub fn frame_range(&self) -> Range<usize> {
        self.at_byte as usize..self.body_range().end
    }

    /// Whether it is proved whole and follows the frame before.
    pub fn is_good(&self) -> bool {
        self.body.is_ok() && self.joint == Joint::Next
    }
}

/// What the walk meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Frame(Found),
    /// No frame stands where one is due, and more than zeros follow.
    Lost {
        at_byte: u64,
        reason: codec::Error,
        /// Where the next proved header stands, or else where the content ends.
        until_byte: u64,
        /// Whether there is a next proved header.
        is_found: bool,
    },
    /// From here on there are only zeros, or nothing.
    End {
        at_byte: u64,
    },
}

/// The walk.
pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the last byte that is not zero ends.
    content_end: usize,
    tail: Option<Tail>,
    depth: Depth,
    /// The frame before was cut off by the file's end: whatever is found inside it comes next, if anything.
    is_cut_off: bool,
    is_over: bool,
}

impl<'a> Scan<'a> {
    /// Walks from `at`, where the frame after `tail` is due; without a tail any frame may come first.
    pub fn new(bytes: &'a [u8], at: u64, tail: Option<Tail>, depth: Depth) -> Self {
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let content_end = content_end(bytes);
        Self { bytes, at, content_end, tail, depth, is_cut_off: false, is_over: false }
    }

    /// Walks a whole segment file, from behind its head; if that is damaged, from where the shortest head would end.
    pub fn of_file(bytes: &'a [u8], depth: Depth) -> Self {
        match SegmentHead::decode(bytes) {
            Ok((head, head_bytes)) => Self::new(bytes, head_bytes, Some(Tail::from(&head.state)), depth),
            Err(_) => Self::new(bytes, HEAD_BYTES_MIN, None, depth),
        }
    }

    /// What the next frame must connect to, as far as is known.
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Where the last byte that is not zero ends.
    pub fn content_end(&self) -> u64 {
        self.content_end as u64
    }

    fn frame(&mut self, header: FrameHeader) -> Found {
        let at = self.at;
        let crc = self.bytes[at..][HEADER_CRC].try_into().map_or(0, u32::from_le_bytes);
        let joint = self.join(&header, crc);
        let (body_start, body_end) = (at + HEADER_BYTES, at + header.frame_len());
        let end = body_end.next_multiple_of(ALIGNMENT);
        let body = self.bytes.get(body_start..body_end);
        let is_proved = self.depth == Depth::Bodies;
        let (body, next) = match body {
            None => {
                let available = self.bytes.len() - body_start;
                (Err(codec::Error::Short { needed: header.body_len as usize, available }), body_start)
            }
            Some(body) if is_proved => (codec::check_body_crc(body, header.body_crc), end),
            Some(_) => (Ok(()), end),
        };
        self.is_cut_off = next == body_start && header.body_len > 0;
        self.at = next.min(self.bytes.len());
        let padding = self.bytes.get(body_end..self.at.max(body_end)).unwrap_or_default();
        let dirty = padding.iter().position(|byte| *byte != 0).filter(|_| body.is_ok() && is_proved);
        let dirty_padding = dirty.map(|dirty| (body_end + dirty) as u64);
        Found {
            at_byte: at as u64,
            end_byte: end as u64,
            header,
            header_crc: crc,
            body,
            joint,
            dirty_padding,
        }
    }

    /// Judges the frame's place, and moves on to it unless it lies behind.
    fn join(&mut self, header: &FrameHeader, crc: u32) -> Joint {
        let joint = match self.tail.as_ref().map(|tail| (tail, tail.check_next(header))) {
            None | Some((_, Ok(()))) => Joint::Next,
            Some((tail, Err(fault))) if goes_on(tail, header) => Joint::Ahead(fault),
            Some((_, Err(fault))) => Joint::Stale(fault),
        };
        if !matches!(joint, Joint::Stale(_)) {
            self.tail = Some(after(header, crc));
        }
        joint
    }

    fn lost(&mut self, reason: codec::Error) -> Event {
        let at_byte = self.at as u64;
        let found = self.search(self.at + ALIGNMENT);
        self.at = found.unwrap_or(self.content_end);
        Event::Lost { at_byte, reason, until_byte: self.at as u64, is_found: found.is_some() }
    }

    /// Where the next proved header stands, from `from` on.
    fn search(&self, from: usize) -> Option<usize> {
        let places = (from.next_multiple_of(ALIGNMENT)..self.content_end).step_by(ALIGNMENT);
        let mut places = places.take_while(|at| at + HEADER_BYTES <= self.bytes.len());
        places.find(|at| FrameHeader::decode(&self.bytes[*at..]).is_ok())
    }
}

/// What the frame behind this one must connect to.
pub(crate) fn after(header: &FrameHeader, header_crc: u32) -> Tail {
    Tail {
        index: header.index,
        term: header.term,
        next_offset: header.next_offset(),
        last_timestamp: header.last_timestamp(),
        chain: header_crc,
    }
}

impl Iterator for Scan<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        if std::mem::take(&mut self.is_cut_off) {
            self.at = self.search(self.at).unwrap_or(self.content_end.max(self.at));
        }
        if self.at >= self.content_end {
            self.is_over = true;
            return Some(Event::End { at_byte: self.at as u64 });
        }
        match FrameHeader::decode(&self.bytes[self.at..]) {
            Ok(header) => Some(Event::Frame(self.frame(header))),
            Err(reason) => Some(self.lost(reason)),
        }
    }
}

/// Whether a frame may come later in the log of which `tail` was seen.
fn goes_on(tail: &Tail, header: &FrameHeader) -> bool {
    header.index > tail.index
        && header.term >= tail.term
        && header.first_offset >= tail.next_offset
        && header.first_timestamp >= tail.last_timestamp
}

/// Where the last byte that is not zero ends.
pub fn content_end(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    while end > 0 {
        let start = end.saturating_sub(ZEROS.len());
        let chunk = &bytes[start..end];
        if chunk != &ZEROS[..chunk.len()] {
            return start + chunk.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        }
        end = start;
    }
    0
}
