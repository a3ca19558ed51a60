//! The window against a model of a shard that remembers eight batches, over streams that break.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::types::SHARD_IN_FLIGHT_MAX;

/// A shard as `wire::client` describes it: dedup of the last batches of one producer, which it forgets when others come.
#[derive(Default)]
struct Shard {
    epoch: u32,
    last: Option<u64>,
    recent: VecDeque<(u64, Timestamp)>,
    /// Once it forgot the producer: what it forgot lies below.
    horizon: Timestamp,
    now: Timestamp,
    applied: Vec<(u64, Timestamp)>,
}

impl Shard {
    /// The batch's timestamp.
    fn append(&mut self, id: u64, sending: &Sending) -> Result<Timestamp, Error> {
        let Sending { attempt, lowest_open, floor, .. } = *sending;
        let starts = self.last.is_none() || attempt.epoch > self.epoch;
        if attempt.epoch < self.epoch {
            return Err(refused(ErrorCode::ProducerFenced, Outcome::NotApplied, 0));
        }
        if starts && floor < self.horizon {
            return Err(forgotten());
        }
        let expected = if starts { lowest_open } else { self.last.unwrap() + 1 };
        if !starts && attempt.sequence < expected {
            let found = self.recent.iter().find(|(sequence, _)| *sequence == attempt.sequence);
            return Ok(found.expect("sent again after the shard forgot it").1);
        }
        if attempt.sequence != expected {
            return Err(refused(ErrorCode::SequenceGap, Outcome::NotApplied, expected));
        }
        if starts {
            self.recent.clear();
        }
        self.now = self.now.next();
        (self.epoch, self.last) = (attempt.epoch, Some(attempt.sequence));
        self.recent.push_back((attempt.sequence, self.now));
        if self.recent.len() > SHARD_IN_FLIGHT_MAX {
            self.recent.pop_front();
        }
        self.applied.push((id, self.now));
        Ok(self.now)
    }

    /// A straggler of a dead stream: the shard treats it like any other, though what it remembers may be past it.
    fn append_late(&mut self, id: u64, sending: &Sending) -> Result<Timestamp, Error> {
        let sequence = sending.attempt.sequence;
        let is_too_old = sending.attempt.epoch == self.epoch
            && self.last.is_some_and(|last| sequence <= last)
            && !self.recent.iter().any(|(recent, _)| *recent == sequence);
        if is_too_old { Err(busy()) } else { self.append(id, sending) }
    }

    /// What became of a batch; one that is not there is fenced out by its own run.
    fn settle(&mut self, question: Question) -> Told {
        let Question { epoch, sequence } = question;
        let of_epoch = (epoch == self.epoch).then_some(&self.recent);
        let find = |recent: &VecDeque<(u64, Timestamp)>| {
            recent.iter().find(|(found, _)| *found == sequence).copied()
        };
        if let Some((_, at)) = of_epoch.and_then(find) {
            return Told { fate: Fate::Applied(receipt(at)), at };
        }
        let is_behind =
            of_epoch.and_then(|recent| recent.front()).is_some_and(|(first, _)| *first < sequence);
        let may_be_forgotten = self.horizon > Timestamp::ZERO && !is_behind;
        if epoch < self.epoch || may_be_forgotten {
            return Told { fate: Fate::Forgotten, at: Timestamp::ZERO };
        }
        self.now = self.now.next();
        (self.epoch, self.last) = (epoch + 1, None);
        self.recent.clear();
        Told { fate: Fate::NotApplied, at: self.now }
    }

    /// So many others append that this producer is forgotten.
    fn forget(&mut self) {
        self.now = self.now.next();
        *self = Self {
            horizon: self.now,
            now: self.now,
            applied: std::mem::take(&mut self.applied),
            ..Self::default()
        };
    }

