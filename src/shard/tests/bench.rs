//! Three replicas on one bench: their logs, their clocks, the wire between them, all moved by hand.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;

use crate::clock::{Fault, Reading, TimeInterval};
use crate::codec::{Frame, FrameHeader, FrameKind, ShardState, encode_records};
use crate::consensus::{LogEntry, LogReader, Manifest, Message, MessageKind, ReadError};
use crate::shard::test_time::EPS;
use crate::shard::{Admission, Answer, AppendRequest, Persist, Refusal, Shard, ShardLog, ShardOptions};
use crate::types::{
    AppendTerms, BatchId, Durability, Index, Membership, Monotonic, ProducerId, Receipt, Record, ReplicaId,
    ShardId, Term, Timestamp, Vote,
};

/// Where the bench's true time starts.
pub(super) const START: u64 = 1_000_000_000;
pub(super) const ELECTION_TICKS: u32 = 10;

/// A log in memory. Clones are handles to the same log.
#[derive(Clone)]
pub(super) struct MemLog(Rc<RefCell<Inner>>);

struct Inner {
    frames: Vec<Frame>,
    states: Vec<ShardState>,
    vote: Vote,
    /// Frames and vote as a power cut would leave them.
    durable: (usize, Vote),
}

impl MemLog {
    fn new(replicas: u64) -> Self {
        let membership =
            Membership { voters: (1..=replicas).map(ReplicaId).collect(), ..Membership::default() };
        let genesis = ShardState::genesis(&cluster(), &ShardId(7), membership);
        let vote = Vote::default();
        let inner = Inner { frames: Vec::new(), states: vec![genesis], vote, durable: (0, vote) };
        Self(Rc::new(RefCell::new(inner)))
    }

    fn write(&self, persist: &Persist) {
        let mut inner = self.0.borrow_mut();
        if let Some(state) = &persist.reset {
            // A reset is durable at once.
            (inner.frames, inner.states) = (Vec::new(), vec![state.clone()]);
            inner.durable.0 = 0;
        }
        let base = inner.base();
        for frame in &persist.frames {
            let keep = (frame.header.index.0 - base) as usize - 1;
            assert!(keep <= inner.frames.len(), "frames are consecutive");
            inner.frames.truncate(keep);
            inner.states.truncate(keep + 1);
            inner.durable.0 = inner.durable.0.min(keep);
            let mut state = inner.states[keep].clone();
            assert_eq!(frame.header.chain, state.chain, "what is written hangs together");
            state.fold(&frame.header, frame.header_crc());
            inner.states.push(state);
            inner.frames.push(frame.clone());
        }
        inner.vote = persist.vote.unwrap_or(inner.vote);
    }

    fn sync(&self) {
        let mut inner = self.0.borrow_mut();
        inner.durable = (inner.frames.len(), inner.vote);
    }

    fn cut_power(&self) {
        let mut inner = self.0.borrow_mut();
        let (frames, vote) = inner.durable;
        inner.frames.truncate(frames);
        inner.states.truncate(frames + 1);
        inner.vote = vote;
    }

    /// Forgets what lies below `start`, as a log's files would. Everything must be durable.
    pub(super) fn trim(&self, start: Index) {
        let mut inner = self.0.borrow_mut();
        let gone = (start.0 - inner.base()) as usize - 1;
        inner.frames.drain(..gone);
        inner.states.drain(..gone);
        inner.durable.0 -= gone;
    }

    pub(super) fn frames(&self) -> Vec<Frame> {
        self.0.borrow().frames.clone()
    }

    /// The frames that hold records.
    pub(super) fn data(&self) -> Vec<FrameHeader> {
        let frames = self.frames();
        frames.iter().map(|frame| frame.header).filter(|header| header.kind == FrameKind::Data).collect()
    }
}

impl Inner {
    /// The entry before the first.
    fn base(&self) -> u64 {
        self.states[0].index.0
    }

