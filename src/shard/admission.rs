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
    BODY_BYTES_MAX, Compression, DedupEntry, DedupVerdict, Frame, FrameHeader, FrameKind, check_body_crc,
    validate_records,
};
use crate::types::{AppendTerms, BatchId, Index, ProducerId, Receipt, StageTimes, Timestamp, Wait};

impl Shard {
    /// Takes a batch in. Unless it is refused here, its answer comes by ticket from `take_answers`, when the
    /// batch is released or its fate is known.
    pub fn append(&mut self, request: AppendRequest, now: &Reading) -> Result<Admission, Refusal> {
        self.observe(now);
        self.drain();
        self.may_lead(now)?;
        prove_batch(&request)?;
        self.may_wait()?;
        match self.judge(&request) {
            DedupVerdict::New => {
                self.check_condition(request.terms.condition.as_ref())?;
                self.assign(request, now)
            }
            DedupVerdict::Duplicate(entry) => {
                self.join(request.ticket, request.terms.wait, entry);
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

    /// Whether one more answer may be waited for.
    pub(super) fn may_wait(&self) -> Result<(), Refusal> {
        let (unanswered, max) = (self.queue.tickets() + self.answers.len(), self.options.unanswered_max);
        if unanswered >= max { Err(Refusal::Busy { unanswered, max }) } else { Ok(()) }
    }

    /// What the batch is to this log.
    fn judge(&self, request: &AppendRequest) -> DedupVerdict {
        let AppendTerms { lowest_open, floor, .. } = request.terms;
        let (producer, last) = (request.batch.producer, self.tail.last_timestamp);
        let floor = self.reign.as_ref().map_or(floor, |reign| reign.strangers.raise(producer, floor, last));
        self.tail.dedup.check(&request.batch, lowest_open, floor)
    }

    /// A batch the log holds already: its receipt, at once if it is where `wait` asks for, else when it will be.
    pub(super) fn join(&mut self, ticket: u64, wait: Wait, entry: DedupEntry) -> Receipt {
        let header = self.log.header(entry.index).ok();
        let receipt = Receipt {
            shard: self.options.shard,
            first_offset: entry.first_offset,
            first_timestamp: entry.first_timestamp,
            record_count: entry.record_count,
            uncertainty_ns: entry.uncertainty_ns,
            term: entry.term,
            header_crc: header.map(|header| header.crc()),
            durability: self.options.durability,
            wait: StageTimes::default(),
        };
        let reached = match wait {
            Wait::Exposed => self.queue.released(),
            Wait::Committed => self.queue.committed(),
        };
        if entry.index <= reached.index {
            self.answers.push(Answer { ticket, result: Ok(receipt) });
        } else {
            self.queue.wait(entry.index, Waiter { ticket, wait, receipt, timeline: None });
        }
        receipt
    }

    /// A refusal tells of what the producer sent before, so it waits, as "retry", until that is released (rule 2).
    fn refuse_sequence(&mut self, request: &AppendRequest, verdict: DedupVerdict) -> Refusal {
        let (producer, released) = (request.batch.producer, self.queue.released_timestamp());
        if self.tail.dedup.last_seen(producer).is_some_and(|last| last > released) {
            return Refusal::Unsettled;
        }
        match verdict {
            DedupVerdict::Gap { expected } => Refusal::SequenceGap { expected },
            DedupVerdict::Fenced { epoch } => Refusal::ProducerFenced { epoch },
            DedupVerdict::Forgotten { horizon } => self.refuse_forgotten(producer, horizon),
            DedupVerdict::New | DedupVerdict::Duplicate(_) | DedupVerdict::TooOld => Refusal::TooOld,
        }
    }

    /// Tells a floor, which is what is released here and no more; waits, as "retry", until that will do.
    fn refuse_forgotten(&mut self, producer: ProducerId, horizon: Timestamp) -> Refusal {
        let reign = self.reign.as_mut();
        let needed = reign.map_or(horizon, |reign| reign.strangers.note(producer, horizon));
        let floor = self.queue.released_timestamp();
        if floor < needed { Refusal::Unsettled } else { Refusal::Forgotten { floor } }
    }

    fn assign(&mut self, request: AppendRequest, now: &Reading) -> Result<Admission, Refusal> {
        self.stamp_after(request.terms.after, now)?;
        let header = FrameHeader {
            compression: request.compression,
            body_crc: request.body_crc,
            body_len: request.body.len() as u32,
            record_count: request.record_count,
            batch: request.batch,
            ..self.stamp(FrameKind::Data, request.record_count, now)?
        };
        let frame = Frame::new(header, request.body);
        let proposed = self.group.propose(frame.header_bytes.clone(), frame.body.clone());
        let Ok((term, index)) = proposed else {
            return Err(self.refuse_proposal());
        };
        assert_eq!((term, index), (header.term, header.index), "the tail is raft's log");
        self.note_assigned(header.last_timestamp());
        self.note_keys(&frame.body, header.compression, header.record_count, header.first_timestamp);
        self.note_frame_of(header.batch.producer);
        self.drain();
        let timeline = Timeline { arrived: request.arrived, stamped: now.monotonic, synced: None };
        let receipt = receipt_of(&frame, self.options.shard, self.options.durability);
        if self.failure.is_none() {
            let (ticket, wait) = (request.ticket, request.terms.wait);
            self.queue.wait(index, Waiter { ticket, wait, receipt, timeline: Some(timeline) });
            Ok(Admission::Assigned)
        } else {
            Err(Refusal::Stopped { reason: "its log does not hold together".to_owned() })
        }
    }

    /// Lets nothing be stamped at or below `after` any more, if that does not lie further ahead than two clocks may differ: a
    /// timestamp that somebody made up must not make everybody wait. No honest leader's can lie beyond the guards of two clocks.
    fn stamp_after(&mut self, after: Timestamp, now: &Reading) -> Result<(), Refusal> {
        let ahead_ns = after.ns_since(now.interval.latest);
        let near_ns = self.options.eps_max_ns.saturating_mul(2);
        let far_ns = self.guard().reach_ns().saturating_add(near_ns);
        if ahead_ns > far_ns {
            return Err(Refusal::Future { ahead_ns, max_ns: far_ns });
        }
        if ahead_ns > near_ns {
            return Err(Refusal::AheadOfClock { ahead_ns, max_ns: near_ns });
        }
        if let Some(Floor::Known(sequencer)) = self.reign.as_mut().map(|reign| &mut reign.floor) {
            sequencer.promise(after);
        }
        Ok(())
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

    /// A frame of that producer entered the log.
    pub(super) fn note_frame_of(&mut self, producer: ProducerId) {
        if let Some(reign) = &mut self.reign {
            reign.strangers.forget(producer);
        }
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
