//! Appends: proved here, stamped and replicated by the lane.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::answers;
use crate::codec::{self, BODY_BYTES_MAX, Compression, encode_records, validate_batch};
use crate::node::groups::GROUPS_TOPIC;
use crate::node::lane_thread::Append;
use crate::node::shared::NodeShared;
use crate::shard::Refusal;
use crate::types::{
    AppendTerms, BatchId, Condition, Offset, ProducerId, Receipt, Record, ShardId, Timestamp, Wait,
};
use crate::wire::{AppendBody, ErrorBody, ErrorCode, ResponseBody};

/// An append that the lane has taken in.
pub(super) struct PendingAppend {
    shard: ShardId,
    answer: oneshot::Receiver<Result<Receipt, Refusal>>,
}

/// Proves a batch and hands it to the lane, without waiting: batches keep their order.
pub(super) fn submit(
    host: &NodeShared,
    request: &AppendBody,
    body: Bytes,
) -> Result<PendingAppend, ErrorBody> {
    let arrived = host.clock.now().monotonic;
    let shard = ShardId(request.shard);
    may_append(host, shard)?;
    let compression = prove(shard, request, &body)?;
    let terms = terms(shard, request)?;
    let batch =
        BatchId { producer: ProducerId(request.producer), epoch: request.epoch, sequence: request.sequence };
    let append = Append {
        shard,
        batch,
        terms,
        record_count: request.record_count,
        compression,
        body_crc: request.body_crc,
        body,
        arrived,
    };
    let answer = host.lane.append(append).map_err(|busy| {
        host.metrics.refusals.inc();
        answers::busy(busy)
    })?;
    Ok(PendingAppend { shard, answer })
}

/// Refuses what clients write nothing to, and everything once this node is about to stop.
pub(super) fn may_append(host: &NodeShared, shard: ShardId) -> Result<(), ErrorBody> {
    if shard == ShardId::SYSTEM {
        let message = "shard 0 is the system topic's; topics are created and deleted by their own requests";
        return Err(answers::error(ErrorCode::Denied, false, message));
    }
    if host.view().topic_of(shard).is_some_and(|topic| topic.name.as_str() == GROUPS_TOPIC) {
        let message = format!("shard {shard} holds consumer groups, which are changed by their own requests");
        return Err(answers::error(ErrorCode::Denied, false, message));
    }
    if host.is_draining() {
        return Err(answers::refused(host, shard, &Refusal::NotLeader { leader: None }));
    }
    Ok(())
}

/// Appends records of this node's own, a value each and in one batch, and waits for their receipt.
pub(crate) async fn append_values(
    host: &NodeShared,
    shard: ShardId,
    values: Vec<Bytes>,
) -> Result<Receipt, ErrorBody> {
    let records: Vec<Record> =
        values.into_iter().map(|value| Record { value: Some(value), ..Record::default() }).collect();
    let batch = encode_records(&records).map_err(|problem| {
        let message = format!("the change does not fit into one batch: {problem}; ask for fewer shards");
        answers::error(ErrorCode::TooLarge, false, message)
    })?;
    let append = Append {
        shard,
        batch: BatchId::default(),
        terms: AppendTerms::default(),
        record_count: batch.count,
        compression: batch.compression,
        body_crc: batch.crc,
        body: batch.body,
        arrived: host.clock.now().monotonic,
    };
    let answer = host.lane.append(append).map_err(answers::busy)?;
    let result = answer.await.map_err(|_| answers::stopped())?;
    result.map_err(|refusal| answers::refused(host, shard, &refusal))
}

fn prove(shard: ShardId, request: &AppendBody, body: &Bytes) -> Result<Compression, ErrorBody> {
    if body.len() > BODY_BYTES_MAX {
        let message = format!(
            "the batch for shard {shard} has {} bytes, the limit is {BODY_BYTES_MAX}; send smaller batches",
            body.len()
        );
        return Err(answers::error(ErrorCode::TooLarge, false, message));
    }
    validate_batch(body, request.body_crc, request.compression, request.record_count).map_err(|problem| {
        // Damaged on its way: the same batch may arrive whole.
        let retryable = matches!(problem, codec::Error::BodyCrc { .. });
        ErrorBody { retryable, ..answers::invalid_batch(shard, &problem) }
    })
}

/// What is asked beside the append, as this node understands it.
fn terms(shard: ShardId, request: &AppendBody) -> Result<AppendTerms, ErrorBody> {
    let invalid = |what: String| {
        let message =
            format!("the append to shard {shard} asks for {what}; use a client of the node's version");
        Err(answers::error(ErrorCode::Invalid, false, message))
    };
    let wait = match request.wait {
        0 => Wait::Exposed,
        1 => Wait::Committed,
        other => return invalid(format!("the wait {other}, which this node does not know")),
    };
    let condition = match (request.next_offset, &request.key) {
        (Some(_), Some(_)) => return invalid("two conditions".to_owned()),
        (Some(offset), None) => Some(Condition::NextOffset(Offset(offset))),
        (None, Some(key)) => {
            Some(Condition::KeyUnchangedSince { key: key.clone(), as_of: Timestamp(request.key_as_of_ns) })
        }
        (None, None) => None,
    };
    Ok(AppendTerms {
        lowest_open: request.lowest_open_sequence,
        floor: Timestamp(request.floor_ns),
        wait,
        after: Timestamp(request.after_ns),
        condition,
    })
}

impl PendingAppend {
    pub(super) async fn answer(self, host: &NodeShared) -> ResponseBody {
        match self.answer.await {
            Ok(Ok(receipt)) => ResponseBody::Appended(answers::receipt_body(&receipt)),
            Ok(Err(Refusal::NotHosted)) => ResponseBody::Error(answers::unknown_shard(host, self.shard)),
            Ok(Err(refusal)) => ResponseBody::Error(answers::refused(host, self.shard, &refusal)),
            Err(_) => ResponseBody::Error(answers::stopped()),
        }
    }
}
