//! One step of the world each.

use timberline::types::{Index, Term, Timestamp};

use super::model::{Closing, Mutant};
use super::state::{Entry, FloorAnswer, Place, Reign, Replica, State};
use crate::raft;

impl Closing {
    /// A new term, which candidate and voters have on disk; the leader-start frame follows at once.
    pub(super) fn elect(&self, state: &mut State, candidate: Place, voters: &[Place]) -> Option<()> {
        let log = &state.replicas[candidate].log;
        if !voters.iter().all(|voter| raft::is_up_to_date(log, &state.replicas[*voter].log)) {
            return None;
        }
        state.newest = state.newest.plus(1);
        for place in voters.iter().chain([&candidate]) {
            let replica = &mut state.replicas[*place];
            replica.adopt(state.newest);
            replica.durable = state.newest;
        }
        let leader = &mut state.replicas[candidate];
        let floor = self.floor(leader.max_promised, leader.forgotten, state.now);
        leader.reign = Some(if self.is(Mutant::SkipFloor) {
            self.open(leader, Timestamp::ZERO)
        } else {
            Reign::Asking { floor }
        });
        leader.log.push(Entry { term: state.newest, last: leader.last_timestamp(), records: 0 });
        Some(())
    }

    /// One entry, or a heartbeat; what a quorum holds of the leader's own term is committed.
    pub(super) fn replicate(&self, state: &mut State, from: Place, to: Place) {
        let leader = &state.replicas[from];
        let (term, log, known) = (leader.term, leader.log.clone(), leader.committed);
        let follower = &mut state.replicas[to];
        follower.adopt(term);
        follower.durable = term;
        let matched = raft::copy_next(&log, &mut follower.log);
        assert!(follower.committed <= follower.end(), "what is committed is never overwritten");
        // Followers need to know only where somebody reads.
        if self.reads {
            follower.committed = follower.committed.max(known.min(Index(matched as u64)));
        }
        let followers = state.replicas.iter().filter(|replica| replica.term == term);
        let held = followers.map(|replica| raft::matched(&log, &replica.log)).collect();
        let by_quorum = raft::held_by_quorum(held, self.replicas);
        if by_quorum > 0 && log[by_quorum - 1].term == term {
            let leader = &mut state.replicas[from];
            leader.committed = leader.committed.max(Index(by_quorum as u64));
        }
    }

    /// Rule 1.
    pub(super) fn append(&self, state: &mut State, place: Place, latest: Timestamp) -> Option<()> {
        let leader = &mut state.replicas[place];
        let Some(Reign::Open { last }) = &mut leader.reign else { return None };
        *last = latest.max(last.next()).plus_ns(self.batch - 1);
        leader.log.push(Entry { term: leader.term, last: *last, records: self.batch });
        state.appends += 1;
        Some(())
    }

    pub(super) fn accept_at(&self, state: &mut State, place: Place, promise: usize) -> Option<()> {
        let replica = &mut state.replicas[place];
        let offered = &state.promises[promise];
        if replica.reign.is_some() || !self.may_accept(replica, offered, state.now) {
            return None;
        }
        self.accept(replica, offered);
        replica.accepted |= 1 << promise;
        Some(())
    }

    /// The leader accepts last of all, if it still leads.
    pub(super) fn publish(&self, state: &mut State, promise: usize) -> Option<()> {
        let offered = state.promises[promise];
        let leader = state.leader(offered.term)?;
        if !self.is_quorum(state, promise) || !self.may_accept(&state.replicas[leader], &offered, state.now) {
            return None;
        }
        self.accept(&mut state.replicas[leader], &offered);
        state.promises[promise].published = true;
        Some(())
    }

    pub(super) fn answer(&self, state: &mut State, from: Place, term: Term) -> Option<()> {
        let replica = &mut state.replicas[from];
        let answer = self.answer_floor(replica, term)?;
        if replica.answers.iter().any(|sent| FloorAnswer { taken: false, ..*sent } == answer) {
            return None;
        }
        replica.answers.push(answer);
        replica.answers.sort_unstable();
        Some(())
    }

    /// Enough answers, its own included, open the leader's reign.
    pub(super) fn take_answer(&self, state: &mut State, from: Place, answer: usize) -> Option<()> {
        let taken = &mut state.replicas[from].answers[answer];
        taken.taken = true;
        let answer = *taken;
        state.replicas[from].answers.sort_unstable();
        let told = |replica: &&Replica| replica.answers.iter().any(|a| a.taken && a.term == answer.term);
        let answered = state.replicas.iter().filter(told).count();
        let place = state.leader(answer.term)?;
        let leader = &mut state.replicas[place];
        let Some(Reign::Asking { floor }) = leader.reign else { return None };
        let floor = self.floor(answer.max_promised, answer.forgotten, state.now).max(floor);
        let is_quorum = answered >= self.replicas / 2;
        leader.reign = Some(if is_quorum { self.open(leader, floor) } else { Reign::Asking { floor } });
        Some(())
    }

    /// What is on disk stays: the log, the term there, what was known committed.
    pub(super) fn restart(state: &mut State, place: Place) {
        let replica = &mut state.replicas[place];
        replica.term = replica.durable;
        replica.reign = None;
        replica.max_promised = Timestamp::ZERO;
        replica.forgotten = true;
        state.restarts += 1;
    }

    pub(super) fn read(
        &self,
        state: &mut State,
        place: Place,
        by: Option<usize>,
        earliest: Timestamp,
    ) -> Option<()> {
        let promise = by.map(|promise| &state.promises[promise]);
        state.read = Some(self.serve(&state.replicas[place], promise, earliest)?);
        Some(())
    }
}
