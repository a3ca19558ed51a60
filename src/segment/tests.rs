//! Laws of one segment's head and index; the log's tests drive the rest.

use std::path::Path;

use super::*;
use crate::codec::{self, ShardState};
use crate::disk::{Disk, MemoryDisk};
use crate::types::{Membership, ReplicaId, ShardId, TopicId};

fn head(voters: u64) -> SegmentHead {
    let identity = SegmentIdentity {
        cluster: "test".parse().unwrap(),
        topic: TopicId(1),
        shard: ShardId(2),
        replica: ReplicaId(3),
    };
    let membership = Membership { voters: (1..=voters).map(ReplicaId).collect(), ..Membership::default() };
    let state = ShardState::genesis(&identity.cluster, &identity.shard, membership);
    SegmentHead { identity, state, begins_log: true, previous: 7, file_bytes: 16 << 10 }
}

#[test]
fn a_head_fills_whole_pages_and_reads_back() {
    for (voters, pages) in [(3, 1), (490, 1), (600, 2), (1020, 3)] {
        let head = head(voters);
        let bytes = head.encode();
        assert_eq!(bytes.len() as u64, pages * HEAD_BYTES_MIN, "{voters} voters");
        let file = MemoryDisk::new().create(Path::new("a.segment"), 16 << 10).unwrap();
        file.write_at(0, &bytes).unwrap();
        assert_eq!(SegmentHead::read(&*file).unwrap(), (head, bytes.len() as u64));
    }
}

#[test]
fn every_byte_of_a_head_is_proved() {
    let bytes = head(3).encode();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x40;
        assert!(SegmentHead::decode(&flipped).is_err(), "byte {at}");
    }
    assert!(matches!(SegmentHead::decode(&bytes[..50]), Err(codec::Error::Short { .. })));
}

#[test]
fn a_byte_of_a_head_that_no_field_takes_is_zero_even_under_a_good_checksum() {
    let good = head(3).encode();
    let state_end = 96 + head(3).state.encode().len();
    for at in [64 + "test".len(), 95, state_end, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] = 1;
        let crc = codec::checksum(&[&bytes[12..], &bytes[..8]]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        let refused = SegmentHead::decode(&bytes).unwrap_err();
        assert!(matches!(refused, codec::Error::Field { .. }), "byte {at}: {refused}");
    }
}

#[test]
fn a_blank_file_is_told_from_a_used_one() {
    let file = MemoryDisk::new().create(Path::new("a.segment"), 200_000).unwrap();
    assert!(is_blank(&*file));
    file.write_at(199_999, &[1]).unwrap();
    assert!(!is_blank(&*file));
    assert_eq!(holds_whole_frame(&*file), None);
}
