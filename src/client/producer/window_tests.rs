//! The window against a model of a shard that remembers eight batches, over streams that break.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::client::error::Refusal;
use crate::codec::encode_records;
use crate::types::{NodeId, Record, SHARD_IN_FLIGHT_MAX};
use crate::wire::ErrorCode;

fn refused(code: ErrorCode, outcome: Outcome, expected_sequence: u64) -> Error {
    let message = format!("{code:?}");
    Error::Refused(Refusal {
        node: NodeId(1),
        code,
        message,
        retryable: true,
        outcome,
        leader: None,
        expected_sequence,
        trimmed: None,
    })
}

fn busy() -> Error {
    refused(ErrorCode::Busy, Outcome::NotApplied, 0)
}

fn lost() -> Error {
    Error::Disconnected { address: "a:1".into(), reason: "reset".into() }
}

fn timeout(last: Option<Error>) -> Error {
    Error::Timeout { what: "the batch".into(), after: Duration::from_secs(1), last: last.map(Box::new) }
}

fn ready(id: u64, deadline: Instant) -> Ready<u64> {
    let batch = encode_records(&[Record::default()]).unwrap();
    Ready { batch, deadline, waiter: id }
}

fn window_of(batches: u64, deadline: Instant) -> Window<u64> {
    let mut window = Window::new(0, 4);
    (1..=batches).for_each(|id| window.push(ready(id, deadline)));
    window
}

fn send_all(window: &mut Window<u64>) -> Vec<Sending> {
    std::iter::from_fn(|| window.next_sending()).collect()
}

fn lose(window: &mut Window<u64>, sent: &[Sending]) {
    for sending in sent {
        window.on_refused(sending.attempt, lost());
    }
}

fn sequences(sendings: &[Sending]) -> Vec<u64> {
    sendings.iter().map(|sending| sending.attempt.sequence).collect()
}

#[test]
fn no_more_sequences_are_open_than_the_shard_remembers() {
    let mut window = window_of(9, Instant::now());
    let sent = send_all(&mut window);
    assert_eq!(sequences(&sent), [1, 2, 3, 4]);
    assert!(window.on_receipt(sent[2].attempt).is_some());
    assert!(window.next_sending().is_none(), "1 is open, so 5 would be four ahead of it");
    assert!(window.on_receipt(sent[0].attempt).is_some());
    let more = send_all(&mut window);
    assert_eq!((sequences(&more), more[0].lowest_open), (vec![5], 2));
}

#[test]
fn a_refusal_sends_everything_open_again_in_order_and_once() {
    let mut window = window_of(3, Instant::now());
    let sent = send_all(&mut window);
    assert!(window.on_refused(sent[0].attempt, busy()));
    let again = send_all(&mut window);
    assert_eq!(sequences(&again), [1, 2, 3]);
    assert!(
        !window.on_refused(sent[1].attempt, busy()),
        "a late refusal of the first round asks for nothing"
    );
    assert!(window.next_sending().is_none());
}

#[test]
fn a_batch_whose_attempts_were_all_refused_ends_not_applied() {
    let now = Instant::now();
    let mut window = window_of(1, now);
    let sent = send_all(&mut window);
    window.on_refused(sent[0].attempt, busy());
    let failed = window.expire(now, timeout);
    assert_eq!(failed[0].outcome, Outcome::NotApplied);
    assert!(matches!(&failed[0].error, Error::Timeout { last: Some(_), .. }));
}

#[test]
fn a_batch_with_a_lost_attempt_ends_unknown_even_if_a_later_one_was_refused() {
    let now = Instant::now();
    let mut window = window_of(1, now);
    let sent = send_all(&mut window);
    lose(&mut window, &sent);
    let again = send_all(&mut window);
    window.on_refused(again[0].attempt, busy());
    assert_eq!(window.expire(now, timeout)[0].outcome, Outcome::Unknown);
}

