//! Bits flipped in every byte of the vote file.

use std::sync::Arc;

use timberline::log::Error;
use timberline::types::{Index, ReplicaId, Term, Vote};

use super::world::{Fate, VOTE, World, open};

const NEWEST: Vote = Vote { term: Term(2), voted_for: Some(ReplicaId(3)), committed: Index(9) };

/// A flip in the newer slot looks like a write of it that was torn, and the vote before it counts: no byte tells them
/// apart. Every other flip is refused or changes nothing. No third vote ever comes out.
#[test]
fn a_bit_flipped_in_a_vote_gives_the_vote_the_one_before_it_or_a_refusal() {
    let world = World::active();
    // The vote before the newest is that of the log's creation, in the second slot.
    let (newer, older, used) = (0..512, 512..1024, 80);
    for at in newer.start..older.end {
        for bit in 0..8 {
            let what = format!("byte {at}, bit {bit}");
            let fate = world.judge(&world.flipped(VOTE.as_ref(), at, 1 << bit));
            match fate {
                Fate::Refused(error) => {
                    assert!(matches!(error, Error::VoteDamaged { .. }), "{what}: {error}");
                    assert!(at % 512 >= used, "{what}: a field's flip is proved by its slot's checksum");
                }
                Fate::Opened(served) if newer.contains(&at) => {
                    assert_eq!(served.recovery.vote, Vote::default(), "{what}");
                }
                Fate::Opened(served) => assert_eq!(served.recovery.vote, NEWEST, "{what}"),
            }
        }
    }
}

/// A mark that cannot be proved is none: the opening only takes longer.
#[test]
fn a_bit_flipped_in_the_synced_mark_changes_nothing_that_is_served() {
    let mut world = World::active();
    let disk = Arc::new(world.disk.fork());
    drop(open(&disk).unwrap());
    world.disk = disk.fork();
    assert!(world.read(VOTE.as_ref())[1024..].starts_with(b"TMSY"), "an opening leaves a mark");
    for at in 1024..1536 {
        for bit in 0..8 {
            let what = format!("byte {at}, bit {bit}");
            let served = world.judge(&world.flipped(VOTE.as_ref(), at, 1 << bit)).opened(&what);
            assert_eq!((served.recovery.vote, served.recovery.cut), (NEWEST, None), "{what}");
            assert_eq!((served.last.0 as usize, served.damaged.len()), (world.frames.len(), 0), "{what}");
        }
    }
}