    fn at(&self, index: Index) -> Result<usize, ReadError> {
        let at = index.0.checked_sub(self.base()).ok_or(ReadError::Compacted { index })?;
        Ok(at as usize)
    }
}

impl LogReader for MemLog {
    fn first_index(&self) -> Index {
        Index(self.0.borrow().base() + 1)
    }

    fn last_index(&self) -> Index {
        let inner = self.0.borrow();
        Index(inner.base() + inner.frames.len() as u64)
    }

    fn term(&self, index: Index) -> Result<Term, ReadError> {
        self.state_at(index).map(|state| state.term)
    }

    fn entries(&self, from: Index, to: Index, max_bytes: u64) -> Result<Vec<LogEntry>, ReadError> {
        let inner = self.0.borrow();
        let (first, end) = (inner.at(from)?, inner.at(to)?);
        let first = first.checked_sub(1).ok_or(ReadError::Compacted { index: from })?;
        let frames = inner.frames.get(first..end - 1);
        let mut bytes = 0;
        let fits = |frame: &&Frame| {
            bytes += frame.header.frame_len() as u64;
            bytes <= max_bytes || frame.header.index == from
        };
        let frames = frames.ok_or(ReadError::Unavailable { index: to })?;
        Ok(frames.iter().take_while(fits).map(entry_of).collect())
    }

    fn manifest(&self) -> Manifest {
        let state = self.0.borrow().states[0].clone();
        Manifest {
            index: state.index,
            term: state.term,
            membership_index: state.applied,
            membership: state.membership.clone(),
            shard_state: state.encode(),
        }
    }
}

fn entry_of(frame: &Frame) -> LogEntry {
    let by_raft = frame.header.kind == FrameKind::LeaderStart;
    LogEntry {
        term: frame.header.term,
        index: frame.header.index,
        membership: frame.header.kind == FrameKind::Membership,
        context: if by_raft { Bytes::new() } else { frame.header_bytes.clone() },
        data: frame.body.clone(),
    }
}

impl ShardLog for MemLog {
    fn state_at(&self, index: Index) -> Result<ShardState, ReadError> {
        let inner = self.0.borrow();
        let state = inner.states.get(inner.at(index)?).cloned();
        state.ok_or(ReadError::Unavailable { index })
    }

    fn header(&self, index: Index) -> Result<FrameHeader, ReadError> {
        let inner = self.0.borrow();
        let at = inner.at(index)?.checked_sub(1).ok_or(ReadError::Compacted { index })?;
        let header = inner.frames.get(at).map(|frame| frame.header);
        header.ok_or(ReadError::Unavailable { index })
    }
}

/// One replica with its log and its clock.
pub(super) struct Node {
    pub(super) shard: Shard,
    pub(super) log: MemLog,
    /// What this node's clock is off by.
    pub(super) skew_ns: i64,
    pub(super) fault: Option<Fault>,
    /// A disk that is not asked to sync keeps what it was given unsynced.
    pub(super) syncs: bool,
    pub(super) is_cut_off: bool,
    /// Peers do not get its floor answers.
    unsynced: VecDeque<u64>,
    pub(super) answers: BTreeMap<u64, Result<Receipt, Refusal>>,
    /// Tickets in the order of their answers.
    pub(super) answered: Vec<u64>,
}

pub(super) struct Bench {
    pub(super) nodes: Vec<Node>,
    pub(super) true_ns: u64,
    wire: VecDeque<Message>,
    /// Messages of these kinds are lost.
    pub(super) lost: Vec<MessageKind>,
    /// Leaders ask for floors, and their peers answer.
    pub(super) floors: bool,
    sequence: u64,
    ticket: u64,
}

pub(super) fn cluster() -> crate::types::ClusterId {
    "bench".parse().expect("a valid name")
}

