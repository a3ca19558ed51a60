//! What may happen next, and what must hold always.

use stateright::{Model, Property};

use super::state::{Outcome, Place, Sequence, State};
use crate::raft;

/// One shard and one producer, as much of them as its fields say.
#[derive(Clone, Debug)]
pub struct Appends {
    pub mutant: Option<Mutant>,
    /// Three or five.
    pub replicas: usize,
    pub terms: u64,
    pub batches: usize,
    /// How often each is sent.
    pub attempts: usize,
    pub restarts: usize,
}

/// One rule bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A new leader remembers no batches of earlier terms.
    ForgetDuplicates,
    AcknowledgeBeforeSync,
    /// Acknowledges whatever was committed at the batch's place.
    AcknowledgeByIndex,
    /// Says failed when leadership was lost.
    LostIsFailed,
    /// Says failed when another leader's entry took the batch's place, not yet committed.
    OverwrittenIsFailed,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Send { batch: Sequence },
    TimeOut { batch: Sequence },
    GiveUp { batch: Sequence },
    Deliver { request: usize, to: Place },
    Settle { replica: Place, ticket: usize },
    Abandon { replica: Place, ticket: usize },
    Elect { candidate: Place, voters: Vec<Place> },
    Replicate { from: Place, to: Place },
    Sync { replica: Place },
    Restart { replica: Place },
}

pub(super) const KEPT: &str = "no acknowledged batch is lost";
pub(super) const ONCE: &str = "no batch stands twice";
pub(super) const FAILED: &str = "what failed never turns up";
pub(super) const AGREE: &str = "replicas agree on what is committed";

impl Appends {
    fn actions_of_producer(&self, state: &State, actions: &mut Vec<Action>) {
        let open = state.batches.iter().position(|batch| batch.outcome.is_none());
        let Some(batch) = open else {
            if state.batches.len() < self.batches {
                actions.push(Action::Send { batch: state.batches.len() });
            }
            return;
        };
        if state.batches[batch].awaited {
            actions.push(Action::TimeOut { batch });
            return;
        }
        actions.push(Action::GiveUp { batch });
        if state.batches[batch].attempts < self.attempts {
            actions.push(Action::Send { batch });
        }
    }

    fn actions_of_replica(&self, state: &State, place: Place, actions: &mut Vec<Action>) {
        let replica = &state.replicas[place];
        actions.extend((0..state.requests.len()).map(|request| Action::Deliver { request, to: place }));
        for ticket in 0..replica.tickets.len() {
            actions.push(Action::Settle { replica: place, ticket });
            actions.push(Action::Abandon { replica: place, ticket });
        }
        if state.newest.0 < self.terms {
            let voters = raft::quorums_with(place, self.replicas);
            actions.extend(voters.into_iter().map(|voters| Action::Elect { candidate: place, voters }));
        }
        if replica.leads {
            let followers =
                (0..self.replicas).filter(|to| *to != place && state.replicas[*to].term <= replica.term);
            actions.extend(followers.map(|to| Action::Replicate { from: place, to }));
        }
        if state.restarts < self.restarts {
            actions.push(Action::Sync { replica: place });
            actions.push(Action::Restart { replica: place });
        }
    }

    /// Leaders learn what is committed as soon as it is, and what nothing can tell apart becomes equal.
    fn simplify(&self, state: &mut State) {
        if state.restarts == self.restarts {
            // The last power cut is over: syncing later only delays.
            for replica in &mut state.replicas {
                replica.synced = replica.end();
            }
        }
        for place in 0..self.replicas {
            if state.replicas[place].leads {
                state.replicas[place].committed = self.committed(state, &state.replicas[place]);
            }
        }
        state.requests.sort_unstable();
        state.replicas.sort_unstable();
    }
}

impl Model for Appends {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(self.replicas)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.actions_of_producer(state, actions);
        for place in 0..self.replicas {
            self.actions_of_replica(state, place, actions);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut next = before.clone();
        let state = &mut next;
        match action {
            Action::Send { batch } => Self::send(state, batch),
            Action::TimeOut { batch } => Self::time_out(state, batch),
            Action::GiveUp { batch } => Self::give_up(state, batch),
            Action::Deliver { request, to } => self.deliver(state, request, to),
            Action::Settle { replica, ticket } => self.settle_at(state, replica, ticket)?,
            Action::Abandon { replica, ticket } => self.abandon_at(state, replica, ticket)?,
            Action::Elect { candidate, voters } => Self::elect(state, candidate, &voters)?,
            Action::Replicate { from, to } => self.replicate(state, from, to),
            Action::Sync { replica } => state.replicas[replica].synced = state.replicas[replica].end(),
            Action::Restart { replica } => Self::restart(state, replica),
        }
        self.simplify(&mut next);
        (next != *before).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(KEPT, |_, state: &State| state.nothing_acknowledged_is_lost()),
            Property::always(ONCE, |_, state: &State| state.nothing_stands_twice()),
            Property::always(FAILED, |_, state: &State| state.nothing_failed_turns_up()),
            Property::always(AGREE, |_, state: &State| state.replicas_agree()),
            Property::sometimes(
                "the last batch is acknowledged at its last attempt",
                |model: &Self, state: &State| {
                    let last = state.batches.get(model.batches - 1);
                    last.is_some_and(|batch| {
                        let acknowledged = matches!(batch.outcome, Some(Outcome::Acknowledged { .. }));
                        batch.attempts == model.attempts && acknowledged
                    })
                },
            ),
            Property::sometimes("a batch of an earlier term is acknowledged", |_, state: &State| {
                let earlier = |outcome| matches!(outcome, Some(Outcome::Acknowledged { term, .. }) if term < state.newest);
                state.batches.iter().any(|batch| earlier(batch.outcome))
            }),
            Property::sometimes("a batch has failed", |_, state: &State| {
                state.batches.iter().any(|batch| batch.outcome == Some(Outcome::Failed))
            }),
            Property::sometimes("a batch that was given up turns up", |_, state: &State| {
                state.something_unknown_turned_up()
            }),
        ]
    }
}
