//! Appends that are taken only if a condition holds: one at a time in each shard, each with its end before the next.
//!
//! They go by an id of their own, beside the producer's other batches, in no order with those. A batch that was refused for certain left
//! nothing in the shard, so its sequence goes to the next one. One whose fate is unknown may still arrive: the next one begins
//! an epoch, which fences it off. A batch is under way until its end whether or not anybody waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::driver::asks_for_another_attempt;
use super::gather::Wishes;
use super::outcome::{AppendFailure, BatchReport};
use super::requests::receipt_of;
use super::routes::Route;
use super::{OnReport, ProducerOptions};
use crate::client::Outcome;
use crate::client::core::Core;
use crate::client::error::Error;
use crate::client::topic::Topic;
use crate::codec::{EncodedBatch, encode_records};
use crate::routing::Router;
use crate::types::{
    BatchId, BatchRef, Condition, NodeId, ProducerId, Receipt, Record, ShardId, Timestamp, TopicName,
};
use crate::wire::{AppendBody, ErrorCode, RequestBody};

/// No attempt begins later than so before its deadline: it would rather be lost than answered, and what was certainly not
/// applied would end unknown.
const LAST_ATTEMPT_BEFORE: Duration = Duration::from_millis(20);

/// A producer's conditional appends.
pub(super) struct Conditional {
    core: Arc<Core>,
    name: TopicName,
    producer: ProducerId,
    options: ProducerOptions,
    turns: Mutex<HashMap<ShardId, Arc<tokio::sync::Mutex<Turn>>>>,
}

/// Whose turn it is in one shard, and by which identity its batch goes.
struct Turn {
    epoch: u32,
    sequence: u64,
    /// The last timestamp known of the shard.
    seen: Timestamp,
    route: Route,
}

/// One batch and what is asked for it.
struct Asked {
    shard: ShardId,
    batch: EncodedBatch,
    terms: AppendBody,
    deadline: Instant,
    limit: Duration,
}

impl Conditional {
    pub(super) fn new(core: Arc<Core>, name: TopicName, options: ProducerOptions) -> Self {
        let producer = ProducerId(rand::random_range(1..=u64::MAX));
        Self { core, name, producer, options, turns: Mutex::default() }
    }

    /// Appends the records as one batch, if `condition` holds.
    pub(super) async fn append(
        self: &Arc<Self>,
        topic: &Topic,
        condition: Condition,
        records: &[Record],
        wishes: Wishes,
    ) -> Result<Receipt, AppendFailure> {
        let not_sent = |error| failure(error, Outcome::NotApplied);
        let shard = shard_of(&topic.router, &condition, records).map_err(not_sent)?;
        let batch = encode(records).map_err(not_sent)?.compressed(self.options.compression);
        let terms = terms(condition, self.options.wait as u32, wishes.after);
        let asked =
            Asked { shard, batch, terms, deadline: Instant::now() + wishes.limit, limit: wishes.limit };
        let (this, turn) = (Arc::clone(self), self.turn(shard));
        let append = async move {
            let result = match timeout_at(asked.deadline, turn.lock_owned()).await {
                Ok(turn) => this.take_turn(turn, &asked).await,
                Err(_) => Err(failure(this.timeout(&asked, None), Outcome::NotApplied)),
            };
            if let Some(OnReport(on_report)) = &this.options.on_report {
                on_report(&BatchReport { shard, record_count: asked.batch.count, result: result.clone() });
            }
            result
        };
        let ended = tokio::spawn(append).await;
        ended.unwrap_or_else(|_| Err(failure(Error::Closed, Outcome::Unknown)))
    }

