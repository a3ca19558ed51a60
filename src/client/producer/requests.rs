//! What a producer asks of a shard's leader and is answered, in the words of the wire.

use std::time::Duration;

use super::batches::Sending;
use super::doubts::{Question, Told};
use crate::client::error::Error;
use crate::types::{
    BatchId, BatchRef, Durability, Fate, Offset, ProducerId, Receipt, ShardId, StageTimes, Term, Timestamp,
    Wait,
};
use crate::wire::{
    AppendBody, AppendedBody, ErrorCode, FenceProducerBody, ProducerFencedBody, RequestBody, ResponseBody,
};

pub(super) fn append(shard: ShardId, producer: ProducerId, wait: Wait, sending: &Sending) -> RequestBody {
    RequestBody::Append(AppendBody {
        shard: shard.0,
        record_count: sending.batch.count,
        body_crc: sending.batch.crc,
        compression: sending.batch.compression as u32,
        producer: producer.0,
        epoch: sending.attempt.epoch,
        sequence: sending.attempt.sequence,
        lowest_open_sequence: sending.lowest_open,
        floor_ns: sending.floor.0,
        wait: wait as u32,
        after_ns: sending.after.0,
        ..AppendBody::default()
    })
}

pub(super) fn receipt_of(shard: ShardId, body: &ResponseBody) -> Result<Receipt, Error> {
    match body {
        ResponseBody::Appended(body) => receipt(shard, body),
        _ => Err(malformed(shard, "an append was answered by something else than a receipt".to_owned())),
    }
}

fn malformed(shard: ShardId, what: String) -> Error {
    Error::Malformed { address: format!("the leader of shard {shard}"), what }
}

fn receipt(shard: ShardId, body: &AppendedBody) -> Result<Receipt, Error> {
    let durability = match body.durability {
        0 => Durability::Disk,
        1 => Durability::Memory,
        other => return Err(malformed(shard, format!("durability {other}"))),
    };
    Ok(Receipt {
        shard,
        first_offset: Offset(body.first_offset),
        first_timestamp: Timestamp(body.first_timestamp_ns),
        record_count: body.record_count,
        uncertainty_ns: body.uncertainty_ns,
        term: Term(body.term),
        header_crc: body.header_crc,
        durability,
        wait: StageTimes {
            queue: Duration::from_nanos(body.queue_ns),
            sync: Duration::from_nanos(body.sync_ns),
            replication: Duration::from_nanos(body.replication_ns),
            commit_wait: Duration::from_nanos(body.commit_wait_ns),
        },
    })
}

/// Fences a named producer's earlier runs.
pub(super) fn fence(shard: ShardId, producer: ProducerId) -> RequestBody {
    let body = FenceProducerBody { shard: shard.0, producer: producer.0, ..FenceProducerBody::default() };
    RequestBody::FenceProducer(body)
}

/// Asks what became of a batch; to settle it fences its producer.
pub(in crate::client) fn question(batch: &BatchRef, settle: bool) -> RequestBody {
    RequestBody::FenceProducer(FenceProducerBody {
        shard: batch.shard.0,
        producer: batch.batch.producer.0,
        epoch: Some(batch.batch.epoch),
        sequence: Some(batch.batch.sequence),
        peek: !settle,
        same_run: false,
    })
}

/// Asks what became of a batch, for good, by a fence of the epoch that its run goes on with.
pub(super) fn own_question(shard: ShardId, producer: ProducerId, question: Question) -> RequestBody {
    RequestBody::FenceProducer(FenceProducerBody {
        shard: shard.0,
        producer: producer.0,
        epoch: Some(question.epoch),
        sequence: Some(question.sequence),
        peek: false,
        same_run: true,
    })
}

/// Names a batch to whoever asks for it.
pub(super) fn batch_ref(shard: ShardId, producer: ProducerId, question: Question) -> BatchRef {
    let Question { epoch, sequence } = question;
    BatchRef { shard, batch: BatchId { producer, epoch, sequence } }
}

/// What the answer to an own question says.
pub(super) fn told_of(shard: ShardId, question: Question, body: &ResponseBody) -> Result<Told, Error> {
    let (fenced, fate) = (fenced_of(shard, body)?, fate_of(shard, body)?);
    if fate == Fate::NotApplied && Some(fenced.epoch) != question.epoch.checked_add(1) {
        return Err(malformed(shard, format!("a fence of epoch {} for {question:?}", fenced.epoch)));
    }
    Ok(Told { fate, at: Timestamp(fenced.at_ns) })
}

/// What a fence's answer says.
pub(super) fn fenced_of(shard: ShardId, body: &ResponseBody) -> Result<ProducerFencedBody, Error> {
    match body {
        ResponseBody::ProducerFenced(body) => Ok(body.clone()),
        _ => Err(malformed(shard, "a fence was answered by something else".to_owned())),
    }
}

/// What became of the batch asked about.
pub(in crate::client) fn fate_of(shard: ShardId, body: &ResponseBody) -> Result<Fate, Error> {
    let fenced = fenced_of(shard, body)?;
    match (fenced.fate, &fenced.receipt) {
        (1, Some(body)) => receipt(shard, body).map(Fate::Applied),
        (2, None) => Ok(Fate::NotApplied),
        (3, None) => Ok(Fate::Forgotten),
        (4, None) => Ok(Fate::Open),
        (other, _) => Err(malformed(shard, format!("fate {other}"))),
    }
}

/// The refusal, or what it means of a request that older nodes do not know.
pub(super) fn unless_unknown(error: Error) -> Error {
    match &error {
        Error::Refused(refusal) if refusal.code == ErrorCode::Invalid => {
            Error::Unsupported { node: refusal.node, feature: "fences of producers" }
        }
        _ => error,
    }
}
