//! A producer: batches in sequence per shard, a window of them open, retries until an answer or its patience ends.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use timberline::codec::{Compression, EncodedBatch, encode_records};
use timberline::lane::{AppendCommand, Event, FenceCommand, Ticket};
use timberline::shard::{Fenced, Outcome as Fate, Refusal};
use timberline::types::{
    AppendTerms, BatchId, Condition, Fate as Known, Found, Monotonic, NodeId, Offset, ProducerId, Receipt,
    Record, ReplicaId, ShardId, Timestamp, Wait,
};
use timberline_checkers::{Append, Expects, Outcome, Stamp, Terms};

use crate::plan::{FaultClass, MS};
use crate::world::{Asker, World};

/// How long an attempt waits for its answer.
const ATTEMPT_NS: u64 = 400 * MS;
const BACKOFF_NS: u64 = 30 * MS;
/// Keys that batches are drawn of: a few more than a leader remembers where that limit is small.
const KEYS: u64 = 7;

/// The producer's timer for its next batch; other purposes are tickets.
const NEXT_BATCH: u64 = 0;

pub(super) struct Producer {
    client: u64,
    shards: BTreeMap<ShardId, Sequence>,
    /// Attempts under way, by ticket.
    attempts: BTreeMap<Ticket, (ShardId, u64)>,
    /// What became of them? By ticket, where the append stands in the history.
    questions: BTreeMap<Ticket, (ShardId, usize)>,
}

/// What a producer has open in one shard.
struct Sequence {
    epoch: u32,
    next: u64,
    leader: NodeId,
    open: VecDeque<Open>,
    /// The highest timestamp that the shard was heard to have released.
    released: Timestamp,
}

struct Open {
    sequence: u64,
    /// Where the append stands in the history.
    place: usize,
    batch: EncodedBatch,
    invalid: bool,
    terms: Terms,
    since_ns: u64,
    attempt: Option<Ticket>,
    /// An attempt may have been applied unseen.
    unknown: bool,
    /// Set when it is first sent.
    floor: Option<Timestamp>,
}

impl Producer {
    pub(super) fn new(client: u64, world: &World) -> Self {
        let first = |spec: &timberline::lane::ShardSpec| {
            let leader = spec.replicas[0].node;
            let open = VecDeque::new();
            (spec.shard, Sequence { epoch: 0, next: 1, leader, open, released: Timestamp::ZERO })
        };
        Self {
            client,
            shards: world.specs.iter().map(first).collect(),
            attempts: BTreeMap::new(),
            questions: BTreeMap::new(),
        }
    }

    pub(super) fn begin(&self, world: &mut World) {
        let delay_ns = world.random.below(world.plan.think_ns);
        world.set_timer(self.client, delay_ns, NEXT_BATCH);
    }

    pub(super) fn is_idle(&self, shard: ShardId) -> bool {
        self.shards.get(&shard).is_none_or(|sequence| sequence.open.is_empty())
    }

    pub(super) fn timer(&mut self, world: &mut World, purpose: u64) {
        if purpose == NEXT_BATCH {
            if !world.calm {
                self.next_batch(world);
                let delay_ns = world.plan.think_ns / 2 + world.random.below(world.plan.think_ns);
                world.set_timer(self.client, delay_ns, NEXT_BATCH);
            }
        } else {
            self.attempt_ends(world, Ticket(purpose));
        }
    }

    fn next_batch(&mut self, world: &mut World) {
        let ids: Vec<ShardId> = self.shards.keys().copied().collect();
        let shard = world.random.pick(&ids);
        let sequence = self.shards.get_mut(&shard).expect("it is one of the keys");
        if sequence.open.front().is_some_and(Open::may_leave_its_number) {
            // Its number is free again once it was refused.
            return;
        }
        let oldest = sequence.open.front().map_or(sequence.next, |open| open.sequence);
        if sequence.open.len() as u64 >= world.plan.window || sequence.next - oldest >= 8 {
            return;
        }
        let place = world.history.appends.len();
        let id = place as u64 + 1;
        let count = world.random.between(1, world.plan.batch_records_max);
        let is_alone = sequence.open.is_empty();
        let terms = terms(world, shard, is_alone);
        let batch = encode(world, id, count, terms.key);
        let invalid = world.plan.has(FaultClass::InvalidBatch) && is_alone && world.random.chance(20);
        let number = u64::from(sequence.epoch) << 32 | sequence.next;
        world.history.appends.push(Append {
            id,
            shard,
            producer: self.client,
            number,
            count: count as u32,
            invoked_ns: world.true_ns(),
            terms,
            outcome: Outcome::Unknown,
        });
        let open = Open {
            sequence: sequence.next,
            place,
            batch,
            invalid,
            terms,
            since_ns: world.now_ns,
            attempt: None,
            unknown: false,
            floor: None,
        };
        if invalid {
            world.totals.count(FaultClass::InvalidBatch);
        }
        sequence.next += 1;
        sequence.open.push_back(open);
        let at = sequence.open.len() - 1;
        self.send(world, shard, at);
    }

