//! When a replica loses patience: our own draws in place of raft's.
//!
//! raft draws election timeouts from the operating system's entropy. Overriding every draw by one from a seeded
//! generator makes a run repeatable. Draws happen only on events that raft's state shows (a new term, role or
//! leader, or an election begun), never by comparing with raft's own number, which would let its entropy in; nor on
//! each tick, which would bunch the timeouts at the range's low end.

use raft::StateRole;

use super::group::Group;
use super::reader::LogReader;

/// Draws ticks uniformly from `min..max`.
pub(super) struct ElectionClock {
    state: u64,
    min: u64,
    max: u64,
    current: u64,
}

/// What must change for a new draw.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Posture {
    term: u64,
    state: StateRole,
    leader: u64,
}

impl ElectionClock {
    /// Replicas that share a seed still differ by their id.
    pub(super) fn new(seed: u64, replica: u64, min: u32, max: u32) -> Self {
        let mut clock = Self { state: seed, min: min.into(), max: max.into(), current: 0 };
        clock.state = clock.next().wrapping_add(replica);
        clock.redraw();
        clock
    }

    pub(super) fn redraw(&mut self) {
        self.current = self.min + self.next() % (self.max - self.min);
    }

    pub(super) fn ticks(&self) -> usize {
        self.current as usize
    }

    /// splitmix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014), with the
    /// constants of Vigna's public-domain C.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl<L: LogReader> Group<L> {
    pub(super) fn posture(&self) -> Posture {
        let raft = &self.raw.raft;
        Posture { term: raft.term, state: raft.state, leader: raft.leader_id }
    }

    /// Puts our timeout in place of any that raft drew since `before`.
    pub(super) fn override_timeout(&mut self, before: Posture, election_begun: bool) {
        if election_begun || self.posture() != before {
            self.clock.redraw();
        }
        self.raw.raft.set_randomized_election_timeout(self.clock.ticks());
    }

    /// Whether this replica may stand for election now. Its whole log must be durable first: raft asserts so when
    /// the election is won, which a lone voter does at once.
    pub(super) fn may_campaign(&self) -> bool {
        let raft = &self.raw.raft;
        let log = &raft.raft_log;
        let durable = log.persisted == log.last_index() && log.unstable_snapshot().is_none();
        self.campaigning && raft.promotable() && durable && self.outbox.is_log_durable()
    }
}
