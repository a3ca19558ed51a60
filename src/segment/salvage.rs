//! Which frames of a damaged segment are lost, and the segment put together again from its own and its peers'.
//!
//! Knows nothing of peers. A frame names the one before it: its chain is that one's header CRC, which covers its body's.
//! So the segment is gone through from its end backwards, and a frame is taken, wherever it comes from, only if it is the
//! one that the frame behind it names. Invariant: what is written is what was there before the damage, or nothing is.

use std::collections::BTreeMap;

use super::file::{padded_len, slice_within, write_frames};
use super::recover::{Headers, Seen, next_frame};
use super::{Error, Extent, FrameFault, SegmentHead, Share, Tail};
use crate::codec::{self, Frame};
use crate::disk::DiskFile;
use crate::simulation::{Bug, is_planted};
use crate::types::Index;

/// Frames that are written at once.
const FRAMES_PER_WRITE: usize = 256;

/// What names a frame: its place in the log and the CRC of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameName {
    pub index: Index,
    pub header_crc: u32,
}

impl FrameName {
    pub fn of(frame: &Frame) -> Self {
        Self { index: frame.header.index, header_crc: frame.header_crc() }
    }
}

/// How far a segment's frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Up to the extent's last frame.
    Known,
    /// As far as the file itself tells, and at least as far as it says that frames were committed.
    Told,
}

/// A whole frame that stands in the file.
#[derive(Clone, Copy)]
struct Own {
    at_byte: u64,
    frame_len: usize,
    chain: u32,
}

enum Piece {
    Own(Own),
    Fetched(Frame),
}

/// A damaged segment, put together from its end backwards.
pub struct Salvage {
    start: Tail,
    own: BTreeMap<FrameName, Own>,
    /// The next frame to be had.
    wanted: FrameName,
    /// What was had, the last frame first.
    pieces: Vec<Piece>,
    /// What this was begun from; behind it only the file's own frames follow.
    end: FrameName,
    /// Where the end is only told: what is committed at least. A peer's committed frame there is this segment's.
    committed: Option<Index>,
    fetched: u64,
}

impl Salvage {
    /// Looks through a segment. `None`: it tells nothing of what it lost.
    pub fn survey(file: &dyn DiskFile, extent: &Extent, end: End) -> Option<Self> {
        let head_bytes = u64::from(extent.head_bytes);
        let (end, committed) = match end {
            End::Known => (FrameName { index: extent.last, header_crc: extent.end_chain }, None),
            End::Told => told_end(file, extent).map(|(end, committed)| (end, Some(committed)))?,
        };
        let seen = Headers::of(file.slice(head_bytes..file.size_bytes())).filter(|seen| seen.is_whole);
        let own = seen.map(|seen| {
            let name = FrameName { index: seen.header.index, header_crc: seen.header_crc };
            let (frame_len, chain) = (seen.header.frame_len(), seen.header.chain);
            (name, Own { at_byte: head_bytes + seen.at_byte, frame_len, chain })
        });
        let (start, own) = (extent.start, own.collect());
        let mut salvage = Self { start, own, wanted: end, pieces: Vec::new(), end, committed, fetched: 0 };
        salvage.go_back();
        Some(salvage)
    }

    /// Whether every frame is there.
    pub fn is_whole(&self) -> bool {
        self.wanted.index == self.start.index && self.wanted.header_crc == self.start.chain
    }

    /// Whether nothing that comes can make it whole: what it was begun from is no end of this segment.
    pub fn is_contradicted(&self) -> bool {
        self.wanted.index <= self.start.index && !self.is_whole()
    }

    /// The frames that are to be had next, first and last; the last comes first.
    pub fn lost(&self) -> (Index, Index) {
        let before = self.own.range(..FrameName { header_crc: 0, ..self.wanted }).next_back();
        let before = before.map_or(self.start.index, |(name, _)| name.index.max(self.start.index));
        (before.plus(1).min(self.wanted.index), self.wanted.index)
    }

    /// How many frames were fetched so far.
    pub fn fetched(&self) -> u64 {
        self.fetched
    }

    /// Takes a frame if it is the one that is wanted.
    pub fn take(&mut self, frame: Frame) -> bool {
        let name = FrameName::of(&frame);
        let is_wanted = name == self.wanted && self.wanted.index > self.start.index;
        if is_wanted {
            self.place(frame.header.chain, Piece::Fetched(frame));
            self.fetched += 1;
            self.go_back();
        }
        is_wanted
    }

    /// Where nobody has what this was begun from: the frame whose commitment a witness told of, to begin from instead. What
    /// stood behind it was never committed, as far as the segment tells: a tail that was not synced.
    pub fn fall_back(&mut self) -> Option<Index> {
        let committed = self.committed.filter(|committed| *committed < self.end.index)?;
        self.pieces.clear();
        self.wanted = FrameName { index: committed, header_crc: 0 };
        Some(committed)
    }

    /// Begins from a frame that a peer knows to be committed.
    pub fn begin_from_committed(&mut self, frame: &Frame) {
        self.end = FrameName::of(frame);
        self.wanted = self.end;
        self.go_back();
    }

    /// Where what is lost is nowhere any more, trimmed by all: the segment then ends before it. What stood there, and behind it, may
    /// have been answered for.
    pub fn end_before_loss(&mut self) {
        self.pieces.clear();
        self.wanted = FrameName { index: self.start.index, header_crc: self.start.chain };
        // From its start on, the file's own frames follow as far as they go.
        self.end = self.wanted;
        self.committed.get_or_insert(self.start.index);
    }

    fn go_back(&mut self) {
        while self.wanted.index > self.start.index
            && let Some(own) = self.own.get(&self.wanted).copied()
        {
            self.place(own.chain, Piece::Own(own));
        }
    }