    /// Sends an open batch to whom it takes for the leader.
    fn send(&mut self, world: &mut World, shard: ShardId, at: usize) {
        let sequence = self.shards.get_mut(&shard).expect("a producer knows its shards");
        let lowest_open = sequence.open.front().map_or(sequence.next, |open| open.sequence);
        let (epoch, leader, released) = (sequence.epoch, sequence.leader, sequence.released);
        let Some(open) = sequence.open.get_mut(at) else { return };
        let ticket = world.draw_ticket(Asker { client: self.client, shard, reader: 0 });
        open.attempt = Some(ticket);
        let floor = *open.floor.get_or_insert(released);
        let producer = ProducerId(self.client);
        let command = AppendCommand {
            ticket,
            shard,
            batch: BatchId { producer, epoch, sequence: open.sequence },
            terms: open.terms_on_the_wire(lowest_open, floor),
            record_count: open.batch.count,
            compression: open.batch.compression,
            body_crc: open.batch.crc ^ u32::from(open.invalid),
            body: open.batch.body.clone(),
            arrived: Monotonic(0),
        };
        self.attempts.insert(ticket, (shard, open.sequence));
        let place = open.place;
        world.trace.tell(world.now_ns, || {
            format!(
                "producer {} sends append {} for shard {shard} to node {leader}, request {}",
                self.client,
                place + 1,
                ticket.0
            )
        });
        world.request(leader, Event::Append(command));
        world.set_timer(self.client, ATTEMPT_NS, ticket.0);
    }

    /// A timer rings: an attempt waited long enough, or a retry is due.
    fn attempt_ends(&mut self, world: &mut World, ticket: Ticket) {
        let Some((shard, number)) = self.attempts.remove(&ticket) else { return };
        let Some(at) = self.find(shard, number) else { return };
        let nodes = world.node_ids();
        let sequence = self.shards.get_mut(&shard).expect("a producer knows its shards");
        let open = &mut sequence.open[at];
        if open.attempt == Some(ticket) {
            // Silence: it may have been applied. Somebody else may know more.
            open.unknown = true;
            sequence.leader = world.random.pick(&nodes);
        } else if open.attempt.is_some() {
            return;
        }
        if !world.calm && world.now_ns.saturating_sub(open.since_ns) > world.plan.patience_ns {
            self.give_up(world, shard);
        } else {
            self.send(world, shard, at);
        }
    }

    fn find(&self, shard: ShardId, number: u64) -> Option<usize> {
        self.shards.get(&shard)?.open.iter().position(|open| open.sequence == number)
    }

    /// All that is open in a shard is left to its fate, and of every other such batch that is asked for; the next one begins a new epoch.
    fn give_up(&mut self, world: &mut World, shard: ShardId) {
        let mut in_doubt = None;
        let sequence = self.shards.get_mut(&shard).expect("a producer knows its shards");
        for open in sequence.open.drain(..) {
            let unknown = open.unknown || open.attempt.is_some();
            let outcome = if unknown { Outcome::Unknown } else { Outcome::Failed };
            world.history.appends[open.place].outcome = outcome;
            if unknown && open.place % 2 == 0 {
                in_doubt.get_or_insert((sequence.epoch, open.sequence, open.place));
            }
        }
        let leader = sequence.leader;
        (sequence.epoch, sequence.next) = (sequence.epoch + 1, 1);
        self.attempts.retain(|_, (other, _)| *other != shard);
        if let Some((epoch, sequence, place)) = in_doubt {
            self.ask(world, shard, leader, (epoch, sequence), place);
        }
    }

