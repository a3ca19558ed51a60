//! The frame: a fixed header of 128 bytes, then the body. One frame is one Raft entry is one batch.
//!
//! The body CRC is the producer's and covers the body as stored; the header CRC is the leader's and
//! covers everything else of the header, so the body CRC and the chain too. The chain is the header
//! CRC of the previous frame, which makes a log with a frame swapped or left out detectable.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `TMBL` |
//! | 4 | 2 | format version |
//! | 6 | 1 | kind |
//! | 7 | 1 | compression |
//! | 8 | 4 | header CRC, over bytes 12..128 and then 0..8 |
//! | 12 | 4 | body CRC |
//! | 16 | 4 | body length, bytes |
//! | 20 | 4 | record count |
//! | 24 | 8 | term |
//! | 32 | 8 | index |
//! | 40 | 8 | first offset |
//! | 48 | 8 | first timestamp, ns |
//! | 56 | 8 | uncertainty at stamping, ns |
//! | 64 | 8 | the leader's committed index when stamping |
//! | 72 | 8 | producer id |
//! | 80 | 8 | producer sequence |
//! | 88 | 4 | producer epoch |
//! | 92 | 4 | chain: header CRC of the previous frame |
//! | 96 | 8 | of a trim frame: the first index kept; else zero |
//! | 104 | 24 | reserved, zero: for encryption, 4 of a key id and, from 112 on, 16 of a nonce |

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Compression, Error};
use crate::types::{BatchId, ClusterId, Index, Offset, ProducerId, ShardId, Term, Timestamp};

/// Size of a frame header.
pub const HEADER_BYTES: usize = 128;
/// The largest body a frame may have, as stored and as its producer filled it.
pub const BODY_BYTES_MAX: usize = 4 << 20;

const MAGIC: u32 = u32::from_le_bytes(*b"TMBL");
const VERSION: u16 = 1;
const RESERVED_AT: usize = 104;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    Data = 1,
    LeaderStart = 2,
    Membership = 3,
    Trim = 4,
    ProducerFence = 5,
    OrderMark = 6,
    // 7, 8, 9: cross-shard prepare, commit, abort; 10: cursors. Reserved.
}

impl FrameKind {
    fn decode(byte: u8) -> Result<Self, Error> {
        Ok(match byte {
            1 => Self::Data,
            2 => Self::LeaderStart,
            3 => Self::Membership,
            4 => Self::Trim,
            5 => Self::ProducerFence,
            6 => Self::OrderMark,
            other => return Err(Error::Field { field: "kind", found: other.into() }),
        })
    }
}

/// A frame's header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub kind: FrameKind,
    pub compression: Compression,
    pub body_crc: u32,
    pub body_len: u32,
    pub record_count: u32,
    pub term: Term,
    pub index: Index,
    pub first_offset: Offset,
    pub first_timestamp: Timestamp,
    pub uncertainty_ns: u64,
    pub committed: Index,
    pub batch: BatchId,
    pub chain: u32,
    /// Of a trim frame: the first entry that is kept. Of all others: 0.
    pub start: Index,
}

impl FrameHeader {
    /// The offset of the first record after this frame.
    pub fn next_offset(&self) -> Offset {
        self.first_offset.plus(self.record_count.into())
    }

    /// The timestamp of this frame's last record; of a frame without records, its own timestamp.
    pub fn last_timestamp(&self) -> Timestamp {
        self.first_timestamp.plus_ns(u64::from(self.record_count.saturating_sub(1)))
    }

    /// Bytes of header and body together.
    pub fn frame_len(&self) -> usize {
        HEADER_BYTES + self.body_len as usize
    }

    /// The header's bytes, with its CRC.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES);
        bytes.put_u32_le(MAGIC);
        bytes.put_u16_le(VERSION);
        bytes.put_u8(self.kind as u8);
        bytes.put_u8(self.compression as u8);
        bytes.put_u32_le(0);
        bytes.put_u32_le(self.body_crc);
        bytes.put_u32_le(self.body_len);
        bytes.put_u32_le(self.record_count);
        bytes.put_u64_le(self.term.0);
        bytes.put_u64_le(self.index.0);
        bytes.put_u64_le(self.first_offset.0);
        bytes.put_u64_le(self.first_timestamp.0);
        bytes.put_u64_le(self.uncertainty_ns);
        bytes.put_u64_le(self.committed.0);
        bytes.put_u64_le(self.batch.producer.0);
        bytes.put_u64_le(self.batch.sequence);
        bytes.put_u32_le(self.batch.epoch);
        bytes.put_u32_le(self.chain);
        bytes.put_u64_le(self.start.0);
        bytes.resize(HEADER_BYTES, 0);
        let crc = header_crc(&bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes.freeze()
    }

