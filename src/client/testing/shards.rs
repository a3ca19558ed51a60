//! The shards behind all nodes of a test cluster: one log each, real frames, real dedup.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::codec::{
    Compression, DedupEntry, DedupTable, DedupVerdict, Frame, FrameHeader, FrameKind, PRODUCERS_MAX, Trace,
    checksum, decode_records, encode_records, validate_records,
};
use crate::routing::hash_start;
use crate::types::{BatchId, Index, NodeId, Offset, ProducerId, Record, ShardId, Term, Timestamp, TopicName};
use crate::wire::{
    AppendBody, AppendedBody, ErrorBody, ErrorCode, FenceProducerBody, LocateBody, LocatedBody, NowBody,
    Outcome, PROTOCOL_VERSION, ProducerFencedBody, ReplicaBody, ShardBody, TopicBody,
};

pub(in crate::client) fn topic_name() -> TopicName {
    "events".parse().expect("a valid name")
}

/// How far beyond now anything may be stamped.
const ADMISSIBLE: u64 = 1000;

/// What goes wrong with the next append to a shard.
#[derive(Clone, Debug)]
pub(in crate::client) enum Fault {
    /// Refused with this.
    Refuse(ErrorCode, Outcome),
    /// Applied, then the connection is closed without an answer.
    ApplyAndCut,
    /// The connection is closed and nothing applied.
    Cut,
    /// Neither applied nor answered.
    Ignore,
    /// Comes when the shard has forgotten all it knew of producers.
    Crowd,
}

/// One shard.
pub(in crate::client) struct Shard {
    pub(in crate::client) leader: NodeId,
    pub(in crate::client) term: u64,
    pub(in crate::client) frames: Vec<Frame>,
    pub(in crate::client) closed: u64,
    /// Records stamped at or before this are trimmed away.
    pub(in crate::client) trimmed_through: u64,
    pub(in crate::client) faults: VecDeque<Fault>,
    /// Appends that came, of each batch: what a client really sent.
    pub(in crate::client) attempts: Vec<BatchId>,
    dedup: DedupTable,
}

/// All that the nodes share.
pub(in crate::client) struct World {
    pub(in crate::client) shards: BTreeMap<ShardId, Shard>,
    pub(in crate::client) now: u64,
    /// Half the width of all clocks' intervals.
    pub(in crate::client) eps: u64,
    /// Nodes whose clocks are not trusted.
    pub(in crate::client) fenced: Vec<NodeId>,
    /// The version of the protocol that the nodes answer hellos with.
    pub(in crate::client) protocol: u32,
    /// A node of a build that does not know how to tell the time or where one stands, and names no features.
    pub(in crate::client) older: Option<NodeId>,
    pub(in crate::client) topic_exists: bool,
    /// Where its keys are split, if by key ranges.
    pub(in crate::client) split_at: Option<Vec<Bytes>>,
    /// A topic beside it, which has the shards from this one on.
    pub(in crate::client) beside: Option<(TopicName, ShardId)>,
    /// A node that has not heard of the topic yet.
    pub(in crate::client) ignorant: Option<NodeId>,
    /// Descriptions of the topic given out.
    pub(in crate::client) described: u64,
    /// A node whose deliveries are damaged, and how many it sent.
    pub(in crate::client) damaging: Option<NodeId>,
    /// A node whose process stands still: its connections live and nothing is said on them.
    pub(in crate::client) hung: Option<NodeId>,
    /// What happens, once, while an answer about the time is on its way.
    pub(in crate::client) while_time_is_told: Option<Box<dyn FnOnce() + Send>>,
    /// Subscriptions begun, in order.
    pub(in crate::client) subscribed: Vec<(NodeId, ShardId, u64)>,
}

impl Shard {
    /// Where a batch stands already, if it does; an error if it must not be appended.
    fn stands_already(&self, batch: &BatchId, append: &AppendBody) -> Result<Option<DedupEntry>, ErrorBody> {
        match self.dedup.check(batch, append.lowest_open_sequence, Timestamp(append.floor_ns)) {
            DedupVerdict::New => Ok(None),
            DedupVerdict::Duplicate(entry) => Ok(Some(entry)),
            DedupVerdict::Gap { expected } => {
                let gap = refusal(ErrorCode::SequenceGap, Outcome::NotApplied);
                Err(ErrorBody { expected_sequence: expected, ..gap })
            }
            DedupVerdict::Fenced { .. } => Err(refusal(ErrorCode::ProducerFenced, Outcome::NotApplied)),
            DedupVerdict::Forgotten { .. } => {
                let forgotten = refusal(ErrorCode::Forgotten, Outcome::NotApplied);
                Err(ErrorBody { floor_ns: self.closed, ..forgotten })
            }
            DedupVerdict::TooOld => Err(refusal(ErrorCode::Conflict, Outcome::Unknown)),
        }
    }