fn options(replica: u64, forgotten: bool) -> ShardOptions {
    ShardOptions {
        cluster: cluster(),
        shard: ShardId(7),
        replica: ReplicaId(replica),
        durability: Durability::Disk,
        eps_max_ns: EPS,
        backlog_allowance_ns: 1_000,
        election_ticks_min: ELECTION_TICKS,
        election_ticks_max: 2 * ELECTION_TICKS,
        heartbeat_ticks: 2,
        in_flight_messages_max: 16,
        message_bytes_max: 1 << 20,
        unanswered_max: 8,
        seed: 42,
        forgotten,
    }
}

pub(super) fn records(count: u32) -> Vec<Record> {
    (0..count).map(|n| Record { value: Some(Bytes::from(format!("{n}"))), ..Record::default() }).collect()
}

pub(super) fn request(ticket: u64, sequence: u64, count: u32) -> AppendRequest {
    let batch = encode_records(&records(count)).expect("small records");
    AppendRequest {
        ticket,
        batch: BatchId { producer: ProducerId(1), epoch: 0, sequence },
        terms: AppendTerms::default(),
        record_count: count,
        compression: crate::codec::Compression::None,
        body_crc: batch.crc,
        body: batch.body,
        arrived: Monotonic(0),
    }
}

impl Bench {
    pub(super) fn new(replicas: u64) -> Self {
        let nodes = (1..=replicas).map(|replica| {
            let log = MemLog::new(replicas);
            let shard = Shard::open(options(replica, false), Vote::default(), Box::new(log.clone()));
            Node {
                shard: shard.expect("an empty log opens"),
                log,
                skew_ns: 0,
                fault: None,
                syncs: true,
                is_cut_off: false,
                unsynced: VecDeque::new(),
                answers: BTreeMap::new(),
                answered: Vec::new(),
            }
        });
        let (wire, lost) = (VecDeque::new(), Vec::new());
        Self { nodes: nodes.collect(), true_ns: START, wire, lost, floors: true, sequence: 0, ticket: 0 }
    }

    /// Three replicas, the first of which leads and knows its floor.
    pub(super) fn led() -> Self {
        let mut bench = Self::new(3);
        bench.elect(1);
        assert!(bench.node(1).shard.floor_request().is_none());
        bench
    }

    pub(super) fn node(&mut self, replica: u64) -> &mut Node {
        &mut self.nodes[replica as usize - 1]
    }

    pub(super) fn shard(&mut self, replica: u64) -> &mut Shard {
        &mut self.node(replica).shard
    }

    pub(super) fn now(&self, replica: u64) -> Reading {
        let node = &self.nodes[replica as usize - 1];
        let midpoint = Timestamp(self.true_ns.saturating_add_signed(node.skew_ns));
        Reading::new(TimeInterval::around(midpoint, EPS), Monotonic(self.true_ns), node.fault)
    }

    /// True time passes, and everybody looks at the clock.
    pub(super) fn pass(&mut self, ns: u64) {
        self.true_ns += ns;
        self.settle();
    }

    /// Long enough for everything committed to be released.
    pub(super) fn pass_wait(&mut self) {
        self.pass(100 * EPS);
    }

    pub(super) fn elect(&mut self, replica: u64) {
        for _ in 0..10 * ELECTION_TICKS {
            self.shard(replica).campaign();
            self.settle();
            if self.shard(replica).is_leader() {
                return;
            }
            // The others still believe in the old leader for an election timeout.
            for other in 1..=self.nodes.len() as u64 {
                let (now, is_candidate) = (self.now(other), other == replica);
                if !is_candidate && !self.node(other).is_cut_off && !self.shard(other).is_leader() {
                    self.shard(other).tick(&now);
                }
            }
        }
        panic!("replica {replica} does not become leader");
    }

    pub(super) fn tick(&mut self, replica: u64) {
        let now = self.now(replica);
        self.shard(replica).tick(&now);
        self.settle();
    }