    /// Asks once what became of a batch, for good: no answer leaves it unknown.
    fn ask(&mut self, world: &mut World, shard: ShardId, leader: NodeId, batch: (u32, u64), place: usize) {
        let ticket = world.draw_ticket(Asker { client: self.client, shard, reader: 0 });
        self.questions.insert(ticket, (shard, place));
        let (producer, in_doubt) = (ProducerId(self.client), Some(batch));
        // Every other one by a fence in the epoch that the producer goes on with anyway.
        let same_run = place.is_multiple_of(4);
        let command = FenceCommand { ticket, shard, producer, in_doubt, peek: false, same_run };
        world.trace.tell(world.now_ns, || {
            format!(
                "producer {} asks node {leader} for append {}, request {}",
                self.client,
                place + 1,
                ticket.0
            )
        });
        world.request(leader, Event::FenceProducer(command));
    }

    pub(super) fn told(&mut self, world: &mut World, ticket: Ticket, fenced: &Fenced) {
        let Some((shard, place)) = self.questions.remove(&ticket) else { return };
        let at_ns = world.true_ns();
        let sequence = self.shards.get_mut(&shard).expect("a producer knows its shards");
        sequence.released = sequence.released.max(fenced.at);
        world.history.appends[place].outcome = match fenced.fate {
            Some(Known::Applied(receipt)) => {
                let stamp = Stamp { offset: receipt.first_offset, timestamp: receipt.first_timestamp };
                Outcome::Acknowledged { at_ns, stamp }
            }
            Some(Known::NotApplied) => Outcome::Failed,
            Some(Known::Forgotten | Known::Open) | None => Outcome::Unknown,
        };
    }

    pub(super) fn answer(&mut self, world: &mut World, ticket: Ticket, result: Result<Receipt, Refusal>) {
        let Some((shard, number)) = self.attempts.remove(&ticket) else { return };
        let Some(at) = self.find(shard, number) else { return };
        match result {
            Ok(receipt) => self.acknowledged(world, shard, at, &receipt),
            Err(refusal) => self.refused(world, ticket, (shard, at), &refusal),
        }
    }

    fn acknowledged(&mut self, world: &mut World, shard: ShardId, at: usize, receipt: &Receipt) {
        let at_ns = world.true_ns();
        let sequence = self.shards.get_mut(&shard).expect("a producer knows its shards");
        sequence.released = sequence.released.max(receipt.last_timestamp());
        let open = sequence.open.remove(at).expect("it was just found");
        let stamp = Stamp { offset: receipt.first_offset, timestamp: receipt.first_timestamp };
        world.history.appends[open.place].outcome = Outcome::Acknowledged { at_ns, stamp };
    }

    fn refused(
        &mut self,
        world: &mut World,
        ticket: Ticket,
        (shard, at): (ShardId, usize),
        refusal: &Refusal,
    ) {
        let replica_node =
            |replica: ReplicaId, world: &World| world.specs.iter().find_map(|spec| spec.node_of(replica));
        let nodes = world.node_ids();
        let sequence = self.shards.get_mut(&shard).expect("a producer knows its shards");
        let open = &mut sequence.open[at];
        if open.attempt == Some(ticket) {
            open.attempt = None;
        }
        open.unknown |= refusal.outcome() == Fate::Unknown;
        match refusal {
            Refusal::NotLeader { leader: Some(replica) } => {
                sequence.leader = replica_node(*replica, world).unwrap_or(sequence.leader);
            }
            Refusal::NotLeader { leader: None }
            | Refusal::NotHosted
            | Refusal::Stopped { .. }
            | Refusal::Fenced { .. } => {
                sequence.leader = world.random.pick(&nodes);
            }
            // Nothing took its number: the next batch does.
            _ if open.ends_with(refusal) => {
                world.history.appends[open.place].outcome = Outcome::Failed;
                sequence.next = open.sequence;
                sequence.open.clear();
                return;
            }
            Refusal::Forgotten { floor } => {
                sequence.released = sequence.released.max(*floor);
                if open.unknown {
                    self.give_up(world, shard);
                    return;
                }
                // Every attempt was refused: it was never sent, so to say.
                open.floor = None;
            }
            Refusal::ProducerFenced { epoch } => {
                // By a question of its own.
                self.give_up(world, shard);
                let sequence = self.shards.get_mut(&shard).expect("a producer knows its shards");
                sequence.epoch = sequence.epoch.max(epoch + 1);
                return;
            }
            Refusal::TooOld | Refusal::ConditionFailed { .. } => {
                self.give_up(world, shard);
                return;
            }
            _ => {}
        }
        self.retry(world, ticket, (shard, at));
    }