    fn turn(&self, shard: ShardId) -> Arc<tokio::sync::Mutex<Turn>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let route = || Route::new(self.options.attempt_timeout, Instant::now());
        let turn = turns.entry(shard).or_insert_with(|| {
            let turn = Turn { epoch: 0, sequence: 1, seen: Timestamp::ZERO, route: route() };
            Arc::new(tokio::sync::Mutex::new(turn))
        });
        Arc::clone(turn)
    }

    /// Tries a batch until it has an answer for good, or its time is over.
    async fn take_turn(
        &self,
        mut turn: OwnedMutexGuard<Turn>,
        asked: &Asked,
    ) -> Result<Receipt, AppendFailure> {
        let mut outcome = Outcome::NotApplied;
        let error = loop {
            let error = match self.attempt(&mut turn, asked).await {
                Ok(receipt) => return Ok(self.applied(&mut turn, receipt)),
                Err(error) => error,
            };
            if error.outcome() == Outcome::Unknown {
                outcome = Outcome::Unknown;
            }
            let floor = floor_of(&error);
            if !asks_for_another_attempt(&error) || (floor.is_some() && outcome == Outcome::Unknown) {
                break typed(asked.shard, error);
            }
            // Every attempt was refused, so that it was never sent, so to say.
            turn.seen = turn.seen.max(floor.unwrap_or_default());
            turn.route.pause(Instant::now());
            let next = turn.route.pause_until().unwrap_or(asked.deadline);
            if next + LAST_ATTEMPT_BEFORE >= asked.deadline {
                break self.timeout(asked, Some(error));
            }
            sleep_until(next).await;
        };
        let (producer, epoch, sequence) = (self.producer, turn.epoch, turn.sequence);
        if outcome == Outcome::Unknown {
            turn.epoch = turn.epoch.checked_add(1).expect("a producer does not see 2^32 epochs");
            turn.sequence = 1;
        }
        let batch = BatchRef { shard: asked.shard, batch: BatchId { producer, epoch, sequence } };
        Err(AppendFailure { batch: Some(Box::new(batch)), ..failure(error, outcome) })
    }

    fn applied(&self, turn: &mut Turn, receipt: Receipt) -> Receipt {
        turn.sequence += 1;
        turn.seen = turn.seen.max(receipt.last_timestamp());
        turn.route.succeeded(Instant::now());
        self.core.session.saw(receipt.last_timestamp());
        receipt
    }

    /// Sends a batch once to whom it takes for the leader. A refusal's hint and a silent node are remembered for the next attempt.
    async fn attempt(&self, turn: &mut Turn, asked: &Asked) -> Result<Receipt, Error> {
        let now = Instant::now();
        let topic = self.core.topic(&self.name).await?;
        let info = topic.shard(asked.shard);
        let replicas: Vec<NodeId> =
            info.iter().flat_map(|info| &info.replicas).map(|replica| replica.node).collect();
        let Some(node) = turn.route.choose(info.and_then(|info| info.leader), &replicas, now) else {
            self.core.refresh(&self.name, Some(&topic)).await?;
            return Err(unreachable(&format!("the leader of shard {}", asked.shard), "nobody knows it yet"));
        };
        turn.route.stream = Some((node, 0));
        turn.route.progressed(now);
        let limit = turn.route.late_at().min(asked.deadline);
        let answer = self.ask(node, turn, asked, limit).await;
        match &answer {
            Err(Error::Refused(refusal)) => {
                turn.route.hint = refusal.leader.filter(|leader| *leader != refusal.node);
            }
            Err(Error::Unreachable { .. } | Error::Disconnected { .. } | Error::Timeout { .. }) => {
                turn.route.was_late(now);
            }
            _ => {}
        }
        let is_lost = |error: &Error| error.is_retryable() && error.code() != Some(ErrorCode::Busy);
        if answer.as_ref().is_err_and(is_lost) && turn.route.hint.is_none() {
            // The next attempt needs it; without it that one goes where this one went.
            let _as_before = timeout_at(asked.deadline, self.core.refresh(&self.name, Some(&topic))).await;
        }
        answer
    }

    async fn ask(&self, node: NodeId, turn: &Turn, asked: &Asked, limit: Instant) -> Result<Receipt, Error> {
        let connected = timeout_at(limit, self.core.connected(node)).await;
        let connected =
            connected.unwrap_or_else(|_| Err(unreachable(&format!("node {node}"), "no answer in time")))?;
        let body = AppendBody {
            shard: asked.shard.0,
            record_count: asked.batch.count,
            body_crc: asked.batch.crc,
            compression: asked.batch.compression as u32,
            producer: self.producer.0,
            epoch: turn.epoch,
            sequence: turn.sequence,
            lowest_open_sequence: turn.sequence,
            floor_ns: turn.seen.0,
            ..asked.terms.clone()
        };
        let (id, payload) = (self.core.request_id(), vec![Bytes::clone(&asked.batch.body)]);
        let answer = timeout_at(limit, connected.ask_with(id, RequestBody::Append(body), payload)).await;
        let answer = answer.unwrap_or_else(|_| Err(self.timeout(asked, None)))?;
        receipt_of(asked.shard, &answer)
    }

    fn timeout(&self, asked: &Asked, last: Option<Error>) -> Error {
        let what = format!("a conditional batch for shard {} of topic {}", asked.shard, self.name);
        Error::Timeout { what, after: asked.limit, last: last.map(Box::new) }
    }
}