    fn holds(&self, id: u64) -> bool {
        self.applied.iter().any(|(applied, _)| *applied == id)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Send,
    Arrive,
    ArriveRefused,
    Answer,
    Ask,
    LoseQuestion,
    Lose,
    Straggle,
    Forget,
    Wait,
    WaitLong,
}

/// Producer, shard and what is between them.
struct World {
    window: Window<u64>,
    shard: Shard,
    now: Instant,
    pushed: u64,
    sent: VecDeque<(u64, Sending)>,
    answers: VecDeque<(Attempt, Result<Timestamp, Error>)>,
    stragglers: VecDeque<(u64, Sending)>,
    late_questions: VecDeque<Question>,
    acked: Vec<u64>,
    /// With their receipts' timestamps, told by a fate.
    told: Vec<(u64, Timestamp)>,
    failed: Vec<(u64, Outcome)>,
    asked: HashMap<Question, u64>,
    verdicts: Vec<(u64, Option<Fate>)>,
}

impl World {
    fn new() -> Self {
        Self {
            window: Window::new(4, false),
            shard: Shard::default(),
            now: Instant::now(),
            pushed: 0,
            sent: VecDeque::new(),
            answers: VecDeque::new(),
            stragglers: VecDeque::new(),
            late_questions: VecDeque::new(),
            acked: Vec::new(),
            told: Vec::new(),
            failed: Vec::new(),
            asked: HashMap::new(),
            verdicts: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push => {
                self.pushed += 1;
                self.window.push(ready(self.pushed, self.now + Duration::from_millis(5)));
            }
            Step::Send => self.send(),
            Step::Arrive => {
                if let Some((id, sending)) = self.sent.pop_front() {
                    let answer = self.shard.append(id, &sending);
                    self.answers.push_back((sending.attempt, answer));
                }
            }
            Step::ArriveRefused => {
                if let Some((_, sending)) = self.sent.pop_front() {
                    self.answers.push_back((sending.attempt, Err(busy())));
                }
            }
            Step::Answer => self.answer(),
            Step::Ask => self.ask(),
            Step::LoseQuestion => {
                if let Some(question) = self.window.next_question() {
                    self.late_questions.push_back(question);
                    self.window.on_unanswered(question);
                }
            }
            Step::Lose => {
                let unanswered = self.answers.drain(..).map(|(attempt, _)| attempt);
                let unanswered = unanswered.chain(self.sent.iter().map(|(_, sending)| sending.attempt));
                for attempt in unanswered.collect::<Vec<_>>() {
                    self.window.on_refused(attempt, lost());
                }
                self.stragglers.append(&mut self.sent);
            }
            Step::Straggle => self.straggle(),
            Step::Forget => self.shard.forget(),
            Step::Wait => self.wait(Duration::from_millis(1)),
            Step::WaitLong => self.wait(ASKED_FOR / 2),
        }
        self.window.drained();
        let verdicts = self.window.take_verdicts().into_iter();
        self.verdicts.extend(verdicts.map(|(question, fate)| (self.asked[&question], fate)));
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        let failed = self.window.expire(self.now, timeout);
        self.fail(failed);
    }

    fn fail(&mut self, failed: impl IntoIterator<Item = Failed<u64>>) {
        for failed in failed {
            self.failed.push((failed.waiter, failed.outcome));
            if failed.is_asked {
                let (epoch, sequence) = failed.batch.expect("it was sent");
                self.asked.insert(Question { epoch, sequence }, failed.waiter);
            }
        }
    }

    fn send(&mut self) {
        if let Some(sending) = self.window.next_sending() {
            let at = self.window.find(sending.attempt).unwrap();
            let id = self.window.open[at].ready.waiter;
            self.sent.push_back((id, sending));
        }
    }

    fn ask(&mut self) {
        let Some(question) = self.window.next_question() else { return };
        let told = self.shard.settle(question);
        match self.window.on_told(question, told) {
            Some(Ended::Applied(id, receipt)) => {
                self.acked.push(id);
                self.told.push((id, receipt.first_timestamp));
            }
            Some(Ended::Failed(failed)) => self.fail([failed]),
            None => {}
        }
    }

    /// Something that was lost arrives after all.
    fn straggle(&mut self) {
        if let Some((id, sending)) = self.stragglers.pop_front() {
            drop(self.shard.append_late(id, &sending));
        }
        if let Some(question) = self.late_questions.pop_front() {
            self.shard.settle(question);
        }
    }

