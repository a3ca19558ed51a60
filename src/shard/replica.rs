//! The replica itself: what it holds, how it opens, how messages and ticks go in. Its duties stand in the files
//! beside: admission, persistence, exposure, reign (what only a leader does) and fence.
//!
//! Invariant: after every call, `tail` is the state after the last entry raft's log holds.

use std::collections::VecDeque;

use super::error::{Error, StepRefusal};
use super::fence::Fence;
use super::guard::EntryGuard;
use super::intake;
use super::log_view::{LogView, ShardLog};
use super::options::ShardOptions;
use super::persistence::{Outstanding, Pending};
use super::producers::Fences;
use super::promises::Promises;
use super::reign::{Floor, Reign};
use super::release::{Position, ReleaseQueue, Unreleased};
use super::request::{Answer, Refusal};
use super::rest::Rest;
use super::status::ShardStatus;
use crate::clock::{Fault, Reading};
use crate::codec::{FrameHeader, FrameKind, ShardState};
use crate::consensus::{Group, GroupOptions, LogReader, Message, MessageKind};
use crate::types::{Index, Membership, ReplicaId, Term, Timestamp, Vote};

/// How many of the last frames are asked how far they knew the log committed.
const COMMITTED_LOOKBACK: u64 = 8;

/// One replica of one shard.
pub struct Shard {
    pub(super) options: ShardOptions,
    pub(super) group: Group<LogView>,
    pub(super) log: LogView,
    pub(super) tail: ShardState,
    pub(super) queue: ReleaseQueue,
    pub(super) promises: Promises,
    /// Set while this replica leads.
    pub(super) reign: Option<Reign>,
    /// The first entry of the newest term that began in this log.
    pub(super) term_start: Option<(Term, Index)>,
    pub(super) term: Term,
    /// What raft wants written and sent, not yet handed over.
    pub(super) pending: Pending,
    /// What was handed over and is not durable yet, oldest first.
    pub(super) outstanding: VecDeque<Outstanding>,
    pub(super) synced: Position,
    /// The newest term that is durable here.
    pub(super) durable_term: Term,
    pub(super) fence: Option<Fence>,
    /// Ticks until requests left over from a lost leadership are given up.
    pub(super) orphans_for: Option<u32>,
    pub(super) answers: Vec<Answer>,
    pub(super) fences: Fences,
    pub(super) guarded: u64,
    pub(super) rest: Rest,
    /// The node is about to stop.
    pub(super) retired: bool,
    /// Its disk has no room for more.
    pub(super) full: bool,
    pub(super) failure: Option<Error>,
}

impl Shard {
    /// Opens a replica on its log. `vote` is what the log remembers of votes.
    pub fn open(options: ShardOptions, vote: Vote, log: Box<dyn ShardLog>) -> Result<Self, Error> {
        let log = LogView::new(log);
        let last = log.last_index();
        let tail = log.state_at(last)?;
        let committed = known_committed(&log, vote, &tail)?;
        let group = Group::open(&group_options(&options, vote, committed, &tail), log.clone())?;
        let queue = unreleased(&log, committed, &tail)?;
        let last_term = tail.term;
        let synced = Position { index: tail.index, next_offset: tail.next_offset };
        let mut shard = Self {
            options,
            group,
            log,
            tail,
            queue,
            promises: Promises::default(),
            reign: None,
            term_start: None,
            term: vote.term,
            pending: Pending::default(),
            outstanding: VecDeque::new(),
            synced,
            // Entries of a newer term than the vote tells are on the disk, so that term is durable too.
            durable_term: vote.term.max(last_term),
            fence: None,
            orphans_for: None,
            answers: Vec::new(),
            fences: Fences::default(),
            guarded: 0,
            rest: Rest::default(),
            retired: false,
            full: false,
            failure: None,
        };
        shard.apply_memberships(shard.tail.applied.plus(1), committed)?;
        shard.drain();
        match shard.failure.clone() {
            Some(failure) => Err(failure),
            None => Ok(shard),
        }
    }

