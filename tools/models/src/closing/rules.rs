//! C1 to C7 as they are written, and what each mutant makes of them.

use timberline::types::{Index, Term, Timestamp};

use super::model::{Closing, Mutant};
use super::state::{FloorAnswer, Promise, Read, Reign, Replica, State, records_up_to};

impl Closing {
    /// What an honest clock may show as `latest`.
    pub(super) fn latest(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        (0..=2 * self.uncertainty).step_by(self.clock_step).map(move |ahead| now.plus_ns(ahead))
    }

    /// C2: the times that the leader of `term` may promise. One that lies does so in the first term.
    pub(super) fn promised(&self, term: Term, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let lie = if self.lying && term == Term(1) { 2 * self.uncertainty } else { 0 };
        (0..=2 * self.uncertainty + lie).step_by(self.clock_step).map(move |ahead| now.plus_ns(ahead))
    }

    /// C2.
    pub(super) fn may_promise(&self, leader: &Replica) -> bool {
        let settled = leader.has_committed_in_term() || self.is(Mutant::PromiseBeforeOwnCommit);
        matches!(leader.reign, Some(Reign::Open { .. })) && settled
    }

    /// C2.
    pub(super) fn promise(&self, leader: &mut Replica, closed: Timestamp) -> Promise {
        if let Some(Reign::Open { last }) = &mut leader.reign
            && !self.is(Mutant::LastNotRaised)
        {
            *last = closed.max(*last);
        }
        let index = if self.is(Mutant::IndexOfCommitted) { leader.committed } else { leader.end() };
        Promise { term: leader.term, closed, index, published: false }
    }

    /// C3, and the poison guard of an acceptor whose clock shows the most it may.
    pub(super) fn may_accept(&self, replica: &Replica, promise: &Promise, now: Timestamp) -> bool {
        let current = promise.term == replica.term
            || self.is(Mutant::AcceptOldTerm) && promise.term < replica.term && replica.reign.is_none();
        let durable = replica.durable == replica.term;
        let guarded = promise.closed <= now.plus_ns(2 * self.uncertainty + 2 * self.uncertainty);
        current && durable && guarded
    }

    /// C3.
    pub(super) fn accept(&self, replica: &mut Replica, promise: &Promise) {
        let overwrites = self.is(Mutant::OverwritePromised);
        let kept = if overwrites { Timestamp::ZERO } else { replica.max_promised };
        replica.max_promised = promise.closed.max(kept);
    }

    /// C4, the leader itself not yet counted.
    pub(super) fn is_quorum(&self, state: &State, promise: usize) -> bool {
        let accepted = state.replicas.iter().filter(|replica| replica.accepted & 1 << promise != 0).count();
        accepted >= self.replicas / 2 || self.is(Mutant::PublishWithoutQuorum)
    }

    /// C6: what a replica answers the leader of `term`, if it may.
    pub(super) fn answer_floor(&self, replica: &Replica, term: Term) -> Option<FloorAnswer> {
        let current = term == replica.term || self.is(Mutant::AnswerFromOldTerm) && term > replica.term;
        let durable = replica.durable == replica.term || self.is(Mutant::VolatileTermAtFloorAnswer);
        let own = replica.reign.is_some() && replica.term == term;
        let Replica { max_promised, forgotten, .. } = *replica;
        (current && durable && !own).then_some(FloorAnswer { term, max_promised, forgotten, taken: false })
    }

    /// C7: what an answer counts, taken by a clock that shows `latest`.
    pub(super) fn floor(&self, max_promised: Timestamp, forgotten: bool, latest: Timestamp) -> Timestamp {
        let masked = self.is(Mutant::ForgottenOnlyWhileEmpty) && max_promised > Timestamp::ZERO;
        let ahead = if self.is(Mutant::ForgottenIsTwoUncertainties) { 2 } else { 4 } * self.uncertainty;
        if !forgotten || masked || self.is(Mutant::ForgottenIsZero) {
            return max_promised;
        }
        max_promised.max(latest.plus_ns(ahead))
    }

    /// C6: where a leader that knows its floor starts.
    pub(super) fn open(&self, leader: &Replica, floor: Timestamp) -> Reign {
        let committed = leader.committed().last().map_or(Timestamp::ZERO, |entry| entry.last);
        let last = if self.is(Mutant::LastFromCommitted) { committed } else { leader.last_timestamp() };
        Reign::Open { last: last.max(floor) }
    }

    /// C5, by a published pair, or C1, by what is released, for a clock that shows `earliest`.
    pub(super) fn serve(&self, replica: &Replica, by: Option<&Promise>, earliest: Timestamp) -> Option<Read> {
        let released = replica.released(earliest);
        let Some(promise) = by else {
            let at = released.last()?.last;
            return Some(Read { at, records: records_up_to(released, at) });
        };
        let known = promise.published || self.is(Mutant::ServeBeforePublication);
        let reached =
            if self.is(Mutant::ServeAtCommitted) { replica.committed } else { Index(released.len() as u64) };
        let at = promise.closed.min(earliest.minus_ns(1));
        (known && reached >= promise.index).then(|| Read { at, records: records_up_to(released, at) })
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether there is room for what `state` would grow by.
    pub(super) fn may_append(&self, state: &State) -> bool {
        state.appends < self.appends
    }
}