    /// Why an append's condition does not hold, if it has one.
    fn refutes(&self, append: &AppendBody) -> Option<ErrorBody> {
        let next = self.frames.last().map_or(Offset(0), |frame| frame.header.next_offset()).0;
        let changed = append.key.as_ref().and_then(|key| {
            let batches = self.frames.iter().map(|frame| {
                let FrameHeader { compression, record_count, first_timestamp, .. } = frame.header;
                let records = decode_records(&frame.body, compression, record_count);
                (first_timestamp, records.expect("they were proved"))
            });
            let changes =
                batches.filter(|(_, records)| records.iter().any(|record| record.key == Some(key.clone())));
            changes.map(|(at, _)| at.0).filter(|at| *at > append.key_as_of_ns).max()
        });
        let (found_offset, found_ns) = match append.next_offset {
            Some(expected) if expected != next => (next, 0),
            _ => (0, changed?),
        };
        let failed = refusal(ErrorCode::ConditionFailed, Outcome::NotApplied);
        Some(ErrorBody { found_offset, found_ns, ..failed })
    }
}

impl World {
    pub(super) fn new(shards: u64, nodes: u64) -> Self {
        let shard = |id: u64| Shard {
            leader: NodeId(1 + id % nodes),
            term: 1,
            frames: Vec::new(),
            closed: 0,
            trimmed_through: 0,
            faults: VecDeque::new(),
            attempts: Vec::new(),
            dedup: DedupTable::default(),
        };
        Self {
            shards: (1..=shards).map(|id| (ShardId(id), shard(id))).collect(),
            now: 1000,
            eps: 5,
            fenced: Vec::new(),
            protocol: PROTOCOL_VERSION,
            older: None,
            topic_exists: true,
            split_at: None,
            beside: None,
            ignorant: None,
            described: 0,
            damaging: None,
            hung: None,
            while_time_is_told: None,
            subscribed: Vec::new(),
        }
    }

    pub(in crate::client) fn shard(&mut self, shard: u64) -> &mut Shard {
        self.shards.get_mut(&ShardId(shard)).expect("the test's shard exists")
    }

    pub(super) fn has_topic(&self, name: &str) -> bool {
        let beside = self.beside.as_ref().is_some_and(|(beside, _)| beside.as_str() == name);
        self.topic_exists && (beside || name == topic_name().as_str())
    }

    pub(super) fn topic(&mut self, name: &TopicName, nodes: &[NodeId]) -> TopicBody {
        self.described += 1;
        let is_beside = *name != topic_name();
        let of_this =
            |shard: ShardId| self.beside.as_ref().is_none_or(|(_, first)| (shard >= *first) == is_beside);
        let shards: Vec<_> = self.shards.iter().filter(|(shard, _)| of_this(**shard)).collect();
        let count = shards.len() as u32;
        let key_start = |at: u32| {
            let before = (at as usize).checked_sub(1)?;
            self.split_at.as_ref().map(|splits| splits[before].clone())
        };
        let replicas = nodes.iter().map(|node| ReplicaBody { node: node.0, replica: node.0 });
        let replicas: Vec<ReplicaBody> = replicas.collect();
        let body = |(at, (id, shard)): (u32, (&ShardId, &Shard))| ShardBody {
            shard: id.0,
            hash_start: hash_start(at, count),
            key_start: key_start(at).unwrap_or_default(),
            replicas: replicas.clone(),
            leader: shard.leader.0,
            term: shard.term,
        };
        TopicBody {
            id: 1,
            name: name.to_string(),
            range_partitioned: self.split_at.is_some(),
            shards: (0..).zip(shards).map(body).collect(),
            ..TopicBody::default()
        }
    }

