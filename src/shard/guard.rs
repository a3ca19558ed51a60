//! The poison guard: how far ahead of the own clock an entry or a promise may lie.
//!
//! One wild leader must not drag a shard into the future, so a replica with a trusted clock, or one of which it is open
//! whether it is wrong, refuses, as "retry later", what lies too far ahead. Never applied to what is committed. Six
//! uncertainties: an honest entry may lead a follower's `latest` by two for the two clocks and by four more after a floor
//! (C7).

use crate::clock::Reading;
use crate::types::Timestamp;

/// How far entries may lead; the same width for the leader that stamps and the follower that accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryGuard {
    reach_ns: u64,
}

impl EntryGuard {
    /// `backlog_allowance_ns`: a leader that assigns more than one timestamp per nanosecond runs ahead.
    pub(super) const fn new(eps_max_ns: u64, backlog_allowance_ns: u64) -> Self {
        Self { reach_ns: eps_max_ns.saturating_mul(6).saturating_add(backlog_allowance_ns) }
    }

    pub(super) fn admits(self, stamp: Timestamp, now: &Reading) -> bool {
        stamp <= now.interval.latest.plus_ns(self.reach_ns)
    }

    pub(super) fn reach_ns(self) -> u64 {
        self.reach_ns
    }
}

/// The latest stamp that an entry may carry now: later ones are refused.
pub fn latest_admissible(eps_max_ns: u64, backlog_allowance_ns: u64, now: &Reading) -> Timestamp {
    now.interval.latest.plus_ns(EntryGuard::new(eps_max_ns, backlog_allowance_ns).reach_ns)
}

/// Whether a promise of `closed` may be accepted.
pub fn admits_promise(closed: Timestamp, eps_max_ns: u64, now: &Reading) -> bool {
    closed <= now.interval.latest.plus_ns(eps_max_ns.saturating_mul(2))
}
