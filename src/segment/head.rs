//! A segment's head: whose frames follow, and the shard's state before the first of them.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `TMSG` |
//! | 4 | 2 | format version |
//! | 6 | 2 | length of the cluster id |
//! | 8 | 4 | head CRC, over bytes 12..head length and then 0..8 |
//! | 12 | 4 | head length, a multiple of 4096 |
//! | 16 | 4 | length of the shard state |
//! | 20 | 4 | flags: 1 the log begins here; others zero, 2 reserved for tiering |
//! | 24 | 8 | topic |
//! | 32 | 8 | shard |
//! | 40 | 8 | replica |
//! | 48 | 8 | first index |
//! | 56 | 4 | number of the segment before this one, 0 if there was none |
//! | 60 | 4 | size of the file, in units of 4096 bytes |
//! | 64 | 32 | cluster id, zero-padded |
//! | 96 | .. | shard state (codec's `ShardState`), zeros to the head's end |

use std::path::Path;

use bytes::{Buf, BufMut, BytesMut};

use super::Error;
use crate::codec::{self, ShardState};
use crate::disk::DiskFile;
use crate::types::{ClusterId, Index, ReplicaId, ShardId, TopicId};

/// Heads are a multiple of this; most are exactly this.
pub const HEAD_BYTES_MIN: u64 = 4096;
/// More than a full state takes: bounds what a foreign head may claim.
const HEAD_BYTES_MAX: u64 = 1 << 20;
const MAGIC: u32 = u32::from_le_bytes(*b"TMSG");
const VERSION: u16 = 1;
const CLUSTER_AT: usize = 64;
const STATE_AT: usize = 96;
const FLAG_BEGINS_LOG: u32 = 1;

/// Whose segment it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIdentity {
    pub cluster: ClusterId,
    pub topic: TopicId,
    pub shard: ShardId,
    pub replica: ReplicaId,
}

/// What stands before a segment's frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    pub identity: SegmentIdentity,
    /// The state before the segment's first frame.
    pub state: ShardState,
    /// The log begins here: segments with lower numbers are no part of it any more.
    pub begins_log: bool,
    /// The number of the segment that this one goes on from; 0 if it goes on from none.
    pub previous: u64,
    /// The size of its file, a multiple of 4096; known once it is created.
    pub file_bytes: u64,
}

impl SegmentHead {
    pub fn first_index(&self) -> Index {
        self.state.index.plus(1)
    }

