//! What only a leader does, and what it asks of its peers: floors (C6, C7) and promises (C2, C3, C4).
//!
//! Invariant: a reign begins with the floor unknown, and until it is known nothing is stamped or promised.

use std::rc::Rc;

use super::conditions::RecentKeys;
use super::floor::{FloorQuestion, FloorReply, FloorRound};
use super::guard;
use super::promises::Promise;
use super::replica::Shard;
use super::sequencer::Sequencer;
use super::standing::Standing;
use super::strangers::Strangers;
use crate::clock::Reading;
use crate::codec::DedupTable;
use crate::consensus::Role;
use crate::simulation::{Bug, is_planted};
use crate::types::{Index, ReplicaId, Term, Timestamp};

/// One leader's time in office.
#[derive(Debug)]
pub(super) struct Reign {
    pub(super) term: Term,
    pub(super) floor: Floor,
    /// The keys written lately, from the first condition on that asked for one.
    pub(super) recent: Option<RecentKeys>,
    pub(super) strangers: Strangers,
}

/// How much a leader knows of what was promised before it.
#[derive(Debug)]
pub(super) enum Floor {
    Asking(FloorRound),
    Known(Sequencer),
}

impl Shard {
    /// Whom a new leader still has to ask. Ask until this is `None`.
    pub fn floor_request(&self) -> Option<FloorQuestion> {
        let reign = self.reign.as_ref()?;
        let Floor::Asking(round) = &reign.floor else { return None };
        let mut peers = round.unanswered(&self.voters());
        peers.retain(|peer| *peer != self.options.replica);
        Some(FloorQuestion { term: reign.term, peers })
    }

    /// What this replica promised, for the leader of `term`: only once that very term is durable here, because
    /// from then on it accepts no older leader's promises, not even after a restart.
    pub fn answer_floor(&self, term: Term) -> Option<FloorReply> {
        let knows = self.failure.is_none() && self.term == term && self.durable_term == term;
        let reply =
            FloorReply { max_promised: self.promises.max_promised(), forgotten: self.options.forgotten };
        knows.then_some(reply)
    }

    /// Counts a peer's answer; one for another term is none.
    pub fn on_floor_answer(&mut self, from: ReplicaId, term: Term, reply: FloorReply, now: &Reading) {
        if self.trusts(now) && self.reign.as_ref().is_some_and(|reign| reign.term == term) {
            self.count_floor(from, reply, now);
        }
    }

    /// C2. Gives the leader's word that it will never again stamp at or below `closed`, which the caller read as
    /// its `now.latest`. `None` if it must not: no leader, no entry of its own term committed, the floor not
    /// known, the clock not trusted.
    pub fn promise(&mut self, closed: Timestamp, now: &Reading) -> Option<Promise> {
        let may = self.failure.is_none() && self.trusts(now) && closed <= now.interval.latest;
        let committed = self.queue.committed().index;
        let reign = self.reign.as_mut().filter(|_| may)?;
        let (term, start) = self.term_start?;
        let Floor::Known(sequencer) = &mut reign.floor else { return None };
        if term != reign.term || committed < start {
            return None;
        }
        sequencer.promise(closed);
        Some(Promise { term, index: self.tail.index })
    }

    /// C3. Accepts a promise of the current term, if that term is durable here and the promise not too far ahead
    /// of a trusted clock. A leader offers its own promise last.
    pub fn accept_promise(&mut self, promise: Promise, closed: Timestamp, now: &Reading) -> bool {
        let current = promise.term == self.term && self.durable_term == self.term;
        if self.failure.is_some() || !current || !self.trusts(now) {
            return false;
        }
        let admitted = guard::admits_promise(closed, self.options.eps_max_ns, now);
        if admitted {
            self.promises.accept(closed);
        } else {
            self.guarded += 1;
        }
        admitted
    }

    /// Whether this replica may look promises and publications up in a `Standing` rather than be told: what was promised with
    /// `promise` is released here, nothing came after it, and its term is the current one.
    pub fn may_stand(&self, promise: Promise) -> bool {
        self.failure.is_none()
            && (promise.term, promise.term) == (self.term, self.durable_term)
            && promise.index == self.tail.index
            && self.queue.released().index == promise.index
    }

    /// Looks them up from here on, until it stamps an entry, its term or role changes, it begins anew, or [`Self::leave`].
    pub fn stand(&mut self, standing: &Rc<Standing>) {
        self.promises.stand(self.options.shard, standing, self.reign.is_some());
    }

    pub fn stands(&self) -> bool {
        self.promises.stands()
    }

    /// Stops looking promises up, and keeps what they were: a leader stamps nothing below them.
    pub fn leave(&mut self) {
        self.rest.end();
        let Some(promised) = self.promises.leave() else { return };
        if let Some(Floor::Known(sequencer)) = self.reign.as_mut().map(|reign| &mut reign.floor) {
            sequencer.promise(promised);
        }
    }

    /// C4. Takes the fact that a quorum accepted the promise of `closed`, made when `index` was the last assigned.
    pub fn publish(&mut self, closed: Timestamp, index: Index) {
        self.promises.publish(closed, index, self.queue.released().index);
    }

    /// Begins or ends a reign, as raft says.
    pub(super) fn notice_role(&mut self) {
        let term = self.group.term();
        let leads = self.group.role() == Role::Leader && self.failure.is_none();
        // Who has lost its leader is not spoken for by the node that leads.
        if term != self.term || leads != self.reign.is_some() || self.group.leader().is_none() {
            self.leave();
        }
        self.term = term;
        if self.reign.as_ref().is_some_and(|reign| !leads || reign.term != self.term) {
            self.reign = None;
            self.orphans_for = (self.queue.tickets() > 0).then_some(self.options.election_ticks_max);
        }
        if leads && self.reign.is_none() {
            let floor = if is_planted(Bug::SkipFloor) {
                Floor::Known(Sequencer::new(self.tail.last_timestamp, Timestamp::ZERO))
            } else {
                Floor::Asking(FloorRound::new())
            };
            if is_planted(Bug::ForgetDuplicates) {
                self.tail.dedup = DedupTable::default();
            }
            let strangers = Strangers::default();
            self.reign = Some(Reign { term: self.term, floor, recent: None, strangers });
            // What is left over from before is now this leader's to commit.
            self.orphans_for = None;
        }
    }

    /// The leader is one of those who may have promised something: its own answer counts like a peer's.
    pub(super) fn answer_own_floor(&mut self, now: &Reading) {
        let asks = self.reign.as_ref().is_some_and(|reign| matches!(reign.floor, Floor::Asking(_)));
        let reply = if asks && self.trusts(now) { self.answer_floor(self.term) } else { None };
        if let Some(reply) = reply {
            self.count_floor(self.options.replica, reply, now);
        }
    }

    pub(super) fn tick_reign(&mut self, now: &Reading) {
        self.answer_own_floor(now);
    }

    fn count_floor(&mut self, from: ReplicaId, reply: FloorReply, now: &Reading) {
        let (eps_max_ns, guard, membership) = (self.options.eps_max_ns, self.guard(), self.voters());
        let Some(reign) = self.reign.as_mut() else { return };
        if let Floor::Asking(round) = &mut reign.floor {
            round.take(from, reply, now, eps_max_ns, guard);
            if let Some(floor) = round.floor(&membership) {
                reign.floor = Floor::Known(Sequencer::new(self.tail.last_timestamp, floor));
            }
        }
    }
}