/// The floor that a shard tells which may have forgotten the batch's producer.
fn floor_of(error: &Error) -> Option<Timestamp> {
    match error {
        Error::Refused(refusal) if refusal.code == ErrorCode::Forgotten => Some(refusal.floor),
        _ => None,
    }
}

fn failure(error: Error, outcome: Outcome) -> AppendFailure {
    let retryable = error.is_retryable();
    AppendFailure { error, outcome, retryable, batch: None }
}

fn unreachable(address: &str, reason: &str) -> Error {
    Error::Unreachable { address: address.to_owned(), reason: reason.to_owned() }
}

/// What a node's refusal of a condition says.
fn typed(shard: ShardId, error: Error) -> Error {
    let found = match &error {
        Error::Refused(refusal) if refusal.code == ErrorCode::ConditionFailed => refusal.found,
        _ => None,
    };
    found.map_or(error, |found| Error::ConditionFailed { shard, found })
}

fn terms(condition: Condition, wait: u32, after: Timestamp) -> AppendBody {
    let terms = AppendBody { wait, after_ns: after.0, ..AppendBody::default() };
    match condition {
        Condition::NextOffset(offset) => AppendBody { next_offset: Some(offset.0), ..terms },
        Condition::KeyUnchangedSince { key, as_of } => {
            AppendBody { key: Some(key), key_as_of_ns: as_of.0, ..terms }
        }
    }
}

fn encode(records: &[Record]) -> Result<EncodedBatch, Error> {
    encode_records(records).map_err(|problem| Error::Option {
        option: "records",
        found: problem.to_string(),
        rule: "the records of a condition go into one batch: at least one, each of at most 1 MiB, 4 MiB together",
    })
}

/// The one shard that the condition speaks of and that all records go to. Records without a key go along with the others.
fn shard_of(router: &Router, condition: &Condition, records: &[Record]) -> Result<ShardId, Error> {
    let asked = match condition {
        Condition::KeyUnchangedSince { key, .. } => Some(key),
        Condition::NextOffset(_) => None,
    };
    let keys = asked.into_iter().chain(records.iter().filter_map(|record| record.key.as_ref()));
    let mut shards = keys.map(|key| router.shard_of(key));
    let refuse = |found: String, rule| Err(Error::Option { option: "append_if", found, rule });
    let Some(shard) = shards.next() else {
        return match router.shards() {
            [only] => Ok(*only),
            many => refuse(
                format!("records without a key, in a topic of {} shards", many.len()),
                "give a record a key: it names the shard that the condition speaks of",
            ),
        };
    };
    match shards.find(|other| *other != shard) {
        None => Ok(shard),
        Some(other) => refuse(
            format!("keys of the shards {shard} and {other}"),
            "the condition and all its records belong to one shard",
        ),
    }
}