    /// Takes a peer's message. One that carries an entry too far in the future is dropped and counted: its
    /// sender tries again, and time may pass.
    pub fn step(&mut self, message: Message, now: &Reading) -> Result<(), StepRefusal> {
        if let Some(failure) = &self.failure {
            return Err(StepRefusal::Stopped { reason: failure.to_string() });
        }
        self.observe(now);
        if message.to != self.options.replica {
            return Err(StepRefusal::WrongReplica { to: message.to, replica: self.options.replica });
        }
        match message.kind {
            MessageKind::Manifest => intake::prove_manifest(&message)?,
            MessageKind::Append => {
                intake::prove(&message)?;
                let committed = self.queue.committed().index;
                if self.guards(now) && intake::is_poisoned(&message, committed, self.guard(), now) {
                    self.guarded += 1;
                    return Ok(());
                }
            }
            _ => {}
        }
        self.rest.hear(&message);
        let stepped = self.group.step(message);
        self.drain();
        stepped.map_err(|error| StepRefusal::Consensus { reason: error.to_string() })
    }

    /// Counts time: elections, heartbeats, and how long a fenced leader has left.
    pub fn tick(&mut self, now: &Reading) {
        if self.failure.is_some() {
            return;
        }
        self.observe(now);
        self.rest.tick();
        self.group.tick();
        self.drain();
        self.tick_fence();
        self.tick_reign(now);
        self.tick_orphans();
    }

    fn tick_orphans(&mut self) {
        match self.orphans_for {
            Some(0) => {
                self.orphans_for = None;
                let tickets = self.queue.abandon_uncommitted();
                self.refuse_all(tickets, &Refusal::LeadershipLost);
            }
            Some(ticks) => self.orphans_for = Some(ticks - 1),
            None => {}
        }
    }

    pub fn status(&self, now: &Reading) -> ShardStatus {
        ShardStatus {
            role: self.group.role(),
            term: self.term,
            leader: self.group.leader(),
            appended: Position { index: self.tail.index, next_offset: self.tail.next_offset },
            synced: self.synced,
            committed: self.queue.committed(),
            released: self.queue.released(),
            closed: self.closed(now),
            floor_pending: self.reign.as_ref().is_some_and(|reign| matches!(reign.floor, Floor::Asking(_))),
            fault: self.fault(now),
            unanswered: self.queue.tickets(),
            guarded: self.guarded,
        }
    }

    /// Stops this replica because its caller could not do what it owes. Every open request is answered.
    pub fn stop(&mut self, reason: String) {
        self.fail(Error::Unwritable { reason });
    }

    /// Why this replica has stopped; it must be opened again.
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// The configuration in force: that of the last applied membership entry.
    pub fn voters(&self) -> Membership {
        self.tail.membership.clone()
    }

    /// How far membership entries are part of `voters`.
    pub fn applied(&self) -> Index {
        self.tail.applied
    }

    pub fn is_leader(&self) -> bool {
        self.reign.is_some()
    }

    pub fn leader(&self) -> Option<ReplicaId> {
        self.group.leader()
    }

    pub fn term(&self) -> Term {
        self.term
    }

    /// Tries to become leader; does nothing while fenced.
    pub fn campaign(&mut self) {
        if self.failure.is_none() && self.fence.is_none() {
            self.rest.end();
            self.group.campaign();
            self.drain();
        }
    }

    /// Hands leadership over to `to`, if this replica leads.
    pub fn transfer(&mut self, to: ReplicaId) {
        if self.failure.is_none() && self.is_leader() {
            self.rest.end();
            self.group.transfer_leader(to);
            self.drain();
        }
    }

    /// Takes no leadership from now on, and gives away what it has: for a node that stops. It replicates and
    /// votes as ever.
    pub fn retire(&mut self) {
        self.retired = true;
        self.rest.end();
        self.group.set_campaigning(false);
        self.hand_over();
    }

    /// The connection to `peer` is lost: what was sent may not arrive.
    pub fn report_unreachable(&mut self, peer: ReplicaId) {
        if self.failure.is_none() {
            self.group.report_unreachable(peer);
            self.drain();
        }
    }