#[test]
fn a_gap_outside_the_window_begins_a_new_epoch_with_nothing_lost() {
    let mut window = window_of(2, Instant::now());
    let sent = send_all(&mut window);
    window.on_gap(sent[0].attempt, 77, refused(ErrorCode::SequenceGap, Outcome::NotApplied, 77));
    window.on_gap(sent[1].attempt, 77, refused(ErrorCode::SequenceGap, Outcome::NotApplied, 77));
    assert!(window.drained().is_empty());
    let again = send_all(&mut window);
    assert_eq!((sequences(&again), again[0].attempt.epoch, again[1].lowest_open), (vec![3, 4], 1, 3));
}

#[test]
fn a_batch_never_sent_ends_not_applied() {
    let now = Instant::now();
    let failed = window_of(1, now).expire(now, timeout);
    assert_eq!(failed[0].outcome, Outcome::NotApplied);
}

#[test]
fn after_an_unknown_end_the_rest_goes_on_in_the_next_epoch_from_its_lowest_open() {
    let now = Instant::now();
    let mut window = Window::new(0, 4);
    window.push(ready(1, now));
    window.push(ready(2, now + Duration::from_secs(9)));
    window.push(ready(3, now + Duration::from_secs(9)));
    let sent = send_all(&mut window);
    assert_eq!(window.expire(now, timeout)[0].waiter, 1);
    assert!(window.drained().is_empty() && window.next_sending().is_none(), "2 and 3 are still under way");
    window.on_refused(sent[1].attempt, refused(ErrorCode::SequenceGap, Outcome::NotApplied, 1));
    lose(&mut window, &sent[2..]);
    let ended = window.drained();
    assert_eq!(
        ended.iter().map(|failed| (failed.waiter, failed.outcome)).collect::<Vec<_>>(),
        [(3, Outcome::Unknown)]
    );
    let rest = send_all(&mut window);
    let expected = Attempt { epoch: 1, sequence: 4, round: rest[0].attempt.round };
    assert_eq!((rest.len(), rest[0].attempt, rest[0].lowest_open), (1, expected, 4));
}

/// A shard as `wire::client` describes it: dedup of the last batches of one producer.
#[derive(Default)]
struct Shard {
    epoch: u32,
    last: Option<u64>,
    recent: VecDeque<u64>,
    applied: Vec<u64>,
}