    /// Reads and proves a header from the first 128 bytes of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let Some(header) = bytes.get(..HEADER_BYTES) else {
            return Err(Error::Short { needed: HEADER_BYTES, available: bytes.len() });
        };
        let mut b = header;
        let magic = b.get_u32_le();
        if magic != MAGIC {
            return Err(Error::Magic { found: magic });
        }
        let version = b.get_u16_le();
        if version != VERSION {
            return Err(Error::Version { found: version });
        }
        let (kind, compression) = (b.get_u8(), b.get_u8());
        let (found, computed) = (b.get_u32_le(), header_crc(header));
        if found != computed {
            return Err(Error::HeaderCrc { found, computed });
        }
        if let Some(byte) = header[RESERVED_AT..].iter().find(|byte| **byte != 0) {
            return Err(Error::Field { field: "reserved bytes", found: (*byte).into() });
        }
        let decoded = Self {
            kind: FrameKind::decode(kind)?,
            compression: Compression::decode(compression)?,
            body_crc: b.get_u32_le(),
            body_len: b.get_u32_le(),
            record_count: b.get_u32_le(),
            term: Term(b.get_u64_le()),
            index: Index(b.get_u64_le()),
            first_offset: Offset(b.get_u64_le()),
            first_timestamp: Timestamp(b.get_u64_le()),
            uncertainty_ns: b.get_u64_le(),
            committed: Index(b.get_u64_le()),
            batch: BatchId {
                producer: ProducerId(b.get_u64_le()),
                sequence: b.get_u64_le(),
                epoch: b.get_u32_le(),
            },
            chain: b.get_u32_le(),
            start: Index(b.get_u64_le()),
        };
        if decoded.body_len as usize > BODY_BYTES_MAX {
            let (found, max) = (decoded.body_len.into(), BODY_BYTES_MAX as u64);
            return Err(Error::TooLarge { field: "body length", found, max });
        }
        if (decoded.kind == FrameKind::Trim) != (decoded.start > Index(0)) {
            return Err(Error::Field { field: "first index kept", found: decoded.start.0 });
        }
        Ok(decoded)
    }
}

fn header_crc(header: &[u8]) -> u32 {
    checksum(&[&header[12..HEADER_BYTES], &header[..8]])
}

/// Proves a body against its producer's checksum.
pub fn check_body_crc(body: &[u8], found: u32) -> Result<(), Error> {
    let computed = crc32fast::hash(body);
    if found == computed { Ok(()) } else { Err(Error::BodyCrc { found, computed }) }
}

/// The chain value of a log's first frame: it ties the log to its cluster and shard.
pub fn chain_root(cluster: &ClusterId, shard: ShardId) -> u32 {
    checksum(&[cluster.as_str().as_bytes(), &shard.0.to_le_bytes()])
}

/// A whole frame: its header, decoded and as bytes, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub header: FrameHeader,
    pub header_bytes: Bytes,
    pub body: Bytes,
}

impl Frame {
    /// Seals a header over `body`; the header's `body_crc` and `body_len` must already tell of it.
    pub fn new(header: FrameHeader, body: Bytes) -> Self {
        assert_eq!(header.body_len as usize, body.len(), "a header tells its body's length");
        Self { header_bytes: header.encode(), header, body }
    }

    /// Proves header and body, each against its CRC.
    pub fn decode(header_bytes: Bytes, body: Bytes) -> Result<Self, Error> {
        let header = FrameHeader::decode(&header_bytes)?;
        if header.body_len as usize != body.len() {
            return Err(Error::Short { needed: header.body_len as usize, available: body.len() });
        }
        check_body_crc(&body, header.body_crc)?;
        Ok(Self { header, header_bytes, body })
    }

    /// The header's own CRC: the next frame's chain value.
    pub fn header_crc(&self) -> u32 {
        let crc: [u8; 4] = self.header_bytes[8..12].try_into().expect("four bytes");
        u32::from_le_bytes(crc)
    }
}

/// The CRC-32 of `parts`, one after the other.
pub fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
