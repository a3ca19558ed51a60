//! The vote file: two slots of one sector each, written in turn, of which the newest valid one counts; and a third for the
//! synced mark.
//!
//! A torn write harms only the slot being written; the other still holds the vote before it, which is
//! the last one answered on. A file that never held a vote is all zeros; one that did never looks fresh. A file may end
//! behind the votes: then the log keeps no mark.
//!
//! | offset in slot of a vote | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `TMVT` |
//! | 4 | 2 | format version |
//! | 6 | 2 | reserved, zero |
//! | 8 | 4 | CRC, over bytes 12..80 and then 0..8 |
//! | 12 | 4 | reserved, zero |
//! | 16 | 8 | sequence: the higher slot is the newer |
//! | 24 | 8 | term |
//! | 32 | 8 | voted for, 0 for nobody |
//! | 40 | 8 | committed index |
//! | 48 | 8 | shard |
//! | 56 | 8 | replica |
//! | 64 | 16 | boot in which frames may stand unsynced, 0 for none |
//! | 80 | 432 | zero |

use std::path::Path;

use bytes::{Buf, BufMut};

use super::{Error, LogIdentity, SyncedMark, names};
use crate::codec::checksum;
use crate::disk::{BootId, Disk, DiskFile};
use crate::types::{Index, ReplicaId, Term, Vote};

/// One slot: a sector, which a disk writes whole or leaves torn in a way that its CRC shows.
pub const VOTE_SLOT_BYTES: u64 = 512;
/// The two slots of votes.
pub const VOTES_BYTES: u64 = 2 * VOTE_SLOT_BYTES;
/// The whole file: the slots of votes, then that of the synced mark.
pub const VOTE_FILE_BYTES: u64 = VOTES_BYTES + VOTE_SLOT_BYTES;
const USED_BYTES: usize = 80;
const MAGIC: u32 = u32::from_le_bytes(*b"TMVT");
const VERSION: u16 = 1;

/// No machine's boot: what was answered for may be gone in whatever boot this is.
const FORGOTTEN: BootId = BootId(u128::MAX);

/// The vote, and whose it is. The file is opened to write; none is held.
pub(super) struct VoteFile {
    identity: LogIdentity,
    vote: Vote,
    /// The boot in which frames were acknowledged before they were synced.
    volatile_in: Option<BootId>,
    sequence: u64,
    /// What the third slot says.
    mark: Option<SyncedMark>,
}

/// What one slot with a good CRC says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteSlot {
    pub sequence: u64,
    pub vote: Vote,
    /// The boot in which frames were acknowledged before they were synced.
    pub volatile_in: Option<BootId>,
    pub shard: u64,
    pub replica: u64,
    /// Nothing stands where no field is: a torn write leaves no such slot, so one that says otherwise has rotted.
    pub rest_is_zero: bool,
}

impl VoteFile {
    /// Makes the vote file with the vote of a replica that never voted, durably.
    pub(super) fn create(disk: &dyn Disk, folder: &Path, identity: &LogIdentity) -> Result<Self, Error> {
        let file = disk.create(&names::vote(folder), VOTE_FILE_BYTES)?;
        let (identity, vote) = (identity.clone(), Vote::default());
        let mut votes = Self { identity, vote, volatile_in: None, sequence: 0, mark: None };
        votes.save(&*file)?;
        file.sync()?;
        Ok(votes)
    }

