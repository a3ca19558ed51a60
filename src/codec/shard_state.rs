//! A shard's state after a given frame: what a segment's head holds, what a manifest carries.
//!
//! Knows nothing of files or Raft. A pure function of a starting state and the headers folded in, but
//! for `applied` and `membership`, which frame headers do not tell: they are as of the start.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | state version, 1 |
//! | 2 | 2 | reserved, zero |
//! | 4 | 4 | chain: header CRC of the last frame |
//! | 8 | 8 | index of the last frame |
//! | 16 | 8 | its term |
//! | 24 | 8 | next offset |
//! | 32 | 8 | last timestamp, ns |
//! | 40 | 8 | applied index |
//! | 48 | 8 | first index kept, by the trim frames so far |
//! | 56 | 12 | numbers of voters, learners, outgoing voters |
//! | 68 | 4 | reserved, zero |
//! | 72 | 8 each | their replica ids, in that order |
//! | .. | 8 | number of producers; 4 reserved |
//! | .. | 24 each | producer: id, last seen (ns), epoch, number of batches; its batches follow |
//! | .. | 56 each | batch: sequence, index, term, first offset, first timestamp, uncertainty, count, epoch |

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::dedup::{bounded, need};
use super::frame::bounded_position;
use super::{DedupTable, Error, FrameHeader, chain_root};
use crate::types::{ClusterId, Index, Membership, Offset, ReplicaId, ShardId, Term, Timestamp};

const VERSION: u16 = 1;
const FIXED_BYTES: usize = 72;
/// The most replicas of one kind that a membership may name.
const REPLICAS_MAX: usize = 1024;

/// Where a shard stands after the frame at `index`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardState {
    pub index: Index,
    pub term: Term,
    pub next_offset: Offset,
    pub last_timestamp: Timestamp,
    /// The chain value the next frame must carry.
    pub chain: u32,
    /// How far membership frames are already part of `membership`.
    pub applied: Index,
    /// The first entry that the trim frames so far keep: what lies before it is nobody's to read.
    pub start: Index,
    pub membership: Membership,
    pub dedup: DedupTable,
}

impl ShardState {
    /// The state before a new shard's first frame.
    pub fn genesis(cluster: &ClusterId, shard: &ShardId, membership: Membership) -> Self {
        Self {
            index: Index(0),
            term: Term(0),
            next_offset: Offset(0),
            last_timestamp: Timestamp::ZERO,
            chain: chain_root(cluster, *shard),
            applied: Index(0),
            start: Index(1),
            membership,
            dedup: DedupTable::default(),
        }
    }

    /// Moves past the next frame.
    pub fn fold(&mut self, header: &FrameHeader, header_crc: u32) {
        assert_eq!(header.index, self.index.plus(1), "frames are folded in log order");
        self.index = header.index;
        self.term = header.term;
        self.next_offset = header.next_offset();
        self.last_timestamp = header.last_timestamp();
        self.chain = header_crc;
        self.start = self.start.max(header.start);
        self.dedup.fold(header);
    }

    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(4096);
        let Membership { voters, learners, outgoing } = &self.membership;
        bytes.put_u16_le(VERSION);
        bytes.put_u16_le(0);
        bytes.put_u32_le(self.chain);
        bytes.put_u64_le(self.index.0);
        bytes.put_u64_le(self.term.0);
        bytes.put_u64_le(self.next_offset.0);
        bytes.put_u64_le(self.last_timestamp.0);
        bytes.put_u64_le(self.applied.0);
        bytes.put_u64_le(self.start.0);
        for replicas in [voters, learners, outgoing] {
            bytes.put_u32_le(replicas.len() as u32);
        }
        bytes.put_u32_le(0);
        for replica in [voters, learners, outgoing].into_iter().flatten() {
            bytes.put_u64_le(replica.0);
        }
        self.dedup.encode(&mut bytes);
        bytes.freeze()
    }

    /// Reads a state that fills `bytes`.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, Error> {
        need(bytes, FIXED_BYTES)?;
        let (version, reserved) = (bytes.get_u16_le(), bytes.get_u16_le());
        if version != VERSION {
            return Err(Error::Field { field: "shard state version", found: version.into() });
        }
        let chain = bytes.get_u32_le();
        let (index, term) = (Index(bytes.get_u64_le()), Term(bytes.get_u64_le()));
        let (next_offset, last_timestamp) = (Offset(bytes.get_u64_le()), Timestamp(bytes.get_u64_le()));
        let (applied, start) = (Index(bytes.get_u64_le()), Index(bytes.get_u64_le()));
        for (field, position) in [
            ("index", index.0),
            ("next offset", next_offset.0),
            ("applied index", applied.0),
            ("first index kept", start.0),
        ] {
            bounded_position(field, position)?;
        }
        if start == Index(0) {
            return Err(Error::Field { field: "first index kept", found: 0 });
        }
        let counts = [bytes.get_u32_le(), bytes.get_u32_le(), bytes.get_u32_le()];
        if bytes.get_u32_le() != 0 || reserved != 0 {
            return Err(Error::Field { field: "reserved bytes", found: reserved.into() });
        }
        let [voters, learners, outgoing] = counts.map(|count| decode_replicas(&mut bytes, count));
        let membership = Membership { voters: voters?, learners: learners?, outgoing: outgoing? };
        let dedup = DedupTable::decode(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(Error::Field { field: "bytes after the shard state", found: bytes.len() as u64 });
        }
        Ok(Self { index, term, next_offset, last_timestamp, chain, applied, start, membership, dedup })
    }
}

