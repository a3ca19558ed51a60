//! Laws of receipts: what they name is what every replica stores.

use timberline::lane::ReadFrom;
use timberline::types::Receipt;

use crate::world::{NODES, World};
use crate::{OTHER, SHARD, settle, started};

/// The checksum of the header that a receipt's frame has on each replica, from the bytes stored there.
fn stored_crcs(world: &mut World, receipt: &Receipt) -> [Option<u32>; 3] {
    NODES.map(|node| {
        let answer =
            world.read_now(node, SHARD, ReadFrom::Time(receipt.first_timestamp)).expect("it is kept");
        let frame = &answer.frames[0];
        assert_eq!(frame.header.first_offset, receipt.first_offset);
        Some(frame.header_crc())
    })
}

#[test]
fn a_receipt_names_the_very_frame_on_every_replica_whoever_leads() {
    let mut world = started(14);
    let mut receipts: Vec<Receipt> =
        (1..=4).map(|sequence| world.append_surely(SHARD, sequence, "before")).collect();
    settle(&mut world);
    let first = world.leader(SHARD).expect("it just acknowledged");
    world.stop(first);
    receipts.extend((5..=8).map(|sequence| world.append_surely(SHARD, sequence, "without it")));
    world.start(first, &[SHARD, OTHER]);
    settle(&mut world);
    assert!(receipts.last().expect("there are eight").term > receipts[0].term, "another one led");
    for receipt in &receipts {
        assert!(receipt.header_crc.is_some());
        assert_eq!(stored_crcs(&mut world, receipt), [receipt.header_crc; 3]);
    }
    for (sequence, told) in (1..).zip(&receipts) {
        let again = world.append_surely(SHARD, sequence, "again");
        assert_eq!((again.first_offset, again.header_crc), (told.first_offset, told.header_crc));
    }
}
