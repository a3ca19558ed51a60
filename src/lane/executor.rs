//! The lane itself: routes events to replicas, keeps the ticks, collects what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::closing::{Acceptor, Promiser};
use super::opening::BACKLOG_ALLOWANCE_NS;
use super::outbox::Outbox;
use super::output::{Output, ReadRefusal, ReplicaStatus};
use super::probing::Probing;
use super::recollection::Recollections;
use super::repair::{Scrubber, Ward};
use super::replica::{Failure, Replica, Tokens};
use super::resting::Attendance;
use super::{AppendCommand, Event, FenceCommand, LaneOptions, ReadCommand, ShardSpec};
use crate::clock::{Agreement, AgreementStatus, Moment, Reading};
use crate::disk::Disk;
use crate::log::{OpenFiles, RepairPlan};
use crate::shard::{AppendRequest, FenceRequest, Refusal, latest_admissible};
use crate::types::{Durability, Monotonic, NodeId, ShardId, Timestamp};

/// How often a lane looks whether anything is to be trimmed, or marked.
const RETENTION_TICK: Duration = Duration::from_secs(1);

/// Many replicas, driven by one caller.
pub struct Lane {
    pub(super) options: LaneOptions,
    pub(super) disk: Arc<dyn Disk>,
    /// What the logs of all shards have open.
    pub(super) files: OpenFiles,
    /// Boxed: a tree keeps room for several values in each of its nodes.
    pub(super) replicas: BTreeMap<ShardId, Box<Replica>>,
    pub(super) failed: BTreeMap<ShardId, (ShardSpec, String)>,
    /// Shards made since this lane began: their replicas have no earlier life to have forgotten.
    pub(super) created: BTreeSet<ShardId>,
    /// Replicas that something happened to since the last output.
    pub(super) touched: BTreeSet<ShardId>,
    /// Which replica waits for which request.
    requests: BTreeMap<u64, ShardId>,
    pub(super) last_token: u64,
    /// Replicas by the time that must have passed before they can release or close more.
    wakes: BTreeSet<(Timestamp, ShardId)>,
    wake_of: BTreeMap<ShardId, Timestamp>,
    pub(super) next_raft_tick: Monotonic,
    pub(super) next_closed_tick: Monotonic,
    /// Shards with reads that wait here: they hear when the past is closed.
    pub(super) readers: BTreeSet<ShardId>,
    next_retention_tick: Monotonic,
    pub(super) acceptor: Acceptor,
    pub(super) promiser: Promiser,
    pub(super) ward: Ward,
    pub(super) recollections: Recollections,
    pub(super) scrubber: Scrubber,
    pub(super) outbox: Outbox,
    pub(super) output: Output,
    /// This node's clock against the others'.
    pub(super) probing: Probing,
    /// Set while draining: how long successors may still be waited for.
    pub(super) drain_ticks_left: Option<u32>,
    /// Which other nodes are heard.
    pub(super) attendance: Attendance,
}

impl Lane {
    pub fn new(options: LaneOptions, disk: Arc<dyn Disk>) -> Self {
        let promiser = Promiser::new(options.node, options.seed);
        let files = OpenFiles::new(Arc::clone(&disk), options.log.open_segments_max);
        let scrubber = Scrubber::new(options.scrub);
        let probing = Probing::new(options.node, options.agreement.clone());
        Self {
            options,
            disk,
            files,
            replicas: BTreeMap::new(),
            failed: BTreeMap::new(),
            created: BTreeSet::new(),
            touched: BTreeSet::new(),
            requests: BTreeMap::new(),
            last_token: 0,
            wakes: BTreeSet::new(),
            wake_of: BTreeMap::new(),
            next_raft_tick: Monotonic(0),
            next_closed_tick: Monotonic(0),
            readers: BTreeSet::new(),
            next_retention_tick: Monotonic(0),
            acceptor: Acceptor::default(),
            promiser,
            ward: Ward::default(),
            recollections: Recollections::default(),
            scrubber,
            outbox: Outbox::default(),
            output: Output::default(),
            probing,
            drain_ticks_left: None,
            attendance: Attendance::default(),
        }
    }

    /// Stands for election now: for the preferred leader of a shard just made.
    pub fn campaign(&mut self, shard: ShardId) {
        if let Some(replica) = self.replicas.get_mut(&shard) {
            replica.shard.campaign();
            self.touched.insert(shard);
        }
    }

