//! What may happen next, and what must hold always.

use stateright::{Model, Property};
use timberline::types::{Term, Timestamp};

use super::state::{Place, Reign, Replica, State};
use crate::raft;

/// One shard, as much of it as its fields say.
#[derive(Clone, Debug)]
pub struct Closing {
    pub mutant: Option<Mutant>,
    /// Three or five.
    pub replicas: usize,
    pub terms: u64,
    pub appends: usize,
    /// Records in each.
    pub batch: u64,
    pub promises: usize,
    pub restarts: usize,
    /// Whether somebody reads, once.
    pub reads: bool,
    /// How long true time goes on.
    pub ticks: u64,
    /// How far an honest clock may be off: also `eps_max`.
    pub uncertainty: u64,
    /// From one of the readings considered to the next.
    pub clock_step: usize,
    /// The first leader's promises lie too far ahead.
    pub lying: bool,
}

/// One rule bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    SkipFloor,
    PublishWithoutQuorum,
    /// Promises above the last committed index, not the last assigned.
    IndexOfCommitted,
    /// Promises without raising what the next stamp must lie above.
    LastNotRaised,
    /// A new leader starts from its last committed entry.
    LastFromCommitted,
    /// Answers a new leader before the new term is on disk.
    VolatileTermAtFloorAnswer,
    /// Answers a new leader without entering its term.
    AnswerFromOldTerm,
    /// Accepts the promise of a leader that was replaced.
    AcceptOldTerm,
    OverwritePromised,
    ServeBeforePublication,
    ServeAtCommitted,
    PromiseBeforeOwnCommit,
    ForgottenIsZero,
    /// Counts a forgotten answer as `latest + 2 eps_max`.
    ForgottenIsTwoUncertainties,
    /// Trusts what a restarted replica accepted since.
    ForgottenOnlyWhileEmpty,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Tick,
    Elect { candidate: Place, voters: Vec<Place> },
    Hear { replica: Place, term: Term },
    Persist { replica: Place },
    Replicate { from: Place, to: Place },
    Append { leader: Place, latest: Timestamp },
    Promise { leader: Place, closed: Timestamp },
    Accept { replica: Place, promise: usize },
    Publish { promise: usize },
    AnswerFloor { replica: Place, term: Term },
    TakeAnswer { from: Place, answer: usize },
    Restart { replica: Place },
    Read { replica: Place, by: Option<usize>, earliest: Timestamp },
}

pub(super) const RISE: &str = "I2: a shard's timestamps strictly rise";
pub(super) const PUBLISHED: &str = "I5: nothing at or below a published time commits above its index";
pub(super) const FINAL: &str = "I6: what a read found is all there will be";

impl Closing {
    fn start() -> Timestamp {
        Timestamp(1)
    }

    /// Makes equal what nothing can tell apart.
    fn simplify(&self, state: &mut State) {
        state.drop_what_is_dead(state.newest.0 == self.terms);
        if state.restarts == self.restarts {
            // Nobody will forget a term: writing it later only delays.
            for replica in &mut state.replicas {
                replica.durable = replica.term;
            }
        }
        state.replicas.sort_unstable();
    }

    fn actions_of_leader(&self, state: &State, place: Place, actions: &mut Vec<Action>) {
        let leader = &state.replicas[place];
        let followers =
            (0..self.replicas).filter(|to| *to != place && state.replicas[*to].term <= leader.term);
        actions.extend(followers.map(|to| Action::Replicate { from: place, to }));
        if self.may_append(state) && matches!(leader.reign, Some(Reign::Open { .. })) {
            actions.extend(self.latest(state.now).map(|latest| Action::Append { leader: place, latest }));
        }
        if state.promises.len() < self.promises && self.may_promise(leader) {
            let promised = self.promised(leader.term, state.now);
            actions.extend(promised.map(|closed| Action::Promise { leader: place, closed }));
        }
    }

    fn actions_of_replica(&self, state: &State, place: Place, actions: &mut Vec<Action>) {
        let replica = &state.replicas[place];
        if state.newest.0 < self.terms {
            let voters = raft::quorums_with(place, self.replicas).into_iter();
            actions.extend(voters.map(|voters| Action::Elect { candidate: place, voters }));
        }
        for term in (replica.term.0 + 1..=state.newest.0).map(Term) {
            actions.push(Action::Hear { replica: place, term });
        }
        if replica.durable < replica.term {
            actions.push(Action::Persist { replica: place });
        }
        for promise in 0..state.promises.len() {
            actions.push(Action::Accept { replica: place, promise });
        }
        for term in (replica.term.0..=state.newest.0).map(Term) {
            actions.push(Action::AnswerFloor { replica: place, term });
        }
        let under_way = replica.answers.iter().enumerate().filter(|(_, answer)| !answer.taken);
        actions.extend(under_way.map(|(answer, _)| Action::TakeAnswer { from: place, answer }));
        if state.restarts < self.restarts {
            actions.push(Action::Restart { replica: place });
        }
    }

