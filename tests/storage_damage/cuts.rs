//! Files cut at every byte: shortened, and with zeros from there on.

use timberline::log::Error;
use timberline::segment;
use timberline::types::Index;

use super::world::{Fate, HEAD, VOTE, World, segment as path};

/// What is left of a file cut at `at`, and zeros in place of the rest.
fn zeroed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..].fill(0);
    bytes
}

/// Every byte up to the last that says something, and a bit further; of the zeros behind, every 61st.
fn places(bytes: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let (end, len) = (bytes.iter().rposition(|byte| *byte != 0).unwrap() + 20, bytes.len());
    (0..end).chain((end..len).step_by(61)).chain([len - 1])
}

#[test]
fn a_segment_shortened_at_any_byte_is_refused() {
    for (world, number) in [(World::active(), 1), (World::sealed(), 1), (World::sealed(), 2)] {
        let bytes = world.read(&path(number));
        // A file of no bytes is what a power cut leaves of one that was being made.
        for at in places(&bytes).skip(1) {
            let error = world.judge(&world.with(&path(number), &bytes[..at])).refused(&format!("{at} bytes"));
            let expected =
                matches!(error, Error::Segment(segment::Error::Head { .. } | segment::Error::Size { .. }));
            assert!(expected, "segment {number} of {at} bytes: {error}");
        }
    }
}

#[test]
fn an_active_segment_of_zeros_from_any_byte_on_is_cut_there_and_told() {
    let world = World::active();
    let bytes = world.read(&path(1));
    for at in places(&bytes).skip(HEAD as usize) {
        let what = format!("zeros from byte {at} on");
        let served = world.judge(&world.with(&path(1), &zeroed(&bytes, at))).opened(&what);
        let is_whole = |(start, frame): &&(usize, &timberline::codec::Frame)| {
            let end = start + frame.header.frame_len();
            end <= at || bytes[at..end].iter().all(|byte| *byte == 0)
        };
        let places = world.places();
        let whole = places.iter().take_while(is_whole).count();
        assert_eq!((served.last.0 as usize, served.damaged.len()), (whole, 0), "{what}");
        let begun = places
            .get(whole)
            .is_some_and(|(start, _)| bytes[*start..at.max(*start)].iter().any(|byte| *byte != 0));
        assert_eq!(served.recovery.cut.is_some(), begun, "{what}: a frame that was begun is reported");
    }
}

#[test]
fn a_sealed_segment_of_zeros_from_any_byte_on_is_refused_or_named_where_they_begin() {
    let world = World::sealed();
    let bytes = world.read(&path(1));
    for at in places(&bytes) {
        let changed = zeroed(&bytes, at);
        let what = format!("zeros from byte {at} on");
        let fate = world.judge(&world.with(&path(1), &changed));
        if changed[..HEAD as usize] != bytes[..HEAD as usize] {
            fate.refused(&what);
            continue;
        }
        let served = fate.opened(&what);
        let first = world.places().into_iter().find(|(start, frame)| {
            let frame_bytes = *start..start + frame.header.frame_len();
            changed[frame_bytes.clone()] != bytes[frame_bytes]
        });
        let expected = first.map(|(start, frame)| (frame.header.index, start as u64));
        assert_eq!(served.damaged.first().copied(), expected, "{what}");
    }
}

/// Nothing tells such a file from one whose head was being written, or that was being prepared, when the power went.
#[test]
fn a_newest_segment_lost_from_its_head_on_leaves_what_the_segments_before_it_hold() {
    let world = World::sealed();
    let bytes = world.read(&path(2));
    for at in places(&bytes) {
        let changed = zeroed(&bytes, at);
        let what = format!("zeros from byte {at} on");
        let Fate::Opened(served) = world.judge(&world.with(&path(2), &changed)) else {
            // No sector is torn within its magic and version.
            assert!(at < 6, "{what}");
            continue;
        };
        assert!(served.damaged.is_empty(), "{what}");
        assert!(served.last >= Index(world.in_first as u64), "{what}");
    }
}

#[test]
fn a_vote_cut_at_any_byte_but_between_votes_and_mark_is_refused() {
    let world = World::active();
    let bytes = world.read(VOTE.as_ref());
    for at in 0..bytes.len() {
        let shortened = world.judge(&world.with(VOTE.as_ref(), &bytes[..at]));
        if at == 1024 {
            shortened.opened("both votes");
            continue;
        }
        let Fate::Refused(Error::VoteDamaged { .. } | Error::Unfinished { .. }) = shortened else {
            panic!("a vote of {at} bytes")
        };
    }
}