    /// Takes one event. What it causes comes out of `take_output`.
    pub fn handle(&mut self, event: Event, now: &Reading) {
        // What a message proves of this node's clock counts before anything else of it.
        self.probing.look(&event, now);
        self.attend(&event);
        let now = &self.judged(now);
        match event {
            Event::Append(command) => self.append(command, now),
            Event::FenceProducer(command) => self.fence_producer(command, now),
            Event::Read(command) => self.read(command, now),
            Event::CancelRead(ticket) => {
                self.replicas.values_mut().for_each(|replica| replica.cancel_read(ticket));
            }
            Event::Message { from, message, payload } => self.receive(from, *message, payload, now),
            Event::Synced { token, results } => {
                self.answer(token, |replica, outbox| replica.synced(results, now, outbox));
            }
            Event::Prepared { token, result } => {
                self.answer(token, |replica, _| replica.prepared(result, now));
            }
            Event::Removed { token, result } => {
                self.answer(token, |replica, _| {
                    replica.removed(&result);
                    Ok(())
                });
            }
            Event::TaskDone { token, result } => self.task_done(token, result, now),
            Event::Transfer { shard, to } => self.transfer(shard, to),
            Event::ChangeMembership { ticket, shard, change } => {
                let proposed = match self.replicas.get_mut(&shard) {
                    Some(replica) if replica.shard.is_leader() && self.probing.is_unheard(now) => {
                        Err(Refusal::Unheard)
                    }
                    Some(replica) => replica.shard.change_membership(&change, now),
                    None => Err(Refusal::NotHosted),
                };
                self.touched.insert(shard);
                self.output.changes.push((ticket, proposed));
            }
            Event::Drain => {
                self.drain_ticks_left.get_or_insert(2 * self.options.election_ticks.end);
            }
            Event::Timer | Event::Probe { .. } | Event::Connected(_) => {}
        }
    }

    /// The reading as the other nodes' clocks leave it: what they hold against this node's is its fault, too.
    pub fn judged(&self, now: &Reading) -> Reading {
        self.probing.agreement.judge(now)
    }

    /// What this node knows of the time, for those who make marks of it.
    pub fn moment(&self, now: &Reading) -> Moment {
        Moment {
            reading: self.judged(now),
            is_heard: self.probing.agreement.is_heard(now.monotonic),
            admissible: latest_admissible(self.options.eps_max_ns, BACKLOG_ALLOWANCE_NS, now),
        }
    }

    /// How this node's clock and the others' stand to each other.
    pub fn clocks(&self, now: &Reading) -> AgreementStatus {
        self.probing.agreement.status(now)
    }

    fn append(&mut self, command: AppendCommand, now: &Reading) {
        let ticket = command.ticket;
        let refusal = match self.replicas.get_mut(&command.shard) {
            None => Refusal::NotHosted,
            Some(_) if self.drain_ticks_left.is_some() => Refusal::NotLeader { leader: None },
            Some(replica) if replica.shard.is_leader() && self.probing.is_unheard(now) => Refusal::Unheard,
            Some(replica) => {
                self.touched.insert(command.shard);
                let request = AppendRequest {
                    ticket: ticket.0,
                    batch: command.batch,
                    terms: command.terms,
                    record_count: command.record_count,
                    compression: command.compression,
                    body_crc: command.body_crc,
                    body: command.body,
                    arrived: command.arrived,
                };
                match replica.append(request, now) {
                    Ok(Ok(())) => return,
                    Ok(Err(refusal)) => refusal,
                    Err(failure) => {
                        self.fail(command.shard, &failure);
                        Refusal::Stopped { reason: failure.to_string() }
                    }
                }
            }
        };
        self.output.appended.push((ticket, Err(refusal)));
    }

    fn fence_producer(&mut self, command: FenceCommand, now: &Reading) {
        let FenceCommand { ticket, shard, producer, in_doubt, peek, same_run } = command;
        let told = match self.replicas.get_mut(&shard) {
            None => Err(Refusal::NotHosted),
            Some(_) if self.drain_ticks_left.is_some() => Err(Refusal::NotLeader { leader: None }),
            Some(replica) if replica.shard.is_leader() && self.probing.is_unheard(now) => {
                Err(Refusal::Unheard)
            }
            Some(replica) => {
                self.touched.insert(shard);
                let request = FenceRequest { ticket: ticket.0, producer, in_doubt, peek, same_run };
                match replica.fence_producer(request, now) {
                    Ok(Ok(None)) => return,
                    Ok(Ok(Some(fenced))) => Ok(fenced),
                    Ok(Err(refusal)) => Err(refusal),
                    Err(failure) => {
                        self.fail(shard, &failure);
                        Err(Refusal::Stopped { reason: failure.to_string() })
                    }
                }
            }
        };
        self.output.fenced.push((ticket, told));
    }

