//! A producer: batches in sequence per shard, a window of them open, retries until an answer or its patience ends.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use timberline::codec::{Compression, EncodedBatch, encode_records};
use timberline::lane::{AppendCommand, Event, Ticket};
use timberline::shard::{Outcome as Fate, Refusal};
use timberline::types::{BatchId, Monotonic, NodeId, ProducerId, Receipt, Record, ReplicaId, ShardId};
use timberline_checkers::{Append, Outcome, Stamp};

use crate::plan::{FaultClass, MS};
use crate::world::{Asker, World};

/// How long an attempt waits for its answer.
const ATTEMPT_NS: u64 = 400 * MS;
const BACKOFF_NS: u64 = 30 * MS;

/// The producer's timer for its next batch; other purposes are tickets.
const NEXT_BATCH: u64 = 0;

pub(super) struct Producer {
    client: u64,
    shards: BTreeMap<ShardId, Sequence>,
    /// Attempts under way, by ticket.
    attempts: BTreeMap<Ticket, (ShardId, u64)>,
}

/// What a producer has open in one shard.
struct Sequence {
    epoch: u32,
    next: u64,
    leader: NodeId,
    open: VecDeque<Open>,
}

struct Open {
    sequence: u64,
    /// Where the append stands in the history.
    place: usize,
    batch: EncodedBatch,
    invalid: bool,
    since_ns: u64,
    attempt: Option<Ticket>,
    /// An attempt may have been applied unseen.
    unknown: bool,
}

impl Producer {
    pub(super) fn new(client: u64, world: &World) -> Self {
        let first = |spec: &timberline::lane::ShardSpec| {
            let leader = spec.replicas[0].node;
            (spec.shard, Sequence { epoch: 0, next: 1, leader, open: VecDeque::new() })
        };
        Self { client, shards: world.specs.iter().map(first).collect(), attempts: BTreeMap::new() }
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
        if sequence.open.front().is_some_and(|open| open.invalid) {
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
        let batch = encode(world, id, count);
        let invalid =
            world.plan.has(FaultClass::InvalidBatch) && sequence.open.is_empty() && world.random.chance(20);
        let number = u64::from(sequence.epoch) << 32 | sequence.next;
        world.history.appends.push(Append {
            id,
            shard,
            producer: self.client,
            number,
            count: count as u32,
            invoked_ns: world.true_ns(),
            outcome: Outcome::Unknown,
        });
        let open = Open {
            sequence: sequence.next,
            place,
            batch,
            invalid,
            since_ns: world.now_ns,
            attempt: None,
            unknown: false,
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
        let (epoch, leader) = (sequence.epoch, sequence.leader);
        let Some(open) = sequence.open.get_mut(at) else { return };
        let ticket = world.draw_ticket(Asker { client: self.client, shard, reader: 0 });
        open.attempt = Some(ticket);
        let producer = ProducerId(self.client);
        let command = AppendCommand {
            ticket,
            shard,
            batch: BatchId { producer, epoch, sequence: open.sequence },
            lowest_open,
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

    /// All that is open in a shard is left to its fate; the next batch begins a new epoch.
    fn give_up(&mut self, world: &mut World, shard: ShardId) {
        let sequence = self.shards.get_mut(&shard).expect("a producer knows its shards");
        for open in sequence.open.drain(..) {
            let unknown = open.unknown || open.attempt.is_some();
            let outcome = if unknown { Outcome::Unknown } else { Outcome::Failed };
            world.history.appends[open.place].outcome = outcome;
        }
        (sequence.epoch, sequence.next) = (sequence.epoch + 1, 1);
        self.attempts.retain(|_, (other, _)| *other != shard);
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
            Refusal::Invalid(_) if open.invalid => {
                // Nothing took its number: the next batch does.
                world.history.appends[open.place].outcome = Outcome::Failed;
                sequence.next = open.sequence;
                sequence.open.clear();
                return;
            }
            Refusal::ProducerFenced { .. } | Refusal::TooOld => {
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

fn encode(world: &mut World, id: u64, count: u64) -> EncodedBatch {
    let padding = world.random.below(world.plan.value_bytes_max) as usize;
    let record = |n: u64| {
        let value = format!("{id} {n} {}", ".".repeat(padding));
        Record { value: Some(Bytes::from(value)), ..Record::default() }
    };
    let records: Vec<Record> = (0..count).map(record).collect();
    // Values of a few bytes hardly shrink.
    let compressions = if world.plan.value_bytes_max < 100 { 1 } else { Compression::ALL.len() };
    let compression = Compression::ALL[id as usize % compressions];
    encode_records(&records).expect("small records are encoded").compressed(compression)
}
