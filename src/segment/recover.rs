//! Recovery of a log's last segment after a crash: what is proved stays, an unsynced tail is cut, rot is
//! named and left as it is. The rule and its argument are in `docs/SEGMENT_FORMAT.md`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::file::{header_crc, padded_len, slice_within};
use super::mark::Marks;
use super::{Error, Extent, FrameFault, Segment, SegmentHead, Share, Tail};
use crate::codec::{self, FrameHeader, HEADER_BYTES, ShardState, check_body_crc};
use crate::disk::DiskFile;
use crate::simulation::{Bug, is_planted};
use crate::types::Index;

const CHUNK_BYTES: u64 = 64 << 10;
const ZEROS: &[u8] = &[0; CHUNK_BYTES as usize];

/// An unsynced tail that is cut off: these bytes are to be zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTail {
    pub file: PathBuf,
    pub at_byte: u64,
    pub bytes: u64,
    /// The last frame that was kept.
    pub after: Index,
    pub reason: FrameFault,
}

/// A recovered segment, ready for appends once its cut tail is cleared and its file synced.
pub struct Recovered {
    pub segment: Segment,
    /// The state after its last frame.
    pub state: ShardState,
    pub cut: Option<CutTail>,
    pub frames: u64,
    pub bytes: u64,
}

/// Scans a log's last segment frame by frame, and writes nothing: what it cuts is the caller's to clear. With `was_volatile`, its frames were
/// answered for without a sync and the memory that held them is gone: then a bad one is no sign of rot.
pub fn recover(
    file: Arc<dyn DiskFile>,
    head: SegmentHead,
    mut extent: Extent,
    was_volatile: bool,
) -> Result<Recovered, Error> {
    let head_bytes = u64::from(extent.head_bytes);
    let (mut state, mut at) = (head.state, head_bytes);
    let (mut marks, mut frames) = (Marks::default(), 0);
    let content = file.slice(0..file.size_bytes());
    let fault = loop {
        match next_frame(&content, at, &Tail::from(&state)) {
            Ok((header, crc)) => {
                marks.note(&header, crc, at);
                frames += 1;
                state.fold(&header, crc);
                at += padded_len(header.frame_len());
            }
            Err(fault) => break fault,
        }
    };
    let cut = cut_tail(&*file, at, state.index, fault, was_volatile)?;
    (extent.last, extent.end_chain) = (state.index, state.chain);
    let segment = Segment::active(file, extent, marks, at);
    Ok(Recovered { segment, state, cut, frames, bytes: at - head_bytes })
}

/// The header, and its CRC, of the whole frame at `at` in a segment's bytes that follows `tail`.
pub(super) fn next_frame(bytes: &[u8], at: u64, tail: &Tail) -> Result<(FrameHeader, u32), FrameFault> {
    let rest = bytes.get(at as usize..).unwrap_or_default();
    let header = FrameHeader::decode(rest)?;
    tail.check_next(&header)?;
    let (needed, available) = (header.frame_len(), rest.len());
    let body = rest.get(HEADER_BYTES..needed).ok_or(codec::Error::Short { needed, available })?;
    check_body_crc(body, header.body_crc)?;
    Ok((header, header_crc(rest)))
}

/// What stands behind the last good frame and is to be cut, unless it proves that something was lost.
fn cut_tail(
    file: &dyn DiskFile,
    at: u64,
    after: Index,
    reason: FrameFault,
    was_volatile: bool,
) -> Result<Option<CutTail>, Error> {
    let Some(end) = end_of_content(file, at) else { return Ok(None) };
    let index = after.plus(1);
    if let FrameFault::Codec(reason) = &reason
        && slice_within(file, at..at + HEADER_BYTES as u64, Share::Map)
            .is_ok_and(|it| FrameHeader::is_sealed(&it))
        && !matches!(reason, codec::Error::BodyCrc { .. } | codec::Error::Short { .. })
    {
        // No torn write has a checksum that holds: another version of the format wrote it.
        let (file, reason) = (file.path().to_owned(), reason.clone());
        return Err(Error::Unreadable { file, at_byte: at, index, reason });
    }
    let judges = !was_volatile && !is_planted(Bug::RotAsCleanEnd);
    let witness = if judges { committed_witness(file, at, index) } else { None };
    if let Some((witness_at_byte, witness)) = witness {
        let file = file.path().to_owned();
        let (committed, witness) = (witness.committed, witness.index);
        return Err(Error::Rot { file, at_byte: at, index, reason, witness, witness_at_byte, committed });
    }
    Ok(Some(CutTail { file: file.path().to_owned(), at_byte: at, bytes: end - at, after, reason }))
}

/// The first later frame that says the frame `index`, which is bad, was committed.
fn committed_witness(file: &dyn DiskFile, at: u64, index: Index) -> Option<(u64, FrameHeader)> {
    let rest = file.slice(at..file.size_bytes());
    let witness = Headers::of(rest).find(|seen| seen.header.index > index && seen.header.committed >= index);
    witness.map(|seen| (at + seen.at_byte, seen.header))
}

/// Whether any whole frame stands in a file without a good head, and where.
pub fn holds_whole_frame(file: &dyn DiskFile) -> Option<u64> {
    Headers::of(file.slice(0..file.size_bytes())).find(|seen| seen.is_whole).map(|seen| seen.at_byte)
}

/// Whether a file is all zeros: prepared, never used.
pub fn is_blank(file: &dyn DiskFile) -> bool {
    end_of_content(file, 0).is_none()
}

/// Where the last non-zero byte from `at` on ends.
fn end_of_content(file: &dyn DiskFile, at: u64) -> Option<u64> {
    let mut end = file.size_bytes();
    while end > at {
        let start = end.saturating_sub(CHUNK_BYTES).max(at);
        let chunk = file.slice(start..end);
        if chunk[..] != ZEROS[..chunk.len()] {
            let last = chunk.iter().rposition(|byte| *byte != 0).expect("the chunk is not all zeros");
            return Some(start + last as u64 + 1);
        }
        end = start;
    }
    None
}

fn whole(bytes: &Bytes, at: u64, header: &FrameHeader) -> bool {
    let body = at as usize + HEADER_BYTES..at as usize + header.frame_len();
    bytes.get(body).is_some_and(|body| codec::checksum(&[body]) == header.body_crc)
}

/// A proved header, and where it stands.
pub(super) struct Seen {
    pub(super) at_byte: u64,
    pub(super) header: FrameHeader,
    pub(super) header_crc: u32,
    /// Its body is there, too.
    pub(super) is_whole: bool,
}

/// Every proved header at a multiple of 8, wherever it stands. The bodies of whole frames are stepped over:
/// a record's value may hold a frame.
pub(super) struct Headers {
    bytes: Bytes,
    next: usize,
}

impl Headers {
    pub(super) fn of(bytes: Bytes) -> Self {
        Self { bytes, next: 0 }
    }
}

impl Iterator for Headers {
    type Item = Seen;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next + HEADER_BYTES <= self.bytes.len() {
            let at = self.next;
            self.next += 8;
            if let Ok(header) = FrameHeader::decode(&self.bytes[at..]) {
                let is_whole = whole(&self.bytes, at as u64, &header);
                if is_whole {
                    self.next = at + padded_len(header.frame_len()) as usize;
                }
                let header_crc = header_crc(&self.bytes[at..]);
                return Some(Seen { at_byte: at as u64, header, header_crc, is_whole });
            }
        }
        None
    }
}