    fn answer(&mut self) {
        let Some((attempt, answer)) = self.answers.pop_front() else { return };
        match answer {
            Ok(at) => self.acked.extend(self.window.on_receipt(attempt, receipt(at))),
            Err(error) => match &error {
                Error::Refused(refusal) if refusal.code == ErrorCode::ProducerFenced => {
                    let is_open = self.window.is_current(attempt);
                    assert!(!is_open, "it shut itself out");
                }
                Error::Refused(refusal) if refusal.code == ErrorCode::SequenceGap => {
                    let expected = refusal.expected_sequence;
                    self.window.on_gap(attempt, expected, error);
                }
                Error::Refused(refusal) if refusal.code == ErrorCode::Forgotten => {
                    let (_, failed) = self.window.on_forgotten(attempt, self.shard.now, error);
                    self.fail(failed);
                }
                _ => {
                    self.window.on_refused(attempt, error);
                }
            },
        }
    }

    /// Nothing is lost any more, and all that was arrives.
    fn calm_down(&mut self) {
        for _ in 0..200 {
            for step in [Step::Ask, Step::Send, Step::Arrive, Step::Answer] {
                self.step(step);
            }
        }
        while !self.window.is_empty() || self.window.wants_to_send() {
            for step in [Step::Lose, Step::Ask, Step::Wait] {
                self.step(step);
            }
        }
        while !self.stragglers.is_empty() || !self.late_questions.is_empty() {
            self.step(Step::Straggle);
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let applied: Vec<u64> = self.shard.applied.iter().map(|(id, _)| *id).collect();
        let mut once = applied.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), applied.len(), "applied twice: {:?}", applied);
        prop_assert!(self.acked.iter().all(|id| applied.contains(id)));
        prop_assert!(self.told.iter().all(|told| self.shard.applied.contains(told)));
        for (id, outcome) in &self.failed {
            prop_assert!(
                *outcome == Outcome::Unknown || !self.shard.holds(*id),
                "{} ended {:?}",
                id,
                outcome
            );
        }
        prop_assert_eq!(self.acked.len() + self.failed.len(), self.pushed as usize, "each ends once");
        let acked: Vec<u64> = applied.iter().copied().filter(|id| self.acked.contains(id)).collect();
        prop_assert!(acked.is_sorted(), "acknowledged out of order: {:?}", acked);
        prop_assert_eq!(self.verdicts.len(), self.asked.len(), "of each that is asked about it is told once");
        for (id, fate) in &self.verdicts {
            let is_true = match fate {
                Some(Fate::Applied(receipt)) => self.shard.applied.contains(&(*id, receipt.first_timestamp)),
                Some(Fate::NotApplied) => !self.shard.holds(*id),
                Some(Fate::Forgotten | Fate::Open) => false,
                None => true,
            };
            prop_assert!(is_true, "of {} was told {:?}", id, fate);
        }
        Ok(())
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Push),
        6 => Just(Step::Send),
        6 => Just(Step::Arrive),
        1 => Just(Step::ArriveRefused),
        6 => Just(Step::Answer),
        4 => Just(Step::Ask),
        1 => Just(Step::LoseQuestion),
        1 => Just(Step::Lose),
        1 => Just(Step::Straggle),
        1 => Just(Step::Forget),
        2 => Just(Step::Wait),
        1 => Just(Step::WaitLong),
    ];
    proptest::collection::vec(step, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_batch_is_applied_once_at_most_and_its_end_and_what_is_told_later_are_true(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.calm_down();
        world.check()?;
    }

    #[test]
    fn of_every_batch_that_ends_unknown_it_is_told_where_questions_are_answered(steps in steps()) {
        let mut world = World::new();
        let is_kind = |step: &Step| !matches!(step, Step::LoseQuestion | Step::Forget | Step::WaitLong);
        for step in steps.into_iter().filter(is_kind) {
            world.step(step);
        }
        world.calm_down();
        world.check()?;
        let unknown = world.failed.iter().filter(|(_, outcome)| *outcome == Outcome::Unknown).count();
        prop_assert_eq!(unknown, world.asked.len(), "none ends unknown but by its deadline");
        let settled = world.verdicts.iter().filter(|(_, fate)| fate.is_some()).count();
        prop_assert_eq!(settled, unknown);
    }
}
