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
//! | 20 | 4 | record count, 0 but of data |
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

/// The largest index or offset: what is added to one on the way never overflows.
const POSITION_MAX: u64 = i64::MAX as u64;
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
    // 7, 8, 9: cross-shard prepare, commit, abort; 10: cursors. Reserved, and refused until they are defined.
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

    /// Whether readers are shown it: it has records, or tells of their order.
    pub fn is_shown(&self) -> bool {
        self.record_count > 0 || self.kind == FrameKind::OrderMark
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

    /// Its CRC, as `encode` writes it.
    pub fn crc(&self) -> u32 {
        stored_crc(&self.encode())
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
        for (field, position) in [
            ("index", decoded.index.0),
            ("first offset", decoded.first_offset.0),
            ("committed index", decoded.committed.0),
            ("first index kept", decoded.start.0),
        ] {
            bounded_position(field, position)?;
        }
        if decoded.index == Index(0) {
            return Err(Error::Field { field: "index", found: 0 });
        }
        decoded.check_kind()?;
        Ok(decoded)
    }

    /// Whether the first 128 bytes of `bytes` are a header whose checksum holds, in any version of the format.
    pub fn is_sealed(bytes: &[u8]) -> bool {
        bytes.get(..HEADER_BYTES).is_some_and(|header| {
            header[..4] == MAGIC.to_le_bytes() && header[8..12] == header_crc(header).to_le_bytes()
        })
    }

    /// Refuses what its kind does not have: records, compression, a body, a first index kept.
    fn check_kind(&self) -> Result<(), Error> {
        let is_data = self.kind == FrameKind::Data;
        let has_body = is_data || matches!(self.kind, FrameKind::Membership | FrameKind::OrderMark);
        let demand = |holds: bool, field, found| {
            if holds { Ok(()) } else { Err(Error::Field { field, found }) }
        };
        demand(is_data == (self.record_count > 0), "record count", self.record_count.into())?;
        demand(is_data || self.compression == Compression::None, "compression", self.compression as u64)?;
        demand(has_body || self.body_len == 0, "body length", self.body_len.into())?;
        demand((self.kind == FrameKind::Trim) == (self.start > Index(0)), "first index kept", self.start.0)
    }
}

/// The CRC that an encoded header carries.
fn stored_crc(header: &[u8]) -> u32 {
    u32::from_le_bytes(header[8..12].try_into().expect("four bytes"))
}

fn header_crc(header: &[u8]) -> u32 {
    checksum(&[&header[12..HEADER_BYTES], &header[..8]])
}