    /// Appends as a leader would; assertions are what every client must keep to.
    pub(super) fn append(
        &mut self,
        node: NodeId,
        append: &AppendBody,
        body: Bytes,
    ) -> Result<AppendedBody, ErrorBody> {
        let compression = prove(append, &body);
        assert!(append.lowest_open_sequence <= append.sequence);
        let shard = self.shards.get_mut(&ShardId(append.shard)).expect("the client knows the topic's shards");
        if shard.leader != node {
            return Err(ErrorBody {
                leader: shard.leader.0,
                ..refusal(ErrorCode::NotLeader, Outcome::NotApplied)
            });
        }
        let batch =
            BatchId { producer: ProducerId(append.producer), epoch: append.epoch, sequence: append.sequence };
        if let Some(entry) = shard.stands_already(&batch, append)? {
            return Ok(receipt(append.shard, &shard.frames[entry.index.0 as usize - 1]));
        }
        if let Some(refuted) = shard.refutes(append) {
            return Err(refuted);
        }
        self.now = self.now.max(shard.closed).max(append.after_ns) + 10;
        let header = FrameHeader {
            compression,
            body_crc: append.body_crc,
            body_len: body.len() as u32,
            record_count: append.record_count,
            batch,
            ..header(shard, self.now)
        };
        self.now = header.last_timestamp().0;
        shard.closed = self.now;
        shard.dedup.fold(&header);
        shard.frames.push(Frame::new(header, body));
        Ok(receipt(append.shard, &shard.frames[shard.frames.len() - 1]))
    }

    /// Tells what became of a batch, or begins a new run of a producer, or goes on with one.
    pub(super) fn fence(
        &mut self,
        node: NodeId,
        fence: &FenceProducerBody,
    ) -> Result<ProducerFencedBody, ErrorBody> {
        self.now += 10;
        let (now, shard) = (self.now, self.shard(fence.shard));
        if shard.leader != node {
            let leader = shard.leader.0;
            return Err(ErrorBody { leader, ..refusal(ErrorCode::NotLeader, Outcome::NotApplied) });
        }
        let producer = ProducerId(fence.producer);
        let seen = fence.epoch.unwrap_or(0);
        let asked = fence.sequence.map(|sequence| BatchId { producer, epoch: seen, sequence });
        let told = ProducerFencedBody { epoch: seen, ..ProducerFencedBody::default() };
        let fate = match asked.map(|batch| shard.dedup.trace(&batch)) {
            Some(Trace::Found(entry)) => {
                let receipt = Some(receipt(fence.shard, &shard.frames[entry.index.0 as usize - 1]));
                return Ok(ProducerFencedBody { fate: 1, receipt, ..told });
            }
            Some(Trace::Forgotten) => return Ok(ProducerFencedBody { fate: 3, ..told }),
            Some(Trace::Absent) if fence.peek => return Ok(ProducerFencedBody { fate: 4, ..told }),
            Some(Trace::Absent) => 2,
            None => 0,
        };
        let epoch = if fence.same_run { seen + 1 } else { shard.dedup.next_run(producer, seen) };
        let batch = BatchId { producer, epoch, sequence: 0 };
        let header = FrameHeader { kind: FrameKind::ProducerFence, batch, ..header(shard, now) };
        shard.closed = now;
        shard.dedup.fold(&header);
        shard.frames.push(Frame::new(header, Bytes::new()));
        Ok(ProducerFencedBody { epoch, at_ns: now, fate, receipt: None })
    }

    /// So many other producers append to a shard that it forgets all it knew.
    pub(in crate::client) fn crowd(&mut self, shard: u64) {
        for other in 0..PRODUCERS_MAX as u64 {
            let (node, batch) =
                (self.shard(shard).leader, encode_records(&[Record::default()]).expect("one record"));
            let append = AppendBody {
                shard,
                record_count: 1,
                body_crc: batch.crc,
                producer: u64::MAX - other,
                floor_ns: self.now,
                ..AppendBody::default()
            };
            self.append(node, &append, batch.body).expect("its floor is the newest");
        }
    }

    /// Frames of a shard from a time on, at most `max`, and what it is closed at after them.
    pub(super) fn read(&self, shard: ShardId, from: u64, max: usize) -> (Vec<Frame>, u64) {
        let shard = &self.shards[&shard];
        let from = from.max(shard.trimmed_through + 1);
        let rest = shard.frames.iter().filter(|frame| frame.header.last_timestamp().0 >= from);
        let frames: Vec<Frame> = rest.take(max).cloned().collect();
        let reaches_end =
            frames.last().map(|frame| frame.header.index) == shard.frames.last().map(|f| f.header.index);
        let closed = match frames.last() {
            Some(last) if !reaches_end => last.header.last_timestamp().0,
            _ => shard.closed,
        };
        (frames, closed)
    }

