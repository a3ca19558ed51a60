//! Appends: what is proved of a batch, and how it gets its place in log and time.
//!
//! Invariants: a refused batch leaves nothing behind; the sequencer moves only after raft took the entry.

use super::exposure::receipt_of;
use super::reign::Floor;
use super::release::{Timeline, Waiter};
use super::replica::Shard;
use super::request::{Admission, Answer, AppendRequest, Refusal};
use super::sequencer::AheadOfClock;
use crate::clock::Reading;
use crate::codec::{
    BODY_BYTES_MAX, Compression, DedupEntry, DedupVerdict, FrameHeader, FrameKind, check_body_crc,
    validate_records,
};
use crate::types::{BatchId, Index, Receipt, StageTimes, Timestamp};

impl Shard {
    /// Takes a batch in. Unless it is refused here, its answer comes by ticket from `take_answers`, when the
    /// batch is released or its fate is known.
    pub fn append(&mut self, request: AppendRequest, now: &Reading) -> Result<Admission, Refusal> {
        self.observe(now);
        self.drain();
        self.may_lead(now)?;
        prove_batch(&request)?;
        let (unanswered, max) = (self.queue.tickets() + self.answers.len(), self.options.unanswered_max);
        if unanswered >= max {
            return Err(Refusal::Busy { unanswered, max });
        }
        match self.tail.dedup.check(&request.batch, request.lowest_open) {
            DedupVerdict::New => self.assign(request, now),
            DedupVerdict::Duplicate(entry) => {
                self.join(request.ticket, entry);
                Ok(Admission::Duplicate)
            }
            verdict => Err(self.refuse_sequence(&request, verdict)),
        }
    }

    pub(super) fn may_lead(&self, now: &Reading) -> Result<(), Refusal> {
        if let Some(failure) = &self.failure {
            return Err(Refusal::Stopped { reason: failure.to_string() });
        }
        if self.reign.is_none() {
            return Err(Refusal::NotLeader { leader: self.leader() });
        }
        self.fault(now).map_or(Ok(()), |fault| Err(Refusal::Fenced { fault }))
    }

    /// A batch the log holds already: its receipt, at once if it is released here, else when it will be.
    fn join(&mut self, ticket: u64, entry: DedupEntry) {
        let receipt = Receipt {
            shard: self.options.shard,
            first_offset: entry.first_offset,
            first_timestamp: entry.first_timestamp,
            record_count: entry.record_count,
            uncertainty_ns: entry.uncertainty_ns,
            term: entry.term,
            durability: self.options.durability,
            wait: StageTimes::default(),
        };
        if entry.index <= self.queue.released().index {
            self.answers.push(Answer { ticket, result: Ok(receipt) });
        } else {
            self.queue.wait(entry.index, Waiter { ticket, receipt, timeline: None });
        }
    }

    /// A refusal tells of what the producer sent before, so it waits, as "retry", until that is released (rule 2).
    fn refuse_sequence(&self, request: &AppendRequest, verdict: DedupVerdict) -> Refusal {
        let known = self.tail.dedup.newest(request.batch.producer);
        if known.is_some_and(|entry| entry.index > self.queue.released().index) {
            return Refusal::Unsettled;
        }
        match verdict {
            DedupVerdict::Gap { expected } => Refusal::SequenceGap { expected },
            DedupVerdict::Fenced { epoch } => Refusal::ProducerFenced { epoch },
            DedupVerdict::New | DedupVerdict::Duplicate(_) | DedupVerdict::TooOld => Refusal::TooOld,
        }
    }

    fn assign(&mut self, request: AppendRequest, now: &Reading) -> Result<Admission, Refusal> {
        let header = FrameHeader {
            compression: request.compression,
            body_crc: request.body_crc,
            body_len: request.body.len() as u32,
            record_count: request.record_count,
            batch: request.batch,
            ..self.stamp(FrameKind::Data, request.record_count, now)?
        };
        let proposed = self.group.propose(header.encode(), request.body);
        let Ok((term, index)) = proposed else {
            return Err(self.refuse_proposal());
        };
        assert_eq!((term, index), (header.term, header.index), "the tail is raft's log");
        self.note_assigned(header.last_timestamp());
        self.drain();
        let timeline = Timeline { arrived: request.arrived, stamped: now.monotonic, synced: None };
        let receipt = receipt_of(&header, self.options.shard, self.options.durability);
        if self.failure.is_none() {
            self.queue.wait(index, Waiter { ticket: request.ticket, receipt, timeline: Some(timeline) });
            Ok(Admission::Assigned)
        } else {
            Err(Refusal::Stopped { reason: "its log does not hold together".to_owned() })
        }
    }

    /// Raft took no proposal.
    pub(super) fn refuse_proposal(&mut self) -> Refusal {
        self.drain();
        if self.reign.is_some() { Refusal::Moving } else { Refusal::NotLeader { leader: self.leader() } }
    }

    /// The header of the next entry, an empty one yet, stamped for `count` timestamps.
    pub(super) fn stamp(
        &mut self,
        kind: FrameKind,
        count: u32,
        now: &Reading,
    ) -> Result<FrameHeader, Refusal> {
        self.leave();
        let Some(Floor::Known(sequencer)) = self.reign.as_ref().map(|reign| &reign.floor) else {
            return Err(Refusal::FloorPending);
        };
        let first_timestamp = sequencer
            .peek(count, now, self.guard())
            .map_err(|AheadOfClock { ahead_ns, max_ns }| Refusal::AheadOfClock { ahead_ns, max_ns })?;
        Ok(FrameHeader {
            kind,
            compression: Compression::None,
            body_crc: 0,
            body_len: 0,
            record_count: 0,
            term: self.term,
            index: self.tail.index.plus(1),
            first_offset: self.tail.next_offset,
            first_timestamp,
            uncertainty_ns: now.interval.uncertainty_ns(),
            committed: self.queue.committed().index,
            batch: BatchId::default(),
            chain: self.tail.chain,
            start: Index(0),
        })
    }

    pub(super) fn note_assigned(&mut self, last: Timestamp) {
        if let Some(Floor::Known(sequencer)) = self.reign.as_mut().map(|reign| &mut reign.floor) {
            sequencer.take(last);
        }
    }
}

/// Proves that the body is the producer's and holds the records it claims.
fn prove_batch(request: &AppendRequest) -> Result<(), Refusal> {
    if request.record_count == 0 {
        return Err(Refusal::Empty);
    }
    if request.body.len() > BODY_BYTES_MAX {
        return Err(Refusal::TooLarge { found: request.body.len(), max: BODY_BYTES_MAX });
    }
    check_body_crc(&request.body, request.body_crc)?;
    validate_records(&request.body, request.compression, request.record_count)?;
    Ok(())
}