    fn reads(&self, state: &State, actions: &mut Vec<Action>) {
        if !self.reads || state.read.is_some() {
            return;
        }
        let times = (1..=state.now.0).map(Timestamp);
        for (replica, earliest) in
            times.flat_map(|earliest| (0..self.replicas).map(move |replica| (replica, earliest)))
        {
            let by = (0..state.promises.len()).map(Some).chain([None]);
            actions.extend(by.map(|by| Action::Read { replica, by, earliest }));
        }
    }
}

impl Model for Closing {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(Self::start(), self.replicas)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < Self::start().plus_ns(self.ticks) {
            actions.push(Action::Tick);
        }
        for place in 0..self.replicas {
            self.actions_of_replica(state, place, actions);
            if state.replicas[place].reign.is_some() {
                self.actions_of_leader(state, place, actions);
            }
        }
        let unpublished = (0..state.promises.len()).filter(|promise| !state.promises[*promise].published);
        actions.extend(unpublished.map(|promise| Action::Publish { promise }));
        self.reads(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut next = before.clone();
        let state = &mut next;
        match action {
            Action::Tick => state.now = state.now.next(),
            Action::Elect { candidate, voters } => self.elect(state, candidate, &voters)?,
            Action::Hear { replica, term } => state.replicas[replica].adopt(term),
            Action::Persist { replica } => state.replicas[replica].durable = state.replicas[replica].term,
            Action::Replicate { from, to } => self.replicate(state, from, to),
            Action::Append { leader, latest } => self.append(state, leader, latest)?,
            Action::Promise { leader, closed } => {
                let promise = self.promise(&mut state.replicas[leader], closed);
                state.promises.push(promise);
            }
            Action::Accept { replica, promise } => self.accept_at(state, replica, promise)?,
            Action::Publish { promise } => self.publish(state, promise)?,
            Action::AnswerFloor { replica, term } => self.answer(state, replica, term)?,
            Action::TakeAnswer { from, answer } => self.take_answer(state, from, answer)?,
            Action::Restart { replica } => Self::restart(state, replica),
            Action::Read { replica, by, earliest } => self.read(state, replica, by, earliest)?,
        }
        self.simplify(&mut next);
        (next != *before).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(RISE, |_, state: &State| state.timestamps_rise()),
            Property::always(PUBLISHED, |_, state: &State| state.published_is_true()),
            Property::always(FINAL, |_, state: &State| state.read_is_final()),
            Property::sometimes("the newest leader publishes a promise", |model: &Self, state: &State| {
                let published = state.promises.iter().filter(|promise| promise.published);
                state.newest.0 == model.terms
                    && published.map(|promise| promise.term).max() == Some(state.newest)
            }),
            Property::sometimes("the newest leader commits a record", |model: &Self, state: &State| {
                let records = state.replicas.iter().flat_map(Replica::committed);
                let mut terms = records.filter(|entry| entry.records > 0).map(|entry| entry.term.0);
                model.appends == 0 || terms.any(|term| term == model.terms)
            }),
            Property::sometimes("a floor lies above the leader's log", |model: &Self, state: &State| {
                let mut leaders = state.replicas.iter().filter(|replica| replica.term.0 == model.terms);
                leaders
                    .any(|leader| leader.reign == Some(Reign::Open { last: leader.last_timestamp().next() }))
            }),
            Property::sometimes("a restarted replica answers a new leader", |model: &Self, state: &State| {
                let mut answers = state.replicas.iter().flat_map(|replica| &replica.answers);
                model.restarts == 0 || answers.any(|answer| answer.forgotten)
            }),
            Property::sometimes(
                "a read finds a record by a published pair",
                |model: &Self, state: &State| {
                    let published =
                        |at| state.promises.iter().any(|promise| promise.published && promise.closed == at);
                    !model.reads || state.read.is_some_and(|read| read.records > 0 && published(read.at))
                },
            ),
        ]
    }
}
