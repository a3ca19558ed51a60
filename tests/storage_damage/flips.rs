//! Bits flipped in every byte of a segment, active and sealed.

use timberline::codec::HEADER_BYTES;
use timberline::log::Error;
use timberline::segment;
use timberline::types::Index;

use super::world::{Fate, HEAD, World, segment as path};

/// Of a frame's byte all of these are inverted, of others a single bit: there are many, and one checksum proves them.
const MASKS: [u8; 3] = [0x01, 0x80, 0xff];

fn masks(at: usize, world: &World) -> Vec<u8> {
    if matches!(byte(at, world), Byte::Frame(_)) { MASKS.into() } else { vec![1 << (at % 8)] }
}

/// What a byte of a segment holds.
enum Byte {
    Head,
    /// Of the frame at this position, from 0, header or body.
    Frame(usize),
    Padding,
    Behind,
}

fn byte(at: usize, world: &World) -> Byte {
    if at < HEAD as usize {
        return Byte::Head;
    }
    let places = world.places();
    let within =
        places.iter().rposition(|(start, _)| *start <= at).expect("the first frame is behind the head");
    let (start, frame) = places[within];
    let len = frame.header.frame_len();
    if at < start + len {
        Byte::Frame(within)
    } else if at < start + len.next_multiple_of(8) {
        Byte::Padding
    } else {
        Byte::Behind
    }
}

/// Of the active segment: rot where a later frame tells of a commitment, else a tail that is cut and reported.
fn active_law(world: &World, at: usize, mask: u8) {
    let what = format!("byte {at} flipped by {mask:#x}");
    let fate = world.judge(&world.flipped(&path(1), at, mask));
    match byte(at, world) {
        Byte::Head => {
            let error = fate.refused(&what);
            let expected =
                matches!(error, Error::Segment(segment::Error::Head { .. } | segment::Error::Foreign { .. }));
            assert!(expected, "{what}: {error}");
        }
        Byte::Frame(position) => frame_law(world, position, fate, &what),
        Byte::Padding => {
            let served = fate.opened(&what);
            assert_eq!((served.recovery.cut, served.damaged.len()), (None, 0), "{what}");
            assert_eq!(served.last.0 as usize, world.frames.len(), "{what}");
        }
        Byte::Behind => {
            let served = fate.opened(&what);
            let cut = served.recovery.cut.unwrap_or_else(|| panic!("{what}: not reported"));
            assert_eq!(cut.after.0 as usize, world.frames.len(), "{what}");
            assert_eq!(cut.at_byte + cut.bytes, at as u64 + 1, "{what}");
        }
    }
}

fn frame_law(world: &World, position: usize, fate: Fate, what: &str) {
    let index = world.frames[position].header.index;
    let start = world.places()[position].0 as u64;
    if world.frames[position + 1..].iter().any(|later| later.header.committed >= index) {
        let error = fate.refused(what);
        let Error::Segment(segment::Error::Rot { at_byte, index: found, .. }) = error else {
            panic!("{what}: {error}")
        };
        assert_eq!((at_byte, found), (start, index), "{what}");
    } else {
        let served = fate.opened(what);
        let cut = served.recovery.cut.unwrap_or_else(|| panic!("{what}: not reported"));
        assert_eq!((cut.at_byte, cut.after), (start, index.before()), "{what}");
        assert_eq!((served.last, served.damaged.len()), (index.before(), 0), "{what}");
    }
}

/// Of a sealed segment: the frame is named, those before it are served. Behind the frames nothing is looked at.
fn sealed_law(world: &World, at: usize, mask: u8) {
    let what = format!("byte {at} flipped by {mask:#x}");
    let fate = world.judge(&world.flipped(&path(1), at, mask));
    match byte(at, world) {
        Byte::Head => {
            let error = fate.refused(&what);
            let expected =
                matches!(error, Error::Segment(segment::Error::Head { .. } | segment::Error::Foreign { .. }));
            assert!(expected, "{what}: {error}");
        }
        Byte::Frame(position) => {
            let served = fate.opened(&what);
            let (index, start) = (world.frames[position].header.index, world.places()[position].0 as u64);
            assert_eq!(served.damaged.first(), Some(&(index, start)), "{what}");
            let in_body = at >= start as usize + HEADER_BYTES;
            assert!(
                !in_body || served.damaged.len() == 1,
                "{what}: a body leaves the frames behind it readable"
            );
        }
        Byte::Padding | Byte::Behind => {
            let served = fate.opened(&what);
            assert_eq!((served.recovery.cut, served.damaged.len()), (None, 0), "{what}");
        }
    }
}

/// Bytes far behind the last frame are all alike: every 97th of them is flipped.
fn places_of_interest(world: &World) -> impl Iterator<Item = usize> + use<> {
    let (start, frame) = *world.places().last().unwrap();
    let end = start + frame.header.frame_len().next_multiple_of(8);
    (0..end + 256).chain((end + 256..8192).step_by(97)).chain([8191])
}

#[test]
fn a_bit_flipped_anywhere_in_the_active_segment_is_refused_cut_and_told_or_says_nothing() {
    let world = World::active();
    for at in places_of_interest(&world) {
        for mask in masks(at, &world) {
            active_law(&world, at, mask);
        }
    }
}

#[test]
fn a_bit_flipped_anywhere_in_a_sealed_segment_is_named_or_says_nothing() {
    let world = World::sealed();
    for at in places_of_interest(&world) {
        for mask in masks(at, &world) {
            sealed_law(&world, at, mask);
        }
    }
}

#[test]
fn the_frames_that_later_ones_call_committed_are_all_but_the_last_two() {
    let world = World::active();
    let committed = world.frames.iter().map(|frame| frame.header.committed).max();
    assert_eq!(
        (committed, world.frames.len()),
        (Some(Index(9)), 11),
        "both laws of the active segment are met"
    );
}