/// Refuses an index or offset that no log reaches.
pub(super) fn bounded_position(field: &'static str, found: u64) -> Result<(), Error> {
    if found > POSITION_MAX { Err(Error::TooLarge { field, found, max: POSITION_MAX }) } else { Ok(()) }
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
        Self::with_body(FrameHeader::decode(&header_bytes)?, header_bytes, body)
    }

    /// Proves a body against a header that is proved already: `header_bytes` are what `header` was decoded from.
    pub fn with_body(header: FrameHeader, header_bytes: Bytes, body: Bytes) -> Result<Self, Error> {
        if header.body_len as usize != body.len() {
            return Err(Error::Short { needed: header.body_len as usize, available: body.len() });
        }
        check_body_crc(&body, header.body_crc)?;
        Ok(Self { header, header_bytes, body })
    }

    /// The header's own CRC: the next frame's chain value.
    pub fn header_crc(&self) -> u32 {
        stored_crc(&self.header_bytes)
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const KINDS: [FrameKind; 6] = [
        FrameKind::Data,
        FrameKind::LeaderStart,
        FrameKind::Membership,
        FrameKind::Trim,
        FrameKind::ProducerFence,
        FrameKind::OrderMark,
    ];

    fn position() -> impl Strategy<Value = u64> {
        prop_oneof![0..1000_u64, 0..=POSITION_MAX]
    }

    prop_compose! {
        /// Everything that any kind may say, then what this kind may not is taken back.
        fn some_frame()(
            kind in prop::sample::select(&KINDS[..]),
            compression in prop::sample::select(&Compression::ALL[..]),
            body in vec(any::<u8>(), 0..100),
            record_count in 1..=u32::MAX,
            term: u64,
            (index, first_offset) in (position(), position()),
            (first_timestamp, uncertainty_ns) in any::<(u64, u64)>(),
            (committed, start) in (position(), position()),
            (producer, sequence, epoch) in any::<(u64, u64, u32)>(),
            chain: u32,
        ) -> Frame {
            let is_data = kind == FrameKind::Data;
            let has_body = is_data || matches!(kind, FrameKind::Membership | FrameKind::OrderMark);
            let body = Bytes::from(if has_body { body } else { Vec::new() });
            let header = FrameHeader {
                kind,
                compression: if is_data { compression } else { Compression::None },
                body_crc: checksum(&[&body]),
                body_len: body.len() as u32,
                record_count: if is_data { record_count } else { 0 },
                term: Term(term),
                index: Index(index.max(1)),
                first_offset: Offset(first_offset),
                first_timestamp: Timestamp(first_timestamp),
                uncertainty_ns,
                committed: Index(committed),
                batch: BatchId { producer: ProducerId(producer), epoch, sequence },
                chain,
                start: Index(if kind == FrameKind::Trim { start.max(1) } else { 0 }),
            };
            Frame::new(header, body)
        }
    }

    /// The header with one byte replaced, under a checksum that fits.
    fn resealed(header: &[u8], at: usize, byte: u8) -> Vec<u8> {
        let mut bytes = header.to_vec();
        bytes[at] = byte;
        let crc = header_crc(&bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    proptest! {
        #[test]
        fn a_frame_survives_its_encoding(frame in some_frame()) {
            prop_assert_eq!(FrameHeader::decode(&frame.header_bytes).unwrap(), frame.header);
            let again = Frame::decode(frame.header_bytes.clone(), frame.body.clone()).unwrap();
            prop_assert_eq!(again, frame);
        }

        #[test]
        fn every_flipped_bit_of_header_or_body_is_noticed(frame in some_frame(), at: prop::sample::Index, bit in 0_u8..8) {
            let mut bytes = [&frame.header_bytes[..], &frame.body[..]].concat();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut header = Bytes::from(bytes);
            let body = header.split_off(HEADER_BYTES);
            prop_assert!(Frame::decode(header, body).is_err(), "byte {}", at);
        }

        #[test]
        fn a_header_cut_short_is_refused(frame in some_frame(), kept in 0..HEADER_BYTES) {
            let refused = FrameHeader::decode(&frame.header_bytes[..kept]);
            prop_assert_eq!(refused, Err(Error::Short { needed: HEADER_BYTES, available: kept }));
        }

        /// Under a good checksum any byte may stand anywhere: what decodes must say all that the bytes say, and what
        /// is computed from it must not overflow.
        #[test]
        fn a_header_that_decodes_encodes_to_the_same_bytes(frame in some_frame(), at in 0..HEADER_BYTES, byte: u8) {
            let bytes = resealed(&frame.header_bytes, at, byte);
            if let Ok(header) = FrameHeader::decode(&bytes) {
                prop_assert_eq!(&header.encode()[..], &bytes[..]);
                prop_assert!(header.next_offset() >= header.first_offset && header.frame_len() <= HEADER_BYTES + BODY_BYTES_MAX);
                prop_assert!(header.last_timestamp() >= header.first_timestamp);
            }
        }

        #[test]
        fn foreign_bytes_are_never_a_panic(bytes in vec(any::<u8>(), 0..300)) {
            let _ = FrameHeader::decode(&bytes);
        }
    }

    #[test]
    fn reserved_bytes_kinds_and_compressions_are_refused_under_a_good_checksum() {
        let frame = Frame::new(
            FrameHeader {
                kind: FrameKind::LeaderStart,
                compression: Compression::None,
                body_crc: 0,
                body_len: 0,
                record_count: 0,
                term: Term(1),
                index: Index(1),
                first_offset: Offset(0),
                first_timestamp: Timestamp(1),
                uncertainty_ns: 0,
                committed: Index(0),
                batch: BatchId::default(),
                chain: 0,
                start: Index(0),
            },
            Bytes::new(),
        );
        let refused = |at, byte| FrameHeader::decode(&resealed(&frame.header_bytes, at, byte)).unwrap_err();
        for at in RESERVED_AT..HEADER_BYTES {
            assert!(matches!(refused(at, 1), Error::Field { field: "reserved bytes", .. }), "byte {at}");
        }
        for kind in [0, 7, 8, 9, 10, 255] {
            assert_eq!(refused(6, kind), Error::Field { field: "kind", found: kind.into() });
        }
        assert_eq!(refused(7, 3), Error::Field { field: "compression", found: 3 });
        assert_eq!(refused(4, 2), Error::Version { found: 2 });
        // What a leader start does not have: a compression, a body, records, a first index kept.
        for at in [7, 16, 20, 96] {
            assert!(matches!(refused(at, 1), Error::Field { .. }), "byte {at}");
        }
    }
}