fn decode_replicas(bytes: &mut &[u8], count: u32) -> Result<Vec<ReplicaId>, Error> {
    bounded("replica count", count, REPLICAS_MAX)?;
    need(bytes, count as usize * 8)?;
    Ok((0..count).map(|_| ReplicaId(bytes.get_u64_le())).collect())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{Compression, Frame, FrameKind};
    use crate::types::{BatchId, ProducerId};

    /// `(producer, sequence, count)` per frame, folded from genesis.
    fn folded(frames: &[(u64, u64, u32)]) -> ShardState {
        let replicas = |ids: &[u64]| ids.iter().copied().map(ReplicaId).collect();
        let membership =
            Membership { voters: replicas(&[1, 2, 3]), learners: replicas(&[9]), outgoing: replicas(&[]) };
        let mut state = ShardState::genesis(&"test".parse().unwrap(), &ShardId(4), membership);
        for (producer, sequence, record_count) in frames {
            let header = FrameHeader {
                kind: FrameKind::Data,
                compression: Compression::None,
                body_crc: 0,
                body_len: 0,
                record_count: *record_count,
                term: Term(3),
                index: state.index.plus(1),
                first_offset: state.next_offset,
                first_timestamp: state.last_timestamp.next(),
                uncertainty_ns: 1,
                committed: Index(0),
                batch: BatchId { producer: ProducerId(*producer), epoch: 0, sequence: *sequence },
                chain: state.chain,
                start: Index(0),
            };
            state.fold(&header, Frame::new(header, Bytes::new()).header_crc());
        }
        state
    }

    proptest! {
        #[test]
        fn a_state_survives_its_encoding(frames in vec((0_u64..400, 0_u64..9, 1_u32..5), 0..600)) {
            let state = folded(&frames);
            prop_assert_eq!(ShardState::decode(&state.encode()).unwrap(), state);
        }

        #[test]
        fn a_state_cut_short_or_prolonged_is_refused(frames in vec((0_u64..9, 0_u64..9, 1_u32..5), 0..20), cut in any::<prop::sample::Index>()) {
            let bytes = folded(&frames).encode();
            prop_assert!(ShardState::decode(&bytes[..cut.index(bytes.len())]).is_err());
            prop_assert!(ShardState::decode(&[&bytes[..], &[0]].concat()).is_err());
        }

        #[test]
        fn a_bit_flipped_in_a_state_is_refused_or_gives_another_state(frames in vec((0_u64..9, 0_u64..9, 1_u32..5), 0..20), at: prop::sample::Index, bit in 0_u8..8) {
            let state = folded(&frames);
            let mut bytes = state.encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(other) = ShardState::decode(&bytes) {
                prop_assert!(other != state, "byte {} says nothing", at);
                prop_assert_eq!(&other.encode()[..], &bytes[..]);
            }
        }

        #[test]
        fn foreign_bytes_are_never_a_panic(bytes in vec(any::<u8>(), 0..300)) {
            let _ = ShardState::decode(&bytes);
        }
    }

    #[test]
    fn folding_moves_every_position_past_the_frame() {
        let state = folded(&[(1, 0, 3), (1, 1, 2)]);
        assert_eq!(
            (state.index, state.next_offset, state.last_timestamp),
            (Index(2), Offset(5), Timestamp(5))
        );
    }
}