    fn place(&mut self, chain: u32, piece: Piece) {
        self.pieces.push(piece);
        self.wanted = FrameName { index: self.wanted.index.before(), header_crc: chain };
    }

    /// Writes the segment, whole, into a file of zeros, and syncs it; proves it once more on the way.
    pub fn write(&self, old: &dyn DiskFile, new: &dyn DiskFile, extent: &Extent) -> Result<Index, Error> {
        let head = prove_head(old, extent)?;
        new.write_at(0, &head)?;
        if is_planted(Bug::RepairKeepsDamage) {
            new.write_at(0, &old.copy(0..old.size_bytes()))?;
            new.sync()?;
            return Ok(self.end.index);
        }
        let (mut tail, mut at, mut end) = (self.start, head.len() as u64, head.len() as u64);
        let mut frames = Vec::new();
        for piece in self.pieces.iter().rev() {
            let frame = read(old, piece, &tail)?;
            end = check_room(new, end, &frame)?;
            tail.check_next(&frame.header).map_err(|fault| damaged(old, end, &tail, fault))?;
            tail.advance(&frame.header, frame.header_crc());
            frames.push(frame);
            if frames.len() == FRAMES_PER_WRITE {
                write_frames(new, at, &frames)?;
                (at, frames) = (end, Vec::new());
            }
        }
        if self.committed.is_some() {
            while let Some(own) = self.own_behind(&tail) {
                let frame = read(old, &Piece::Own(own), &tail)?;
                if tail.check_next(&frame.header).is_err() {
                    break;
                }
                end = check_room(new, end, &frame)?;
                tail.advance(&frame.header, frame.header_crc());
                frames.push(frame);
            }
        }
        write_frames(new, at, &frames)?;
        new.sync()?;
        Ok(tail.index)
    }

    /// The whole frame that names this tail as the one before it.
    fn own_behind(&self, tail: &Tail) -> Option<Own> {
        let next = tail.index.plus(1);
        let all = FrameName { index: next, header_crc: 0 }..=FrameName { index: next, header_crc: u32::MAX };
        self.own.range(all).map(|(_, own)| *own).find(|own| own.chain == tail.chain)
    }
}

/// The head's bytes, if they are those that were written.
fn prove_head(old: &dyn DiskFile, extent: &Extent) -> Result<Vec<u8>, Error> {
    let head = old.copy(0..u64::from(extent.head_bytes));
    let decoded = SegmentHead::decode(&head);
    let (computed, found) = (SegmentHead::crc_of(&head), extent.head_crc);
    let reason = match decoded {
        Ok(_) if computed == found => return Ok(head),
        Ok(_) => codec::Error::HeaderCrc { found, computed },
        Err(reason) => reason,
    };
    Err(Error::Head { file: old.path().to_owned(), reason })
}

fn check_room(new: &dyn DiskFile, end: u64, frame: &Frame) -> Result<u64, Error> {
    let next = end + padded_len(frame.header.frame_len());
    if next <= new.size_bytes() {
        return Ok(next);
    }
    let (needed, available) = (frame.header.frame_len(), (new.size_bytes() - end) as usize);
    let reason = FrameFault::Codec(codec::Error::Short { needed, available });
    Err(Error::Damaged { file: new.path().to_owned(), at_byte: end, index: frame.header.index, reason })
}

fn damaged(old: &dyn DiskFile, at_byte: u64, tail: &Tail, reason: impl Into<FrameFault>) -> Error {
    let (file, index) = (old.path().to_owned(), tail.index.plus(1));
    Error::Damaged { file, at_byte, index, reason: reason.into() }
}

fn read(old: &dyn DiskFile, piece: &Piece, tail: &Tail) -> Result<Frame, Error> {
    match piece {
        Piece::Fetched(frame) => Ok(frame.clone()),
        Piece::Own(Own { at_byte, frame_len, .. }) => {
            let range = *at_byte..at_byte + *frame_len as u64;
            let frame = slice_within(old, range, Share::Copy).and_then(|mut bytes| {
                let body = bytes.split_off(codec::HEADER_BYTES);
                Frame::decode(bytes, body)
            });
            frame.map_err(|reason| damaged(old, *at_byte, tail, reason))
        }
    }
}

/// The frame to begin from, and how far frames behind the first bad one say that all was committed. The witness that says
/// most names those before it, whole or not, as far as their headers stand; a header that it does not name may be one of
/// another history, which a truncation had not yet overwritten.
fn told_end(file: &dyn DiskFile, extent: &Extent) -> Option<(FrameName, Index)> {
    let (mut tail, mut at) = (extent.start, u64::from(extent.head_bytes));
    let content = file.slice(0..file.size_bytes());
    while let Ok((header, crc)) = next_frame(&content, at, &tail) {
        tail.advance(&header, crc);
        at += padded_len(header.frame_len());
    }
    let seen = Headers::of(content.slice(at as usize..));
    let behind: BTreeMap<FrameName, (Index, u32)> = seen
        .filter(|seen| seen.header.index > tail.index)
        .map(|Seen { header, header_crc, .. }| {
            (FrameName { index: header.index, header_crc }, (header.committed, header.chain))
        })
        .collect();
    let witnesses =
        behind.iter().filter(|(name, (committed, _))| *committed > tail.index && *committed < name.index);
    // The first of those that say most.
    let (witness, (committed, _)) = witnesses.rev().max_by_key(|(_, (committed, _))| *committed)?;
    let mut end = *witness;
    while end.index > *committed {
        let named = FrameName { index: end.index.before(), header_crc: behind[&end].1 };
        if !behind.contains_key(&named) {
            break;
        }
        end = named;
    }
    Some((end, *committed))
}