    fn read(&mut self, command: ReadCommand, now: &Reading) {
        let shard = command.shard;
        if let Some(replica) = self.replicas.get_mut(&shard) {
            replica.read(command, now, &mut self.output);
            if replica.holds_reads() {
                self.readers.insert(shard);
                // The settling notes when time alone tells it something.
                self.touched.insert(shard);
            }
            self.notice_damage(shard);
            return;
        }
        let refusal = match self.failed.get(&shard) {
            Some((_, reason)) => ReadRefusal::Failed { shard, reason: self.stopped_because(shard, reason) },
            None => ReadRefusal::UnknownShard(shard),
        };
        self.output.reads.push((command.ticket, Err(refusal)));
    }

    fn answer(&mut self, token: u64, deliver: impl FnOnce(&mut Replica, &mut Outbox) -> Result<(), Failure>) {
        // The replica may have failed or gone since it asked.
        let Some(shard) = self.requests.remove(&token) else { return };
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        self.touched.insert(shard);
        if let Err(failure) = deliver(replica, &mut self.outbox) {
            self.fail(shard, &failure);
        }
    }

    fn transfer(&mut self, shard: ShardId, to: NodeId) {
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        if let Some(target) = replica.replica_on(to) {
            replica.shard.transfer(target);
            self.touched.insert(shard);
        }
    }

    pub(super) fn fail(&mut self, shard: ShardId, failure: &Failure) {
        let plan = self.replicas.get(&shard).and_then(|replica| replica.log.borrow().take_damage());
        self.close(shard, failure.to_string(), plan);
    }

    /// Stops a replica; with a plan its log is repaired, and then opened again.
    pub(super) fn close(&mut self, shard: ShardId, reason: String, plan: Option<RepairPlan>) {
        let Some(replica) = self.replicas.remove(&shard) else { return };
        self.forget_wake(shard);
        self.readers.remove(&shard);
        // Whatever is still answered was asked by this life of the replica; the next one has promised nothing yet.
        self.requests.retain(|_, asker| *asker != shard);
        self.created.remove(&shard);
        let (spec, followed) = (replica.spec.clone(), replica.followed());
        replica.stop(&reason, &mut self.output);
        if let Some(plan) = plan {
            self.begin_repair(&spec, plan, Some(followed));
        }
        self.failed.insert(shard, (spec, reason.clone()));
        self.output.failed.push((shard, reason));
    }

    /// Everything that the events so far cause. `now` must not lie before any event's.
    pub fn take_output(&mut self, now: &Reading) -> Output {
        self.probing.agreement.observe(now);
        self.output.probes = self.probing.take(now);
        let stated = Agreement::stated(now);
        let now = &self.judged(now);
        self.run_ticks(now);
        self.wake_due(now);
        while let Some(shard) = self.touched.pop_first() {
            self.settle(shard, now);
        }
        self.output.sends = self.outbox.flush(stated);
        self.output.clock = self.probing.news();
        std::mem::take(&mut self.output)
    }

    fn settle(&mut self, shard: ShardId, now: &Reading) {
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        let Output { syncs, prepares, removals, .. } = &self.output;
        let (syncs, prepares, removals) = (syncs.len(), prepares.len(), removals.len());
        let mut tokens = Tokens { next: &mut self.last_token };
        let settled = replica.settle(now, &mut tokens, &mut self.outbox, &mut self.output);
        let wake = replica.shard.wake_after();
        if replica.shard.is_leader() {
            self.promiser.note_leader(shard);
        }
        if !replica.holds_reads() {
            self.readers.remove(&shard);
        }
        let asked = self.output.syncs[syncs..].iter().map(|sync| sync.token);
        let asked = asked.chain(self.output.prepares[prepares..].iter().map(|prepare| prepare.token));
        let asked = asked.chain(self.output.removals[removals..].iter().map(|removal| removal.token));
        self.requests.extend(asked.map(|token| (token, shard)));
        match settled {
            Ok(()) => {
                self.note_wake(shard, wake);
                self.notice_damage(shard);
            }
            Err(failure) => self.fail(shard, &failure),
        }
    }

    fn note_wake(&mut self, shard: ShardId, wake: Option<Timestamp>) {
        self.forget_wake(shard);
        if let Some(wake) = wake {
            self.wake_of.insert(shard, wake);
            self.wakes.insert((wake, shard));
        }
    }

    pub(super) fn forget_wake(&mut self, shard: ShardId) {
        if let Some(old) = self.wake_of.remove(&shard) {
            self.wakes.remove(&(old, shard));
        }
    }

    /// Timers only wake; what has passed is decided by the reading's `past`.
    fn wake_due(&mut self, now: &Reading) {
        if now.is_trusted() {
            let due = self.wakes.iter().take_while(|(wake, _)| *wake < now.past);
            self.touched.extend(due.map(|(_, shard)| *shard));
        }
    }

