//! One step of the world each.

use timberline::types::{Index, Term, Timestamp};

use super::model::{Closing, Mutant};
use super::state::{Entry, Place, Reign, State};
use crate::raft;

impl Closing {
    /// A new term, which candidate and voter have on disk; the leader-start frame follows at once.
    pub(super) fn elect(&self, state: &mut State, candidate: Place, voter: Place) -> Option<()> {
        if !raft::is_up_to_date(&state.replicas[candidate].log, &state.replicas[voter].log) {
            return None;
        }
        state.newest = state.newest.plus(1);
        for place in [voter, candidate] {
            let replica = &mut state.replicas[place];
            replica.adopt(state.newest);
            replica.durable = state.newest;
        }
        let leader = &mut state.replicas[candidate];
        let own = self.floor(leader.max_promised, leader.forgotten, state.now);
        leader.reign = Some(if self.is(Mutant::SkipFloor) {
            self.open(leader, Timestamp::ZERO)
        } else {
            Reign::Asking { own }
        });
        leader.log.push(Entry { term: state.newest, last: leader.last_timestamp(), records: 0 });
        Some(())
    }

    /// One entry, or a heartbeat; what two of three hold of the leader's own term is committed.
    pub(super) fn replicate(&self, state: &mut State, from: Place, to: Place) {
        let (term, log, known) = {
            let leader = &state.replicas[from];
            (leader.term, leader.log.clone(), leader.committed)
        };
        let follower = &mut state.replicas[to];
        follower.adopt(term);
        follower.durable = term;
        let matched = raft::copy_next(&log, &mut follower.log);
        assert!(follower.committed <= follower.end(), "what is committed is never overwritten");
        // Followers need to know only where somebody reads.
        if self.reads {
            follower.committed = follower.committed.max(known.min(Index(matched as u64)));
        }
        if matched > 0 && log[matched - 1].term == term {
            let leader = &mut state.replicas[from];
            leader.committed = leader.committed.max(Index(matched as u64));
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
        let (now, promise) = (state.now, &mut state.promises[promise]);
        let replica = &mut state.replicas[place];
        if replica.reign.is_some() || !self.may_accept(replica, promise, now) {
            return None;
        }
        self.accept(replica, promise);
        promise.accepted = true;
        Some(())
    }

    /// The leader accepts last of all, if it still leads.
    pub(super) fn publish(&self, state: &mut State, promise: usize) -> Option<()> {
        let (now, promise) = (state.now, &mut state.promises[promise]);
        let mut leaders = state.replicas.iter_mut().filter(|replica| replica.reign.is_some());
        let leader = leaders.find(|replica| replica.term == promise.term)?;
        if !self.is_quorum(promise) || !self.may_accept(leader, promise, now) {
            return None;
        }
        self.accept(leader, promise);
        promise.published = true;
        Some(())
    }

    pub(super) fn answer(&self, state: &mut State, from: Place, term: Term) -> Option<()> {
        let answer = self.answer_floor(&state.replicas[from], term)?;
        let at = state.answers.binary_search(&answer).err()?;
        state.answers.insert(at, answer);
        Some(())
    }

    /// With its own answer one more is two of three.
    pub(super) fn take_answer(&self, state: &mut State, answer: usize) -> Option<()> {
        let answer = state.answers[answer];
        let mut replicas = state.replicas.iter_mut().filter(|replica| replica.term == answer.term);
        let leader = replicas.find(|replica| replica.reign.is_some())?;
        let Some(Reign::Asking { own }) = leader.reign else { return None };
        let floor = self.floor(answer.max_promised, answer.forgotten, state.now).max(own);
        leader.reign = Some(self.open(leader, floor));
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
