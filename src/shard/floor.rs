//! What a new leader must not stamp below: the largest promise a quorum of its peers remembers (C6, C7).
//!
//! Knows nothing of messages. Invariant: the floor is known only from answers that a majority of the voters
//! (of both configurations, while joint; learners do not count) gave with the new term already on their disks.

use super::guard::EntryGuard;
use crate::clock::Reading;
use crate::types::{Membership, ReplicaId, Term, Timestamp};

/// Whom a new leader still has to ask what they promised. Ask again at every tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloorQuestion {
    pub term: Term,
    pub peers: Vec<ReplicaId>,
}

/// What a replica promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloorReply {
    pub max_promised: Timestamp,
    /// It ran before this start, and may have promised more then.
    pub forgotten: bool,
}

/// One leader's round of questions.
#[derive(Debug)]
pub(super) struct FloorRound {
    answers: Vec<(ReplicaId, Timestamp)>,
}

impl FloorRound {
    pub(super) fn new() -> Self {
        Self { answers: Vec::new() }
    }

    /// Counts an answer, `now` read after it came. One beyond the entry guard is not used: nothing could be
    /// stamped above it. It is asked for again.
    pub(super) fn take(
        &mut self,
        from: ReplicaId,
        reply: FloorReply,
        now: &Reading,
        eps_max_ns: u64,
        guard: EntryGuard,
    ) {
        let forgotten = now.interval.latest.plus_ns(eps_max_ns.saturating_mul(4));
        let floor = if reply.forgotten { reply.max_promised.max(forgotten) } else { reply.max_promised };
        if !guard.admits(floor, now) {
            return;
        }
        match self.answers.iter_mut().find(|(replica, _)| *replica == from) {
            Some((_, known)) => *known = floor.max(*known),
            None => self.answers.push((from, floor)),
        }
    }

    /// The floor, once enough have answered.
    pub(super) fn floor(&self, membership: &Membership) -> Option<Timestamp> {
        let asked = [&membership.voters, &membership.outgoing];
        let settled = asked.iter().all(|voters| voters.is_empty() || self.holds_majority(voters));
        let counted = |replica: &ReplicaId| asked.iter().any(|voters| voters.contains(replica));
        let answers = self.answers.iter().filter(|(replica, _)| counted(replica));
        settled.then(|| answers.map(|(_, floor)| *floor).max().unwrap_or(Timestamp::ZERO))
    }

    /// The voters that have not answered.
    pub(super) fn unanswered(&self, membership: &Membership) -> Vec<ReplicaId> {
        let mut peers = membership.voters.clone();
        peers.extend(membership.outgoing.iter().filter(|replica| !membership.voters.contains(replica)));
        peers.retain(|replica| !self.has_answered(*replica));
        peers
    }

    fn holds_majority(&self, voters: &[ReplicaId]) -> bool {
        voters.iter().filter(|voter| self.has_answered(**voter)).count() > voters.len() / 2
    }

    fn has_answered(&self, replica: ReplicaId) -> bool {
        self.answers.iter().any(|(known, _)| *known == replica)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::test_time::{EPS, at};

    const GUARD: EntryGuard = EntryGuard::new(EPS, 0);

    fn members(voters: &[u64], learners: &[u64], outgoing: &[u64]) -> Membership {
        let ids = |ids: &[u64]| ids.iter().copied().map(ReplicaId).collect();
        Membership { voters: ids(voters), learners: ids(learners), outgoing: ids(outgoing) }
    }

    fn answer(round: &mut FloorRound, from: u64, max_promised: u64, forgotten: bool, now: &Reading) {
        let reply = FloorReply { max_promised: Timestamp(max_promised), forgotten };
        round.take(ReplicaId(from), reply, now, EPS, GUARD);
    }

    #[test]
    fn the_floor_is_the_largest_promise_of_a_quorum() {
        let (membership, now) = (members(&[1, 2, 3], &[], &[]), at(1_000_000));
        let mut round = FloorRound::new();
        answer(&mut round, 1, 30, false, &now);
        answer(&mut round, 1, 30, false, &now);
        assert_eq!(round.floor(&membership), None, "one replica twice is not a quorum");
        answer(&mut round, 3, 20, false, &now);
        assert_eq!(round.floor(&membership), Some(Timestamp(30)));
        assert_eq!(round.unanswered(&membership), [ReplicaId(2)]);
    }

    #[test]
    fn learners_do_not_count_towards_the_floors_quorum() {
        let (membership, now) = (members(&[1, 2, 3], &[4], &[]), at(1_000_000));
        let mut round = FloorRound::new();
        answer(&mut round, 1, 30, false, &now);
        answer(&mut round, 4, 99, false, &now);
        assert_eq!(round.floor(&membership), None);
    }

    #[test]
    fn a_joint_configuration_needs_both_majorities() {
        let (membership, now) = (members(&[1, 2, 3], &[], &[1, 4, 5]), at(1_000_000));
        let mut round = FloorRound::new();
        answer(&mut round, 1, 10, false, &now);
        answer(&mut round, 2, 20, false, &now);
        assert_eq!(round.floor(&membership), None);
        answer(&mut round, 5, 40, false, &now);
        assert_eq!(round.floor(&membership), Some(Timestamp(40)));
    }

    #[test]
    fn a_forgotten_answer_counts_four_uncertainties_ahead_of_the_leaders_clock() {
        let (membership, now) = (members(&[1], &[], &[]), at(1_000_000));
        let mut round = FloorRound::new();
        answer(&mut round, 1, 30, true, &now);
        assert_eq!(round.floor(&membership), Some(now.interval.latest.plus_ns(4 * EPS)));
        let mut round = FloorRound::new();
        let remembered = now.interval.latest.plus_ns(5 * EPS);
        answer(&mut round, 1, remembered.0, true, &now);
        assert_eq!(round.floor(&membership), Some(remembered), "what it accepted since is not masked");
    }

    #[test]
    fn an_answer_beyond_the_entry_guard_is_not_used() {
        let (membership, now) = (members(&[1], &[], &[]), at(1_000_000));
        let mut round = FloorRound::new();
        answer(&mut round, 1, now.interval.latest.0 + 6 * EPS + 1, false, &now);
        assert_eq!(round.floor(&membership), None);
        answer(&mut round, 1, now.interval.latest.0 + 6 * EPS + 1, false, &at(1_000_001));
        assert!(round.floor(&membership).is_some(), "time passes, the answer comes again");
    }
}