    /// The head's bytes, padded.
    pub fn encode(&self) -> Vec<u8> {
        let state = self.state.encode();
        let len = (STATE_AT + state.len()).next_multiple_of(HEAD_BYTES_MIN as usize);
        let cluster = self.identity.cluster.as_str().as_bytes();
        let mut bytes = BytesMut::with_capacity(len);
        bytes.put_u32_le(MAGIC);
        bytes.put_u16_le(VERSION);
        bytes.put_u16_le(cluster.len() as u16);
        bytes.put_u32_le(0);
        bytes.put_u32_le(len as u32);
        bytes.put_u32_le(state.len() as u32);
        bytes.put_u32_le(if self.begins_log { FLAG_BEGINS_LOG } else { 0 });
        bytes.put_u64_le(self.identity.topic.0);
        bytes.put_u64_le(self.identity.shard.0);
        bytes.put_u64_le(self.identity.replica.0);
        bytes.put_u64_le(self.first_index().0);
        bytes.put_u32_le(u32::try_from(self.previous).expect("fewer than four billion segments"));
        assert!(self.file_bytes.is_multiple_of(HEAD_BYTES_MIN), "a segment's file is whole pages");
        bytes.put_u32_le(u32::try_from(self.file_bytes / HEAD_BYTES_MIN).expect("a file is under 16 TiB"));
        bytes.put_slice(cluster);
        bytes.resize(STATE_AT, 0);
        bytes.put_slice(&state);
        bytes.resize(len, 0);
        let crc = head_crc(&bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes.into()
    }

    /// Reads and proves the head at the start of `bytes`; also gives its length.
    pub fn decode(bytes: &[u8]) -> Result<(Self, u64), codec::Error> {
        let short = |needed| codec::Error::Short { needed, available: bytes.len() };
        let mut b = bytes.get(..STATE_AT).ok_or_else(|| short(STATE_AT))?;
        let magic = b.get_u32_le();
        if magic != MAGIC {
            return Err(codec::Error::Magic { found: magic });
        }
        let version = b.get_u16_le();
        if version != VERSION {
            return Err(codec::Error::Version { found: version });
        }
        let (cluster_len, found) = (usize::from(b.get_u16_le()), b.get_u32_le());
        let (len, state_len, flags) = (b.get_u32_le() as usize, b.get_u32_le() as usize, b.get_u32_le());
        if len as u64 > HEAD_BYTES_MAX || !(len as u64).is_multiple_of(HEAD_BYTES_MIN) || len == 0 {
            return Err(codec::Error::Field { field: "head length", found: len as u64 });
        }
        let head = bytes.get(..len).ok_or_else(|| short(len))?;
        let computed = head_crc(head);
        if found != computed {
            return Err(codec::Error::HeaderCrc { found, computed });
        }
        let (topic, shard, replica) =
            (TopicId(b.get_u64_le()), ShardId(b.get_u64_le()), ReplicaId(b.get_u64_le()));
        let (first_index, previous, pages) = (b.get_u64_le(), b.get_u32_le(), b.get_u32_le());
        if flags & !FLAG_BEGINS_LOG != 0 {
            return Err(codec::Error::Field { field: "flags", found: flags.into() });
        }
        let cluster = b.get(..cluster_len).and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
        let cluster =
            cluster.ok_or(codec::Error::Field { field: "cluster id length", found: cluster_len as u64 })?;
        let state_end = STATE_AT + state_len;
        let state = head.get(STATE_AT..state_end).ok_or_else(|| short(state_end))?;
        let state = ShardState::decode(state)?;
        let unnamed = head[CLUSTER_AT + cluster_len..STATE_AT].iter().chain(&head[state_end..]);
        if let Some(byte) = unnamed.into_iter().find(|byte| **byte != 0) {
            return Err(codec::Error::Field { field: "padding of the head", found: (*byte).into() });
        }
        if first_index != state.index.plus(1).0 {
            return Err(codec::Error::Field { field: "first index", found: first_index });
        }
        let identity = SegmentIdentity { cluster, topic, shard, replica };
        let (begins_log, previous) = (flags & FLAG_BEGINS_LOG != 0, previous.into());
        let file_bytes = u64::from(pages) * HEAD_BYTES_MIN;
        Ok((Self { identity, state, begins_log, previous, file_bytes }, len as u64))
    }

    /// The CRC that an encoded head carries.
    pub fn crc_of(encoded: &[u8]) -> u32 {
        u32::from_le_bytes(encoded[8..12].try_into().expect("four bytes"))
    }

    /// Whether the first sector of a file without a good head may be what a crash left of a head that was being written:
    /// nothing, or a beginning of this format. Anything else is not this format's file.
    pub fn may_be_torn(start: &[u8]) -> bool {
        let mut ours = [0; 6];
        ours[..4].copy_from_slice(&MAGIC.to_le_bytes());
        ours[4..].copy_from_slice(&VERSION.to_le_bytes());
        start.get(..6).is_none_or(|found| found == ours || found == [0; 6])
    }

    /// Reads and proves a file's head; also gives its length.
    pub fn read(file: &dyn DiskFile) -> Result<(Self, u64), codec::Error> {
        let start = file.copy(0..file.size_bytes().min(HEAD_BYTES_MIN));
        match Self::decode(&start) {
            Err(codec::Error::Short { needed, .. }) if needed as u64 <= file.size_bytes() => {
                Self::decode(&file.copy(0..needed as u64))
            }
            decoded => decoded,
        }
    }

    /// Refuses a file that does not have the size it was made with.
    pub fn check_size(&self, file: &Path, found: u64) -> Result<(), Error> {
        let expected = self.file_bytes;
        if found == expected {
            return Ok(());
        }
        Err(Error::Size { file: file.to_owned(), expected, found })
    }

    /// Refuses a file under a number that is not its own: a segment goes on from one with a lower number.
    pub fn check_place(&self, file: &Path, number: u64) -> Result<(), Error> {
        if self.previous < number {
            return Ok(());
        }
        let (expected, found) = (number.saturating_sub(1), self.previous);
        Err(Error::Gap { file: file.to_owned(), field: "previous segment", expected, found })
    }

    /// Refuses a segment of another cluster, topic, shard or replica.
    pub fn check_identity(&self, file: &Path, expected: &SegmentIdentity) -> Result<(), Error> {
        let found = &self.identity;
        let fields = [
            ("cluster", expected.cluster.to_string(), found.cluster.to_string()),
            ("topic", expected.topic.to_string(), found.topic.to_string()),
            ("shard", expected.shard.to_string(), found.shard.to_string()),
            ("replica", expected.replica.to_string(), found.replica.to_string()),
        ];
        match fields.into_iter().find(|(_, expected, found)| expected != found) {
            None => Ok(()),
            Some((field, expected, found)) => {
                Err(Error::Identity { file: file.to_owned(), field, expected, found })
            }
        }
    }
}

fn head_crc(head: &[u8]) -> u32 {
    codec::checksum(&[&head[12..], &head[..8]])
}