    fn run_ticks(&mut self, now: &Reading) {
        self.repair_tick(now);
        self.recollection_tick(now);
        if self.replicas.is_empty() {
            return;
        }
        if now.monotonic >= self.next_raft_tick {
            self.next_raft_tick = next_tick(self.next_raft_tick, self.options.raft_tick, now.monotonic);
            self.raft_tick(now);
        }
        if now.monotonic >= self.next_closed_tick {
            self.next_closed_tick = next_tick(self.next_closed_tick, self.options.closed_tick, now.monotonic);
            if now.is_trusted() {
                self.closed_tick(now);
            }
        }
        if now.monotonic >= self.next_retention_tick {
            self.next_retention_tick = now.monotonic.plus(RETENTION_TICK);
            self.retention_tick(now);
            self.marking_tick(now);
        }
    }

    fn retention_tick(&mut self, now: &Reading) {
        let mut failures = Vec::new();
        let may_assign = !self.probing.is_unheard(now);
        for (shard, replica) in &mut self.replicas {
            if let Err(failure) = replica.keep_to_retention(may_assign, now) {
                failures.push((*shard, failure));
            }
            // What it proposed has to leave; what a full disk kept back is tried again.
            self.touched.insert(*shard);
        }
        for (shard, failure) in failures {
            self.fail(shard, &failure);
        }
    }

    /// When the shell must come back at the latest.
    pub fn deadline(&self, now: &Reading) -> Option<Monotonic> {
        let now = &self.judged(now);
        let asks = [self.ward.due(), self.recollections.due(), self.probing.agreement.due()];
        let asks = asks.into_iter().flatten().min();
        if self.replicas.is_empty() {
            return asks;
        }
        let tick = self.next_raft_tick.min(self.next_closed_tick);
        let tick = asks.map_or(tick, |due| due.min(tick));
        let wake = self
            .wakes
            .first()
            .filter(|_| now.is_trusted())
            .map(|(wake, _)| now.monotonic.plus(Duration::from_nanos(wake.next().ns_since(now.past))));
        Some(wake.map_or(tick, |wake| wake.min(tick)))
    }

    pub fn status(&self, shard: ShardId, now: &Reading) -> Option<ReplicaStatus> {
        let now = &self.judged(now);
        if let Some(replica) = self.replicas.get(&shard) {
            return Some(replica.status(now));
        }
        self.failed.get(&shard).map(|(spec, reason)| self.failed_status(spec, reason))
    }

    pub fn statuses(&self, now: &Reading) -> Vec<ReplicaStatus> {
        let now = &self.judged(now);
        let working = self.replicas.values().map(|replica| replica.status(now));
        let failed = self.failed.values().map(|(spec, reason)| self.failed_status(spec, reason));
        working.chain(failed).collect()
    }

    fn failed_status(&self, spec: &ShardSpec, reason: &str) -> ReplicaStatus {
        ReplicaStatus::failed(spec.shard, spec.topic, &self.stopped_because(spec.shard, reason))
    }

    /// Why a replica stopped, and what is done about it.
    fn stopped_because(&self, shard: ShardId, reason: &str) -> String {
        self.ward.describe(shard).map_or_else(|| reason.to_owned(), |repair| format!("{reason}; {repair}"))
    }

    /// What is done about damage of a shard's files here, in words; `None` if nothing is damaged, as far as is known.
    pub fn repair(&self, shard: ShardId) -> Option<String> {
        self.ward.describe(shard)
    }

    /// Whether the replica still asks what it may have forgotten.
    pub fn recollects(&self, shard: ShardId) -> bool {
        self.recollections.holds(shard)
    }

    /// The process ends in good order: what is held in memory only goes to the disk, and each log says so, and how far it is
    /// synced. A log that cannot say so is asked about, or written back, at its next start. Handle nothing afterwards.
    pub fn close_logs(&mut self) {
        for replica in self.replicas.values() {
            let mut log = replica.log.borrow_mut();
            if replica.spec.durability == Durability::Memory && log.sync_all().is_ok() {
                log.note_volatile(false);
                // A log that cannot say so durably has not said so.
                let _ = log.sync_all();
            }
            log.mark_synced();
        }
    }

    /// Whether a drain has handed every leadership over, or waited two election timeouts for successors.
    pub fn is_drained(&self) -> bool {
        self.drain_ticks_left.is_some_and(|ticks| ticks == 0 || self.leads_nothing())
    }

    fn leads_nothing(&self) -> bool {
        !self.replicas.values().any(|replica| replica.shard.is_leader())
    }
}

/// The tick after `due`. A shell that was held up misses ticks; it does not run them all at once.
fn next_tick(due: Monotonic, tick: Duration, now: Monotonic) -> Monotonic {
    let next = due.plus(tick);
    if next > now { next } else { now.plus(tick) }
}
