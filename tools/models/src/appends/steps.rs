//! One step of the world each.

use timberline::types::Index;

use super::model::Appends;
use super::rules::Verdict;
use super::state::{Answer, Batch, Entry, Outcome, Place, Request, Sequence, State, Ticket};
use crate::raft;

impl Appends {
    /// Sends the last batch again, or a new one.
    pub(super) fn send(state: &mut State, batch: Sequence) {
        if batch == state.batches.len() {
            state.batches.push(Batch { attempts: 0, awaited: false, ambiguous: false, outcome: None });
        }
        state.batches[batch].attempts += 1;
        state.batches[batch].awaited = true;
        state.requests.push(Request { batch, awaited: true });
    }

    /// The producer waits no longer; the request may still be under way, or its answer.
    pub(super) fn time_out(state: &mut State, batch: Sequence) {
        state.batches[batch].awaited = false;
        state.batches[batch].ambiguous = true;
        for request in state.requests.iter_mut().filter(|request| request.batch == batch) {
            request.awaited = false;
        }
        for replica in &mut state.replicas {
            replica.tickets.retain(|ticket| ticket.batch != batch);
        }
    }

    pub(super) fn give_up(state: &mut State, batch: Sequence) {
        let batch = &mut state.batches[batch];
        batch.outcome = Some(if batch.ambiguous { Outcome::Unknown } else { Outcome::Failed });
    }

    pub(super) fn deliver(&self, state: &mut State, request: usize, to: Place) {
        let Request { batch, awaited } = state.requests.remove(request);
        let replica = &mut state.replicas[to];
        let verdict = self.verdict(replica, batch);
        let refusal = match verdict {
            _ if !replica.leads => Some(Answer::Failed),
            Verdict::TooOld => Some(Answer::Unknown),
            Verdict::New | Verdict::Duplicate { .. } => None,
        };
        if let Some(refusal) = refusal {
            if awaited {
                state.answer(batch, refusal);
            }
            return;
        }
        let (index, term) = if let Verdict::Duplicate { index, term } = verdict {
            (index, term)
        } else {
            replica.log.push(Entry { term: replica.term, batch: Some(batch) });
            (replica.end(), replica.term)
        };
        if awaited {
            replica.tickets.push(Ticket { batch, index, term });
            replica.tickets.sort_unstable();
        }
    }

    pub(super) fn settle_at(&self, state: &mut State, place: Place, ticket: usize) -> Option<()> {
        let replica = &mut state.replicas[place];
        let answer = self.settle(replica, replica.tickets[ticket])?;
        let ticket = replica.tickets.remove(ticket);
        state.answer(ticket.batch, answer);
        Some(())
    }

    pub(super) fn abandon_at(&self, state: &mut State, place: Place, ticket: usize) -> Option<()> {
        let replica = &mut state.replicas[place];
        if replica.leads {
            return None;
        }
        let ticket = replica.tickets.remove(ticket);
        state.answer(ticket.batch, self.abandon());
        Some(())
    }

    /// A new term for candidate and voters; the leader-start frame follows at once.
    pub(super) fn elect(state: &mut State, candidate: Place, voters: &[Place]) -> Option<()> {
        let log = &state.replicas[candidate].log;
        if !voters.iter().all(|voter| raft::is_up_to_date(log, &state.replicas[*voter].log)) {
            return None;
        }
        state.newest = state.newest.plus(1);
        for place in voters.iter().chain([&candidate]) {
            state.replicas[*place].adopt(state.newest);
        }
        let leader = &mut state.replicas[candidate];
        leader.leads = true;
        leader.log.push(Entry { term: state.newest, batch: None });
        Some(())
    }

    /// One entry, or a heartbeat.
    pub(super) fn replicate(&self, state: &mut State, from: Place, to: Place) {
        let leader = &state.replicas[from];
        let (term, log, known) = (leader.term, leader.log.clone(), leader.committed);
        let follower = &mut state.replicas[to];
        follower.adopt(term);
        let common = Index(raft::matched(&log, &follower.log) as u64);
        let overwrites = common < follower.end() && common.0 < log.len() as u64;
        let matched = Index(raft::copy_next(&log, &mut follower.log) as u64);
        follower.committed = follower.committed.max(known.min(matched));
        if overwrites {
            follower.synced = follower.synced.min(common);
            self.tell_overwritten(state, to, common);
        }
    }

    fn tell_overwritten(&self, state: &mut State, place: Place, common: Index) {
        let Some(answer) = self.overwritten() else { return };
        let tickets = std::mem::take(&mut state.replicas[place].tickets);
        let (gone, kept) = tickets.into_iter().partition(|ticket| ticket.index > common);
        state.replicas[place].tickets = kept;
        let gone: Vec<Ticket> = gone;
        for ticket in gone {
            state.answer(ticket.batch, answer);
        }
    }

    /// A power cut: what was not synced is gone, and so is every connection.
    pub(super) fn restart(state: &mut State, place: Place) {
        let replica = &mut state.replicas[place];
        replica.log.truncate(replica.synced.0 as usize);
        replica.committed = replica.committed.min(replica.synced);
        replica.leads = false;
        replica.tickets.clear();
        state.restarts += 1;
    }
}