    fn retry(&mut self, world: &mut World, ticket: Ticket, (shard, at): (ShardId, usize)) {
        let number = self.shards[&shard].open[at].sequence;
        self.attempts.insert(ticket, (shard, number));
        let delay_ns = BACKOFF_NS / 2 + world.random.below(BACKOFF_NS);
        world.set_timer(self.client, delay_ns, ticket.0);
    }
}

impl Open {
    /// Whether a refusal may end it for certain, and nothing takes its number then.
    fn may_leave_its_number(&self) -> bool {
        self.invalid || self.terms.expects.is_some()
    }

    /// Whether that refusal ends it for certain.
    fn ends_with(&self, refusal: &Refusal) -> bool {
        match refusal {
            Refusal::Invalid(_) => self.invalid,
            Refusal::ConditionFailed { .. } => !self.unknown,
            _ => false,
        }
    }

    fn terms_on_the_wire(&self, lowest_open: u64, floor: Timestamp) -> AppendTerms {
        let Terms { key, wait, after, expects } = self.terms;
        let condition = expects.map(|expects| match expects {
            Expects::NextOffset(offset) => Condition::NextOffset(offset),
            Expects::KeyUnchangedSince(as_of) => {
                Condition::KeyUnchangedSince { key: key_of(key.expect("a key is drawn")), as_of }
            }
        });
        AppendTerms { lowest_open, floor, wait, after, condition }
    }
}

/// What an append asks for: most of them nothing, some to stand behind what was heard of the shard last, one way or the other.
fn terms(world: &mut World, shard: ShardId, is_alone: bool) -> Terms {
    let key = Some(world.random.below(KEYS));
    let wait = if world.random.chance(100) { Wait::Committed } else { Wait::Exposed };
    let (next, last) = heard(world, shard);
    let after = if world.random.chance(50) { last } else { Timestamp::ZERO };
    let expects = match world.random.below(20) {
        0 if is_alone => Some(Expects::NextOffset(next)),
        1 if is_alone => Some(Expects::KeyUnchangedSince(last)),
        _ => None,
    };
    Terms { key, wait, after, expects }
}

/// The next offset and the last timestamp of a shard, as far as clients were told: by receipts, and by refusals.
fn heard(world: &World, shard: ShardId) -> (Offset, Timestamp) {
    let acknowledged = world.history.appends.iter().rev().filter(|append| append.shard == shard);
    let acknowledged = acknowledged.filter_map(|append| match append.outcome {
        Outcome::Acknowledged { stamp, .. } => {
            Some((stamp.offset.plus(append.count.into()), append.last_timestamp(stamp)))
        }
        Outcome::Failed | Outcome::Unknown => None,
    });
    let (mut next, mut last) = acknowledged.max().unwrap_or_default();
    for refuted in world.history.refuted.iter().filter(|refuted| refuted.shard == shard) {
        match refuted.found {
            Found::NextOffset(offset) => next = next.max(offset),
            Found::KeyChanged(timestamp) => last = last.max(timestamp),
        }
    }
    (next, last)
}

fn key_of(key: u64) -> Bytes {
    Bytes::from(format!("key {key}"))
}

fn encode(world: &mut World, id: u64, count: u64, key: Option<u64>) -> EncodedBatch {
    let padding = world.random.below(world.plan.value_bytes_max) as usize;
    // Values of a few bytes hardly shrink.
    let compressions = if world.plan.value_bytes_max < 100 { 1 } else { Compression::ALL.len() };
    let compression = Compression::ALL[id as usize % compressions];
    encode_values(id, count, key.map(key_of).as_ref(), &".".repeat(padding)).compressed(compression)
}

/// A batch of an append's records: each says whose it is, and which of them.
pub(super) fn encode_values(id: u64, count: u64, key: Option<&Bytes>, rest: &str) -> EncodedBatch {
    let record = |n: u64| {
        let value = format!("{id} {n} {rest}");
        Record { key: key.cloned(), value: Some(Bytes::from(value)), ..Record::default() }
    };
    let records: Vec<Record> = (0..count).map(record).collect();
    encode_records(&records).expect("small records are encoded")
}
