//! Fences: a producer's new run shuts out those before it; and what became of a batch.
//!
//! A fence is an entry like any other, stamped and without records, that raises its producer's epoch (`codec/dedup.rs`). Whether a batch stands in the
//! log the table tells; that it *never* will, only a released fence: no entry of an older term can be committed behind it any more, and behind it no
//! attempt of an older epoch is taken. Invariants: nothing unreleased is told (TIME.md, rule 2), and who was fenced learns it once
//! the fence is released; what cannot be told is told as that.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::exposure::receipt_of;
use super::release::Waiter;
use super::replica::Shard;
use super::request::Refusal;
use crate::clock::Reading;
use crate::codec::{Frame, FrameHeader, FrameKind, Trace};
use crate::simulation::{Bug, is_planted};
use crate::types::{BatchId, Fate, ProducerId, Timestamp, Wait};

/// A question about a producer.
#[derive(Clone, Copy, Debug)]
pub struct FenceRequest {
    /// As an append's.
    pub ticket: u64,
    pub producer: ProducerId,
    /// The epoch and sequence of a batch: what became of it? If that can be told for good without a fence, none is written.
    pub in_doubt: Option<(u32, u64)>,
    /// Only tell what is known of the batch: write no fence.
    pub peek: bool,
    /// The batch's run asks itself, and goes on: a fence has the epoch after the batch's, which is the run's own.
    pub same_run: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// With a fence: the lowest epoch that is not shut out. Else the one asked about.
    pub epoch: u32,
    /// What this answer waited for: the timestamp of the fence, or of the batch. Zero without either.
    pub at: Timestamp,
    /// Of the batch asked about.
    pub fate: Option<Fate>,
}

/// Answers that wait for the release of a frame, by ticket.
#[derive(Debug, Default)]
pub(super) struct Fences(BTreeMap<u64, Fenced>);

impl Shard {
    /// Answers at once, or else by the ticket, like an append: once that is answered, `take_fenced` has the answer.
    pub fn fence_producer(
        &mut self,
        request: FenceRequest,
        now: &Reading,
    ) -> Result<Option<Fenced>, Refusal> {
        self.observe(now);
        self.drain();
        self.may_lead(now)?;
        self.may_wait()?;
        let FenceRequest { ticket, producer, in_doubt, peek, same_run } = request;
        let trace = in_doubt.map(|(epoch, sequence)| {
            let trace = self.tail.dedup.trace(&BatchId { producer, epoch, sequence });
            (trace, Fenced { epoch, at: Timestamp::ZERO, fate: None })
        });
        if let Some((Trace::Found(entry), told)) = trace {
            let receipt = self.join(ticket, Wait::Exposed, entry);
            let told = Fenced { at: receipt.last_timestamp(), fate: Some(Fate::Applied(receipt)), ..told };
            self.fences.0.insert(ticket, told);
            return Ok(None);
        }
        if self.tail.dedup.last_seen(producer).is_some_and(|last| last > self.queue.released_timestamp()) {
            return Err(Refusal::Unsettled);
        }
        match trace {
            Some((Trace::Forgotten, told)) => Ok(Some(Fenced { fate: Some(Fate::Forgotten), ..told })),
            Some((_, told)) if peek => Ok(Some(Fenced { fate: Some(Fate::Open), ..told })),
            Some((_, told)) if is_planted(Bug::FateWithoutFence) => {
                Ok(Some(Fenced { fate: Some(Fate::NotApplied), ..told }))
            }
            // The table of a leader holds all that may still be committed before the fence.
            Some((_, told)) => {
                let next_run = self.tail.dedup.next_run(producer, told.epoch);
                let epoch = if same_run { told.epoch.saturating_add(1) } else { next_run };
                let fate = Some(Fate::NotApplied);
                self.fence(ticket, producer, Fenced { epoch, fate, ..told }, now)
            }
            None => {
                let epoch = self.tail.dedup.next_run(producer, 0);
                self.fence(ticket, producer, Fenced { epoch, at: Timestamp::ZERO, fate: None }, now)
            }
        }
    }

    /// Writes a fence with `told`'s epoch.
    fn fence(
        &mut self,
        ticket: u64,
        producer: ProducerId,
        told: Fenced,
        now: &Reading,
    ) -> Result<Option<Fenced>, Refusal> {
        let header = FrameHeader {
            batch: BatchId { producer, epoch: told.epoch, sequence: 0 },
            ..self.stamp(FrameKind::ProducerFence, 1, now)?
        };
        let frame = Frame::new(header, Bytes::new());
        let Ok(_) = self.group.propose(frame.header_bytes.clone(), Bytes::new()) else {
            return Err(self.refuse_proposal());
        };
        self.note_assigned(header.last_timestamp());
        self.note_frame_of(producer);
        self.drain();
        if self.failure.is_some() {
            return Err(Refusal::Stopped { reason: "its log does not hold together".to_owned() });
        }
        let receipt = receipt_of(&frame, self.options.shard, self.options.durability);
        self.queue.wait(header.index, Waiter { ticket, wait: Wait::Exposed, receipt, timeline: None });
        self.fences.0.insert(ticket, Fenced { at: header.last_timestamp(), ..told });
        Ok(None)
    }

    /// What an answered ticket asked about a producer, if it did; to be told unless the answer is a refusal.
    pub fn take_fenced(&mut self, ticket: u64) -> Option<Fenced> {
        self.fences.0.remove(&ticket)
    }
}
