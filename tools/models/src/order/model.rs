//! What may happen next, and what must hold always.

use stateright::{Model, Property};
use timberline::types::Timestamp;

use super::clock::{Reading, readings};
use super::state::{Append, Set, Shard, State};

/// Two shards under bounded clocks, as large as its fields say.
#[derive(Clone, Debug)]
pub struct Order {
    pub mutant: Option<Mutant>,
    /// How many appends are sent.
    pub appends: usize,
    /// Timestamps that each takes.
    pub batch: u64,
    /// How far a clock may be off.
    pub uncertainty: u64,
    /// How long true time goes on.
    pub ticks: u64,
    /// Whether anybody asks for merged reads.
    pub merged_reads: bool,
}

/// One rule bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    AssignEarliest,
    AssignMidpoint,
    /// Exposes what is committed at once, to everybody.
    SkipWait,
    /// Shows readers what is committed; only acknowledgements wait.
    GateOnlyAcks,
    /// Stamps with a reading from before the append arrived.
    StaleNow,
    /// Exposes an append of several timestamps when the first has passed.
    ExposeByFirst,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Tick,
    Send { shard: Shard },
    Assign { append: usize, reading: Reading },
    Commit { append: usize },
    Acknowledge { append: usize },
    Read { shard: Shard, earliest: Timestamp },
    MergedRead { shard: Shard, earliest: Timestamp },
}

pub(super) const ACKS: &str = "I3: what was acknowledged before a send is stamped below it";
pub(super) const READS: &str = "I3: what was read before a send is stamped below it";
pub(super) const VISIBLE: &str = "I4: nothing is visible before its time has passed";
pub(super) const ARRIVAL: &str = "no stamp lies before its send";
pub(super) const MERGED: &str = "I6: merged reads at one time agree";

impl Order {
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Late enough that no reading goes below zero.
    fn start(&self) -> Timestamp {
        Timestamp(2 * self.uncertainty + 2)
    }

    /// The time merged reads ask for.
    fn merged_at(&self) -> Timestamp {
        self.start().plus_ns(1)
    }

    fn answer_merged(&self, state: &mut State, shard: Shard, earliest: Timestamp) -> Option<()> {
        let answer = self.merge(state, shard, self.merged_at(), earliest)?;
        state.disagreed |= state.merged[shard].is_some_and(|first| first != answer);
        state.merged[shard].get_or_insert(answer);
        note_read(state, answer);
        Some(())
    }
}

fn note_read(state: &mut State, seen: Set) {
    for (n, append) in state.appends.iter_mut().enumerate() {
        append.read |= seen & 1 << n != 0;
    }
}

fn send(state: &mut State, shard: Shard) {
    let after_acks = state.set(|append| append.acknowledged);
    let after_reads = state.set(|append| append.read);
    let (place, acknowledged, read) = (None, false, false);
    state.appends.push(Append { shard, sent: state.now, after_acks, after_reads, place, acknowledged, read });
}

impl Model for Order {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State { now: self.start(), appends: Vec::new(), merged: [None; 2], disagreed: false }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.start().plus_ns(self.ticks) {
            actions.push(Action::Tick);
        }
        if state.appends.len() < self.appends {
            // Neither shard is special: the first append goes to shard 0.
            let shards = if state.appends.is_empty() { 0..1 } else { 0..2 };
            actions.extend(shards.map(|shard| Action::Send { shard }));
        }
        for (append, sent) in state.appends.iter().enumerate() {
            match sent.place {
                None => {
                    let stamps = self.stamping(state.now).map(|reading| Action::Assign { append, reading });
                    actions.extend(stamps);
                }
                Some(place) if !place.committed => actions.push(Action::Commit { append }),
                Some(_) if !sent.acknowledged => actions.push(Action::Acknowledge { append }),
                Some(_) => {}
            }
        }
        let mut earliest: Vec<Timestamp> =
            readings(state.now, self.uncertainty).map(|reading| reading.earliest).collect();
        earliest.dedup();
        for (shard, earliest) in
            [0, 1].into_iter().flat_map(|shard| earliest.iter().map(move |e| (shard, *e)))
        {
            actions.push(Action::Read { shard, earliest });
            if self.merged_reads {
                actions.push(Action::MergedRead { shard, earliest });
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => state.now = state.now.next(),
            Action::Send { shard } => send(&mut state, shard),
            Action::Assign { append, reading } => {
                state.appends[append].place = Some(self.assign(before, append, reading));
            }
            Action::Commit { append } => {
                let place = before.appends[append].place?;
                let mut placed = before.placed(before.appends[append].shard);
                if placed.any(|(_, other)| other.first < place.first && !other.committed) {
                    return None;
                }
                state.appends[append].place.as_mut()?.committed = true;
            }
            // Of all readings this one shows the most.
            Action::Acknowledge { append } => {
                state.appends[append].acknowledged =
                    self.may_acknowledge(before.appends[append].place?, before.now);
            }
            Action::Read { shard, earliest } => {
                let seen = self.readable(before, shard, earliest);
                note_read(&mut state, seen);
            }
            Action::MergedRead { shard, earliest } => self.answer_merged(&mut state, shard, earliest)?,
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ACKS, |_, state: &State| state.stamped_above(|append| append.after_acks)),
            Property::always(READS, |_, state: &State| state.stamped_above(|append| append.after_reads)),
            Property::always(VISIBLE, |_, state: &State| {
                let mut seen = state.appends.iter().filter(|append| append.acknowledged || append.read);
                seen.all(|append| append.place.is_some_and(|place| place.last < state.now))
            }),
            Property::always(ARRIVAL, |_, state: &State| {
                let stamped = |append: &Append| append.place.is_none_or(|place| place.first >= append.sent);
                state.appends.iter().all(stamped)
            }),
            Property::always(MERGED, |_, state: &State| !state.disagreed),
            Property::sometimes(
                "an append follows one acknowledged by the other shard",
                |_, state: &State| state.follows_across(|append| append.after_acks),
            ),
            Property::sometimes(
                "an append follows an unacknowledged one read in the other shard",
                |_, state: &State| state.follows_across(|append| append.after_reads & !append.after_acks),
            ),
            Property::sometimes(
                "a merged read holds appends of both shards",
                |model: &Self, state: &State| {
                    !model.merged_reads
                        || state.merged.iter().all(|answer| answer.is_some_and(|set| set != 0))
                },
            ),
            Property::sometimes("all is acknowledged", |model: &Self, state: &State| {
                state.appends.len() == model.appends && state.appends.iter().all(|append| append.acknowledged)
            }),
        ]
    }
}
