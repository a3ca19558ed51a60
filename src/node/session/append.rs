//! Appends: proved here, stamped and replicated by the lane.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::answers;
use crate::codec::{self, BODY_BYTES_MAX, Compression, encode_records, validate_records};
use crate::node::groups::GROUPS_TOPIC;
use crate::node::lane_thread::Append;
use crate::node::shared::NodeShared;
use crate::shard::Refusal;
use crate::types::{BatchId, ProducerId, Receipt, Record, ShardId};
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
    let compression = prove(shard, request, &body)?;
    let batch =
        BatchId { producer: ProducerId(request.producer), epoch: request.epoch, sequence: request.sequence };
    let append = Append {
        shard,
        batch,
        lowest_open: request.lowest_open_sequence,
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
        lowest_open: 0,
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
    let (found, computed) = (request.body_crc, codec::checksum(&[body]));
    if found != computed {
        let damaged = codec::Error::BodyCrc { found, computed };
        let damaged = answers::invalid_batch(shard, &damaged);
        return Err(ErrorBody { retryable: true, ..damaged });
    }
    u8::try_from(request.compression)
        .map_err(|_| codec::Error::Field { field: "compression", found: request.compression.into() })
        .and_then(Compression::decode)
        .and_then(|compression| {
            validate_records(body, compression, request.record_count).map(|()| compression)
        })
        .map_err(|problem| answers::invalid_batch(shard, &problem))
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
