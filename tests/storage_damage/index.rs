//! Every byte of an index flipped and cut: reads are right whatever it says, and a wrong one is made anew.

use super::world::{World, index as path};

/// All reads, in every way, succeed.
fn reads_right(world: &World, bytes: &[u8], what: &str) -> Vec<u8> {
    let disk = world.with(&path(1), bytes);
    let served = world.judge(&disk).opened(what);
    assert_eq!(served.damaged, [], "{what}");
    assert_eq!((served.last.0 as usize, served.recovery.cut), (world.frames.len(), None), "{what}");
    timberline::disk::Disk::read(&*disk, &path(1)).unwrap().expect("an index is there again")
}

#[test]
fn an_index_flipped_in_any_byte_leads_to_no_wrong_frame_and_is_made_anew() {
    let world = World::marked();
    let good = world.read(&path(1));
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let what = format!("byte {at} flipped");
        assert!(reads_right(&world, &bytes, &what) == good, "{what}: the index is not made anew");
    }
}

#[test]
fn an_index_cut_or_prolonged_at_any_byte_is_made_anew() {
    let world = World::marked();
    let good = world.read(&path(1));
    for at in 0..=good.len() {
        let prolonged = [&good[..], &good[..at]].concat();
        for bytes in [&good[..at], &prolonged] {
            let what = format!("an index of {} bytes", bytes.len());
            assert!(reads_right(&world, bytes, &what) == good, "{what}");
        }
    }
}

#[test]
fn the_index_of_another_segment_or_of_another_past_is_no_index() {
    let world = World::marked();
    let good = world.read(&path(1));
    for other in [world.read(&path(2)), World::sealed().read(&path(1))] {
        assert!(reads_right(&world, &other, "another's index") == good);
    }
}