impl Shard {
    fn append(&mut self, id: u64, attempt: Attempt, lowest_open: u64) -> Result<(), Error> {
        let starts = self.last.is_none() || attempt.epoch > self.epoch;
        if attempt.epoch < self.epoch {
            return Err(refused(ErrorCode::ProducerFenced, Outcome::NotApplied, 0));
        }
        let expected = if starts { lowest_open } else { self.last.unwrap() + 1 };
        if !starts && attempt.sequence < expected {
            assert!(self.recent.contains(&attempt.sequence), "sent again after the shard forgot it");
            return Ok(());
        }
        if attempt.sequence != expected {
            return Err(refused(ErrorCode::SequenceGap, Outcome::NotApplied, expected));
        }
        if starts {
            self.recent.clear();
        }
        (self.epoch, self.last) = (attempt.epoch, Some(attempt.sequence));
        self.recent.push_back(attempt.sequence);
        if self.recent.len() > SHARD_IN_FLIGHT_MAX {
            self.recent.pop_front();
        }
        self.applied.push(id);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Send,
    Arrive,
    ArriveRefused,
    Answer,
    Lose,
    Straggle,
    Wait,
}

/// Producer, shard and what is between them.
struct World {
    window: Window<u64>,
    shard: Shard,
    now: Instant,
    pushed: u64,
    sent: VecDeque<(u64, Sending)>,
    answers: VecDeque<(Attempt, Result<(), Error>)>,
    stragglers: VecDeque<(u64, Sending)>,
    acked: Vec<u64>,
    failed: Vec<(u64, Outcome)>,
}

impl World {
    fn new() -> Self {
        Self {
            window: Window::new(0, 4),
            shard: Shard::default(),
            now: Instant::now(),
            pushed: 0,
            sent: VecDeque::new(),
            answers: VecDeque::new(),
            stragglers: VecDeque::new(),
            acked: Vec::new(),
            failed: Vec::new(),
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
                    let answer = self.shard.append(id, sending.attempt, sending.lowest_open);
                    self.answers.push_back((sending.attempt, answer));
                }
            }
            Step::ArriveRefused => {
                if let Some((_, sending)) = self.sent.pop_front() {
                    self.answers.push_back((sending.attempt, Err(busy())));
                }
            }
            Step::Answer => self.answer(),
            Step::Lose => {
                let unanswered = self.answers.drain(..).map(|(attempt, _)| attempt);
                let unanswered = unanswered.chain(self.sent.iter().map(|(_, sending)| sending.attempt));
                for attempt in unanswered.collect::<Vec<_>>() {
                    self.window.on_refused(attempt, lost());
                }
                self.stragglers.append(&mut self.sent);
            }
            Step::Straggle => {
                if let Some((id, sending)) = self.stragglers.pop_front() {
                    drop(self.shard.append_late(id, &sending));
                }
            }
            Step::Wait => {
                self.now += Duration::from_millis(1);
                let failed = self.window.expire(self.now, timeout);
                self.failed.extend(failed.into_iter().map(|failed| (failed.waiter, failed.outcome)));
            }
        }
        let failed = self.window.drained();
        self.failed.extend(failed.into_iter().map(|failed| (failed.waiter, failed.outcome)));
    }

    fn send(&mut self) {
        if let Some(sending) = self.window.next_sending() {
            let at = self.window.find(sending.attempt).unwrap();
            let id = self.window.open[at].ready.waiter;
            self.sent.push_back((id, sending));
        }
    }

    fn answer(&mut self) {
        match self.answers.pop_front() {
            Some((attempt, Ok(()))) => self.acked.extend(self.window.on_receipt(attempt)),
            Some((attempt, Err(error))) => match &error {
                Error::Refused(refusal) if refusal.code == ErrorCode::ProducerFenced => {
                    let failed = self.window.on_rejected(attempt, error);
                    self.failed.extend(failed.map(|failed| (failed.waiter, failed.outcome)));
                }
                Error::Refused(refusal) if refusal.code == ErrorCode::SequenceGap => {
                    let expected = refusal.expected_sequence;
                    self.window.on_gap(attempt, expected, error);
                }
                _ => {
                    self.window.on_refused(attempt, error);
                }
            },
            None => {}
        }
    }
}

impl Shard {
    /// A straggler of a dead stream: the shard treats it like any other, though what it remembers may be past it.
    fn append_late(&mut self, id: u64, sending: &Sending) -> Result<(), Error> {
        let forgotten = sending.attempt.epoch == self.epoch
            && self.last.is_some_and(|last| sending.attempt.sequence <= last)
            && !self.recent.contains(&sending.attempt.sequence);
        if forgotten { Err(busy()) } else { self.append(id, sending.attempt, sending.lowest_open) }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Push),
        6 => Just(Step::Send),
        6 => Just(Step::Arrive),
        1 => Just(Step::ArriveRefused),
        6 => Just(Step::Answer),
        1 => Just(Step::Lose),
        1 => Just(Step::Straggle),
        1 => Just(Step::Wait),
    ];
    proptest::collection::vec(step, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_batch_is_applied_once_at_most_and_its_end_tells_the_truth(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        for _ in 0..200 {
            for step in [Step::Send, Step::Arrive, Step::Answer] {
                world.step(step);
            }
        }
        while !world.window.is_empty() {
            world.step(Step::Lose);
            world.step(Step::Wait);
        }
        let applied = &world.shard.applied;
        let mut once = applied.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), applied.len(), "applied twice: {:?}", applied);
        prop_assert!(world.acked.iter().all(|id| applied.contains(id)));
        for (id, outcome) in &world.failed {
            prop_assert!(*outcome == Outcome::Unknown || !applied.contains(id), "{} ended {:?}", id, outcome);
        }
        prop_assert_eq!(world.acked.len() + world.failed.len(), world.pushed as usize, "each ends once");
        let acked: Vec<u64> = applied.iter().copied().filter(|id| world.acked.contains(id)).collect();
        prop_assert!(acked.is_sorted(), "acknowledged out of order: {:?}", acked);
    }
}
