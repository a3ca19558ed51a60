//! The synced mark: up to which frame the active segment is on the disk, as one run of the machine knows it.
//!
//! An opening writes back what the page cache shows and no mark proves. The mark stands in the third slot of the vote
//! file and is not synced for its own sake: it has to outlive the process, not the machine. Knows nothing of who syncs.
//! Invariants: what a mark names was handed to a sync that ended well, or is what an opening synced; no byte below it is
//! written while it stands; whoever writes to a segment has marked the run of the machine before. The argument is in
//! `docs/SEGMENT_FORMAT.md`.
//!
//! | offset in slot | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `TMSY` |
//! | 4 | 2 | format version |
//! | 6 | 2 | reserved, zero |
//! | 8 | 4 | CRC, over bytes 12..56 and then 0..8 |
//! | 12 | 4 | chain: the header CRC of the last synced frame |
//! | 16 | 16 | boot in which it was written |
//! | 32 | 8 | number of the segment; 0 if nothing is known as synced |
//! | 40 | 8 | index of the last synced frame |
//! | 48 | 8 | end of that frame in the segment, padding included |
//! | 56 | 456 | zero |

use bytes::{Buf, BufMut};

use super::append::Held;
use super::{Error, Log, VOTE_SLOT_BYTES};
use crate::codec::checksum;
use crate::disk::BootId;
use crate::simulation::{Limit, limit};
use crate::types::Index;

/// What is synced behind the mark before it moves: an opening writes back so much in vain at most.
const STEP_BYTES: u64 = 256 << 10;
const USED_BYTES: usize = 56;
const MAGIC: u32 = u32::from_le_bytes(*b"TMSY");
const VERSION: u16 = 1;

/// A frame up to which a segment is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncedMark {
    /// The run of the machine that knows it.
    pub boot: BootId,
    /// The segment's number; 0: nothing is known as synced.
    pub number: u64,
    /// The last synced frame; where none is, the one before the segment's first.
    pub last: Index,
    /// Where it ends, padding included.
    pub end_byte: u64,
    /// Its header CRC, and so a name of all frames up to it.
    pub chain: u32,
}

impl SyncedMark {
    /// Says only that this run of the machine may have written.
    pub(super) fn nothing(boot: BootId) -> Self {
        Self { boot, number: 0, last: Index(0), end_byte: 0, chain: 0 }
    }

    /// Reads and proves a slot; `None` if it is torn, rotten, of another version or was never written.
    pub fn decode(slot: &[u8]) -> Option<Self> {
        let (used, rest) = slot.split_at_checked(USED_BYTES)?;
        let mut b = used;
        let (magic, version, reserved) = (b.get_u32_le(), b.get_u16_le(), b.get_u16_le());
        let is_proved = b.get_u32_le() == checksum(&[&used[12..], &used[..8]]);
        let rest_is_zero = reserved == 0 && rest.iter().all(|byte| *byte == 0);
        if (magic, version) != (MAGIC, VERSION) || !is_proved || !rest_is_zero {
            return None;
        }
        let (chain, boot, number) = (b.get_u32_le(), BootId(b.get_u128_le()), b.get_u64_le());
        Some(Self { boot, number, last: Index(b.get_u64_le()), end_byte: b.get_u64_le(), chain })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut slot = Vec::with_capacity(VOTE_SLOT_BYTES as usize);
        slot.put_u32_le(MAGIC);
        slot.put_u16_le(VERSION);
        slot.put_u16_le(0);
        slot.put_u32_le(0);
        slot.put_u32_le(self.chain);
        slot.put_u128_le(self.boot.0);
        slot.put_u64_le(self.number);
        slot.put_u64_le(self.last.0);
        slot.put_u64_le(self.end_byte);
        let crc = checksum(&[&slot[12..USED_BYTES], &slot[..8]]);
        slot[8..12].copy_from_slice(&crc.to_le_bytes());
        slot.resize(VOTE_SLOT_BYTES as usize, 0);
        slot
    }
}

/// How far a log's active segment is synced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Synced {
    pub(super) boot: BootId,
    /// What the sync of the files taken last proves, once it has ended well.
    pub(super) taken: Option<SyncedMark>,
    /// What syncs have proved.
    pub(super) proved: Option<SyncedMark>,
}

impl Synced {
    pub(super) fn nothing(boot: BootId) -> Self {
        Self { boot, taken: None, proved: None }
    }
}

impl Log {
    /// The sync of the files that `take_dirty` gave last has ended well.
    pub fn note_synced(&mut self) {
        let active = self.segments.last().expect("a log has a segment").number;
        let Some(proved) = self.synced.taken.take().filter(|taken| taken.number == active) else { return };
        self.synced.proved = Some(proved);
        let marked = self.votes.mark().filter(|mark| mark.number == active);
        let behind = proved.end_byte.saturating_sub(marked.map_or(0, |mark| mark.end_byte));
        if behind >= limit(Limit::SyncedMarkBytes, STEP_BYTES) {
            self.mark_synced();
        }
    }

    /// Marks all that is known as synced, however little: the log is closed in good order.
    pub fn mark_synced(&mut self) {
        let active = self.segments.last().expect("a log has a segment").number;
        let proved = self.synced.proved.filter(|proved| proved.number == active);
        if let Some(proved) = proved.filter(|proved| self.votes.mark() != Some(*proved)) {
            // A mark that is not written costs the next opening time, nothing else.
            let _ = self.write_mark(proved);
        }
    }

    /// Frames that may be marked are about to be overwritten: nothing is known as synced until a sync has ended that
    /// was taken afterwards.
    pub(super) fn unmark(&mut self) -> Result<(), Error> {
        self.synced = Synced::nothing(self.synced.boot);
        self.write_mark(SyncedMark::nothing(self.synced.boot))
    }

    fn write_mark(&mut self, mark: SyncedMark) -> Result<(), Error> {
        let file = self.files.vote(&self.folder)?;
        self.votes.save_mark(&*file, mark)
    }

    /// The active segment as it is now.
    pub(super) fn end(&self) -> SyncedMark {
        let Held { number, segment } = self.segments.last().expect("a log has a segment");
        let (last, chain) = (segment.last_index(), segment.extent().end_chain);
        SyncedMark { boot: self.synced.boot, number: *number, last, end_byte: segment.end(), chain }
    }

    /// Up to which byte of the active segment, just recovered, page cache and disk show the same, by what the mark says.
    pub(super) fn synced_before(&self) -> Result<u64, Error> {
        let Held { number, segment } = self.segments.last().expect("a log has a segment");
        let Some(mark) = self.votes.mark() else { return Ok(0) };
        if mark.boot != self.synced.boot {
            // Nobody wrote in this run of the machine, so that what is read comes from the disk.
            return Ok(segment.end());
        }
        let is_held = segment.start().index <= mark.last && mark.last <= segment.last_index();
        if mark.number != *number || !is_held {
            return Ok(0);
        }
        let is_met = segment.reader().end_of(mark.last)? == (mark.end_byte, mark.chain);
        Ok(if is_met { mark.end_byte } else { 0 })
    }
}