    /// Reads the vote; `None` if there is no file.
    pub(super) fn open(
        disk: &dyn Disk,
        folder: &Path,
        identity: &LogIdentity,
    ) -> Result<Option<Self>, Error> {
        let path = names::vote(folder);
        let Some(bytes) = disk.read(&path)? else { return Ok(None) };
        let damaged = || Error::VoteDamaged { file: path.clone() };
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(Error::Unfinished { folder: folder.to_owned() });
        }
        // Half of the votes is one slot, which need not be the newer one.
        if ![VOTES_BYTES, VOTE_FILE_BYTES].contains(&(bytes.len() as u64)) {
            return Err(damaged());
        }
        let (votes, mark) = bytes.split_at(VOTES_BYTES as usize);
        let sealed = || votes.chunks(VOTE_SLOT_BYTES as usize).filter(|slot| is_sealed(slot));
        // What another version says must not pass for a torn slot: an older vote would count.
        if let Some(found) = sealed().map(version).find(|version| *version != VERSION) {
            return Err(Error::VoteVersion { file: path, found });
        }
        let slots: Vec<VoteSlot> = sealed().filter_map(VoteSlot::decode).collect();
        if !slots.iter().all(|slot| slot.rest_is_zero) {
            return Err(damaged());
        }
        let newest = slots.into_iter().max_by_key(|slot| slot.sequence).ok_or_else(damaged)?;
        if (newest.shard, newest.replica) != (identity.shard.0, identity.replica.0) {
            let name = |shard, replica| format!("replica {replica} of shard {shard}");
            return Err(Error::VoteIdentity {
                file: path,
                expected: name(identity.shard.0, identity.replica.0),
                found: name(newest.shard, newest.replica),
            });
        }
        let VoteSlot { vote, volatile_in, sequence, .. } = newest;
        let mark = SyncedMark::decode(mark);
        Ok(Some(Self { identity: identity.clone(), vote, volatile_in, sequence, mark }))
    }

    /// Writes both votes once more, over themselves, so that the next sync of the file covers them.
    pub(super) fn write_back(file: &dyn DiskFile) -> Result<(), Error> {
        Ok(file.write_at(0, &file.copy(0..VOTES_BYTES))?)
    }

    pub(super) fn vote(&self) -> Vote {
        self.vote
    }

    /// Whether frames may have stood unsynced in another boot of the machine than this.
    pub(super) fn may_have_forgotten(&self, boot: BootId) -> bool {
        self.volatile_in.is_some_and(|noted| noted != boot)
    }

    /// The synced mark that the file holds.
    pub(super) fn mark(&self) -> Option<SyncedMark> {
        self.mark
    }

    /// Writes the synced mark, if the file has room for one. It needs no sync.
    pub(super) fn save_mark(&mut self, file: &dyn DiskFile, mark: SyncedMark) -> Result<(), Error> {
        if file.size_bytes() == VOTE_FILE_BYTES {
            file.write_at(VOTES_BYTES, &mark.encode())?;
            self.mark = Some(mark);
        }
        Ok(())
    }

    /// Notes in which boot frames may stand unsynced, from the next `save` on.
    pub(super) fn note_volatile(&mut self, boot: Option<BootId>) {
        self.volatile_in = boot;
    }

    /// Notes that something that was answered for is gone, from the next `save` on.
    pub(super) fn note_forgotten(&mut self) {
        self.volatile_in = Some(FORGOTTEN);
    }

    /// Notes a vote, from the next `save` on.
    pub(super) fn note(&mut self, vote: Vote) {
        self.vote = vote;
    }

    /// Writes what was noted over the older slot of the vote's file. Sync it before the next one: two slots keep the vote
    /// that was answered on only while one of them is left alone.
    pub(super) fn save(&mut self, file: &dyn DiskFile) -> Result<(), Error> {
        let sequence = self.sequence + 1;
        let slot = encode_slot(&self.identity, sequence, self.vote, self.volatile_in);
        file.write_at((sequence % 2) * VOTE_SLOT_BYTES, &slot)?;
        self.sequence = sequence;
        Ok(())
    }
}

fn encode_slot(identity: &LogIdentity, sequence: u64, vote: Vote, boot: Option<BootId>) -> Vec<u8> {
    let mut slot = Vec::with_capacity(VOTE_SLOT_BYTES as usize);
    slot.put_u32_le(MAGIC);
    slot.put_u16_le(VERSION);
    slot.put_u16_le(0);
    slot.put_u64_le(0);
    slot.put_u64_le(sequence);
    slot.put_u64_le(vote.term.0);
    slot.put_u64_le(vote.voted_for.map_or(0, |replica| replica.0));
    slot.put_u64_le(vote.committed.0);
    slot.put_u64_le(identity.shard.0);
    slot.put_u64_le(identity.replica.0);
    slot.put_u128_le(boot.map_or(0, |boot| boot.0));
    let crc = checksum(&[&slot[12..USED_BYTES], &slot[..8]]);
    slot[8..12].copy_from_slice(&crc.to_le_bytes());
    slot.resize(VOTE_SLOT_BYTES as usize, 0);
    slot
}

/// Whether a slot was written whole, in any version of the format.
fn is_sealed(slot: &[u8]) -> bool {
    slot.len() >= USED_BYTES && {
        let crc = checksum(&[&slot[12..USED_BYTES], &slot[..8]]);
        slot[..4] == MAGIC.to_le_bytes() && slot[8..12] == crc.to_le_bytes()
    }
}

fn version(slot: &[u8]) -> u16 {
    u16::from_le_bytes([slot[4], slot[5]])
}

impl VoteSlot {
    /// Reads and proves a slot; `None` if it is torn, rotten, of another version or was never written.
    pub fn decode(slot: &[u8]) -> Option<Self> {
        if !is_sealed(slot) || version(slot) != VERSION {
            return None;
        }
        let mut b = &slot[6..USED_BYTES];
        let (reserved, _crc, reserved_too) = (b.get_u16_le(), b.get_u32_le(), b.get_u32_le());
        let (sequence, term, voted_for) = (b.get_u64_le(), Term(b.get_u64_le()), ReplicaId(b.get_u64_le()));
        let voted_for = Some(voted_for).filter(|replica| replica.0 != 0);
        let vote = Vote { term, voted_for, committed: Index(b.get_u64_le()) };
        let rest = slot[USED_BYTES..].iter().all(|byte| *byte == 0);
        let rest_is_zero = rest && reserved == 0 && reserved_too == 0;
        let (shard, replica, boot) = (b.get_u64_le(), b.get_u64_le(), BootId(b.get_u128_le()));
        let volatile_in = Some(boot).filter(|boot| boot.0 != 0);
        Some(Self { sequence, vote, volatile_in, shard, replica, rest_is_zero })
    }
}
