//! Damaged segments: found by readers and by the scrubber, refetched from peers, put in place.
//!
//! Knows nothing of how frames are proved (`segment::Salvage`) or of threads. A sealed segment is repaired under a replica
//! that goes on; where the active one is damaged, or raft itself met the damage, the replica is stopped first and opened
//! again afterwards. Invariants: one repair a shard, a few at once; a stopped replica's raft does not start before its log
//! is what it was; whatever fails is tried again after a rest.

mod answer;
mod case;
mod scrubber;
mod ward;

pub(super) use answer::frames_of;
pub(super) use case::{FETCH_BYTES_MAX, FETCH_FRAMES_MAX};
pub(super) use scrubber::Scrubber;
pub(super) use ward::Ward;