    /// The time as a node tells it; meanwhile a little of it passes.
    pub(super) fn tell_time(&mut self, node: NodeId) -> Result<NowBody, ErrorBody> {
        self.now += 20;
        if let Some(happens) = self.while_time_is_told.take() {
            happens();
        }
        if self.fenced.contains(&node) {
            return Err(refusal(ErrorCode::Fenced, Outcome::NotApplied));
        }
        let (earliest_ns, latest_ns) = (self.now - self.eps, self.now + self.eps);
        Ok(NowBody { node: node.0, earliest_ns, latest_ns, admissible_ns: latest_ns + ADMISSIBLE })
    }

    /// Where a time stands, or that it cannot be told yet.
    pub(super) fn locate(&self, locate: &LocateBody) -> Result<LocatedBody, ErrorBody> {
        let shard = ShardId(locate.shard);
        let (frames, closed_ns) = self.read(shard, locate.at_ns, 1);
        if locate.waits_closed && frames.is_empty() && closed_ns < locate.at_ns - 1 {
            return Err(refusal(ErrorCode::Timeout, Outcome::NotApplied));
        }
        let end = self.shards[&shard].frames.last().map_or(Offset(0), |last| last.header.next_offset());
        let offset = frames.first().map_or(end, |first| {
            let before = Timestamp(locate.at_ns).ns_since(first.header.first_timestamp);
            first.header.first_offset.plus(before)
        });
        Ok(LocatedBody { shard: shard.0, offset: offset.0, closed_ns, ..LocatedBody::default() })
    }

    /// The first record of a shard that is kept.
    pub(super) fn kept_from(&self, shard: ShardId) -> u64 {
        let shard = &self.shards[&shard];
        let trimmed =
            shard.frames.iter().filter(|frame| frame.header.first_timestamp.0 <= shard.trimmed_through);
        trimmed.last().map_or(0, |frame| frame.header.next_offset().0)
    }

    /// Why a shard cannot be read from a time on: something wanted was trimmed away.
    pub(super) fn trimmed(&self, shard: ShardId, from: u64) -> Option<ErrorBody> {
        let trimmed_through_ns = self.shards[&shard].trimmed_through;
        let refused = || ErrorBody {
            kept_from_offset: self.kept_from(shard),
            trimmed_through_ns,
            ..refusal(ErrorCode::Trimmed, Outcome::NotApplied)
        };
        (from > 1 && from <= trimmed_through_ns).then(refused)
    }

    /// Closes every shard at a time: nothing will be stamped at or below it.
    pub(in crate::client) fn close_all(&mut self, at: u64) {
        self.now = self.now.max(at);
        self.shards.values_mut().for_each(|shard| shard.closed = shard.closed.max(at));
    }
}

/// The header of a shard's next frame, without records yet.
fn header(shard: &Shard, now: u64) -> FrameHeader {
    let previous = shard.frames.last().map(|frame| frame.header);
    FrameHeader {
        kind: FrameKind::Data,
        compression: Compression::None,
        body_crc: 0,
        body_len: 0,
        record_count: 0,
        term: Term(shard.term),
        index: Index(shard.frames.len() as u64 + 1),
        first_offset: previous.map_or(Offset(0), |header| header.next_offset()),
        first_timestamp: Timestamp(now),
        uncertainty_ns: 5,
        committed: Index(0),
        batch: BatchId::default(),
        chain: 0,
        start: Index(0),
    }
}

/// Asserts that a body is what its append says.
fn prove(append: &AppendBody, body: &Bytes) -> Compression {
    assert_eq!(checksum(&[body]), append.body_crc, "the client's CRC covers the body as sent");
    let compression = u8::try_from(append.compression).map(Compression::decode);
    let compression = compression.expect("one byte").expect("a compression that shards know");
    validate_records(body, compression, append.record_count).expect("a batch holds what it says");
    compression
}

pub(super) fn refusal(code: ErrorCode, outcome: Outcome) -> ErrorBody {
    let for_good = [
        ErrorCode::ProducerFenced,
        ErrorCode::Conflict,
        ErrorCode::UnknownTopic,
        ErrorCode::Invalid,
        ErrorCode::Trimmed,
        ErrorCode::ConditionFailed,
    ];
    let retryable = !for_good.contains(&code);
    ErrorBody {
        code: code as i32,
        message: format!("{code:?}, says the test"),
        retryable,
        outcome: outcome as i32,
        ..ErrorBody::default()
    }
}

fn receipt(shard: u64, frame: &Frame) -> AppendedBody {
    AppendedBody {
        shard,
        first_offset: frame.header.first_offset.0,
        first_timestamp_ns: frame.header.first_timestamp.0,
        record_count: frame.header.record_count,
        uncertainty_ns: frame.header.uncertainty_ns,
        term: frame.header.term.0,
        ..AppendedBody::default()
    }
}