    /// Appends the next batch of the bench's producer; gives its ticket.
    pub(super) fn append(&mut self, replica: u64, count: u32) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        let (ticket, admitted) = self.try_append(replica, sequence, count);
        assert_eq!(admitted, Ok(Admission::Assigned));
        ticket
    }

    pub(super) fn draw_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    pub(super) fn try_append(
        &mut self,
        replica: u64,
        sequence: u64,
        count: u32,
    ) -> (u64, Result<Admission, Refusal>) {
        self.try_request(replica, request(0, sequence, count))
    }

    /// Hands a request in under a ticket of its own.
    pub(super) fn try_request(
        &mut self,
        replica: u64,
        request: AppendRequest,
    ) -> (u64, Result<Admission, Refusal>) {
        let (ticket, now) = (self.draw_ticket(), self.now(replica));
        let arrived = Monotonic(self.true_ns - 5);
        let request = AppendRequest { ticket, arrived, ..request };
        let admitted = self.shard(replica).append(request, &now);
        self.settle();
        (ticket, admitted)
    }

    pub(super) fn answer(&mut self, replica: u64, ticket: u64) -> Option<Result<Receipt, Refusal>> {
        self.node(replica).answers.get(&ticket).cloned()
    }

    /// Writes, syncs, sends and delivers until nothing is left to do.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = false;
            for replica in 1..=self.nodes.len() as u64 {
                moved |= self.work(replica);
            }
            while let Some(message) = self.wire.pop_front() {
                moved = true;
                self.deliver(message);
            }
            if self.floors {
                self.exchange_floors();
            }
            if !moved {
                return;
            }
        }
    }

    fn work(&mut self, replica: u64) -> bool {
        let now = self.now(replica);
        let node = self.node(replica);
        node.shard.advance(&now);
        let mut sends = Vec::new();
        let mut moved = false;
        while let Some(persist) = node.shard.take_persist(&now) {
            moved = true;
            node.log.write(&persist);
            if persist.writes() {
                node.unsynced.push_back(persist.number);
            }
            sends.extend(persist.send_now);
        }
        if node.syncs && !node.unsynced.is_empty() {
            node.log.sync();
            let numbers: Vec<u64> = node.unsynced.drain(..).collect();
            for number in numbers {
                sends.extend(node.shard.on_persisted(number, &now));
            }
            moved = true;
        }
        node.shard.advance(&now);
        for Answer { ticket, result } in node.shard.take_answers() {
            node.answered.push(ticket);
            assert!(node.answers.insert(ticket, result).is_none(), "one answer a ticket");
        }
        self.wire.extend(sends);
        moved
    }

    fn deliver(&mut self, message: Message) {
        let (from, to) = (message.from.0, message.to.0);
        // A replica that was added may not stand on the bench.
        if to > self.nodes.len() as u64 {
            return;
        }
        if self.node(from).is_cut_off || self.node(to).is_cut_off || self.lost.contains(&message.kind) {
            return;
        }
        let now = self.now(to);
        self.shard(to).step(message, &now).expect("honest messages are taken");
    }

    fn exchange_floors(&mut self) {
        for leader in 1..=self.nodes.len() as u64 {
            let Some(question) = self.shard(leader).floor_request() else { continue };
            for peer in question.peers {
                if self.node(leader).is_cut_off || self.node(peer.0).is_cut_off {
                    continue;
                }
                if let Some(reply) = self.shard(peer.0).answer_floor(question.term) {
                    let now = self.now(leader);
                    self.shard(leader).on_floor_answer(peer, question.term, reply, &now);
                }
            }
        }
    }

    /// The process dies, what it had not synced is gone, and it starts again.
    pub(super) fn restart(&mut self, replica: u64) {
        let node = self.node(replica);
        node.log.cut_power();
        node.unsynced.clear();
        let vote = node.log.0.borrow().vote;
        node.shard = Shard::open(options(replica, true), vote, Box::new(node.log.clone())).expect("it opens");
        self.wire.retain(|message| message.to.0 != replica && message.from.0 != replica);
    }
}