    pub(super) fn guard(&self) -> EntryGuard {
        EntryGuard::new(self.options.eps_max_ns, self.options.backlog_allowance_ns)
    }

    /// Why the clock must not be used now.
    pub(super) fn fault(&self, now: &Reading) -> Option<Fault> {
        let (uncertainty_ns, eps_max_ns) = (now.interval.uncertainty_ns(), self.options.eps_max_ns);
        now.fault.or_else(|| {
            (uncertainty_ns > eps_max_ns).then_some(Fault::TooWide { uncertainty_ns, eps_max_ns })
        })
    }

    pub(super) fn trusts(&self, now: &Reading) -> bool {
        self.fault(now).is_none()
    }

    /// Whether the clock is good enough to hold others' stamps against: one that a peer contradicts may well be the right one,
    /// and the peer the one to guard against.
    fn guards(&self, now: &Reading) -> bool {
        self.fault(now).is_none_or(|fault| fault.is_open())
    }

    /// Stops this replica: nothing more is taken, written, or answered but refusals.
    pub(super) fn fail(&mut self, failure: Error) {
        let refusal = Refusal::Stopped { reason: failure.to_string() };
        self.failure.get_or_insert(failure);
        let tickets = self.queue.abandon_all();
        self.refuse_all(tickets, &refusal);
    }

    pub(super) fn refuse_all(&mut self, tickets: Vec<u64>, refusal: &Refusal) {
        self.answers
            .extend(tickets.into_iter().map(|ticket| Answer { ticket, result: Err(refusal.clone()) }));
    }
}

fn group_options(options: &ShardOptions, vote: Vote, committed: Index, tail: &ShardState) -> GroupOptions {
    GroupOptions {
        replica: options.replica,
        // Of a log that was reset, the applied memberships may lie beyond its end.
        applied: tail.applied.min(tail.index),
        membership: tail.membership.clone(),
        membership_index: tail.applied,
        vote: Vote { committed, ..vote },
        election_ticks_min: options.election_ticks_min,
        election_ticks_max: options.election_ticks_max,
        heartbeat_ticks: options.heartbeat_ticks,
        in_flight_messages_max: options.in_flight_messages_max,
        message_bytes_max: options.message_bytes_max,
        seed: options.seed,
    }
}

/// How far the log is known to be committed: the vote file tells, what is applied, and the last frames' headers.
fn known_committed(log: &LogView, vote: Vote, tail: &ShardState) -> Result<Index, Error> {
    let start = log.first_index().before();
    let mut committed = vote.committed.max(tail.applied.min(tail.index));
    for index in (start.0 + 1..=tail.index.0).rev().take(COMMITTED_LOOKBACK as usize) {
        committed = committed.max(log.header(Index(index))?.committed);
    }
    Ok(committed.max(start))
}

/// The queue of a replica that just opened. What is committed waits as one entry, because the clock may not be
/// past it yet; what may still be lost waits one by one.
fn unreleased(log: &LogView, committed: Index, tail: &ShardState) -> Result<ReleaseQueue, Error> {
    let mut queue = ReleaseQueue::new(Position::default(), Timestamp::ZERO);
    if committed > Index(0) {
        let state = log.state_at(committed)?;
        queue.push(Unreleased {
            position: Position { index: state.index, next_offset: state.next_offset },
            last_timestamp: state.last_timestamp,
            start: state.start.max(log.first_index()),
            is_membership: false,
            committed_at: None,
            waiters: Vec::new(),
        });
    }
    for index in committed.0 + 1..=tail.index.0 {
        queue.push(Unreleased::of(&log.header(Index(index))?));
    }
    Ok(queue)
}

impl Unreleased {
    pub(super) fn of(header: &FrameHeader) -> Self {
        Self {
            position: Position { index: header.index, next_offset: header.next_offset() },
            last_timestamp: header.last_timestamp(),
            start: header.start,
            is_membership: header.kind == FrameKind::Membership,
            committed_at: None,
            waiters: Vec::new(),
        }
    }
}
