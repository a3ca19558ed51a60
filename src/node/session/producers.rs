//! Questions about producers: fenced, and told what became of their batches, by the lane.

use super::{answers, append};
use crate::node::lane_thread::Fence;
use crate::node::shared::NodeShared;
use crate::shard::{Fenced, Refusal};
use crate::types::{Fate, ProducerId, ShardId};
use crate::wire::{ErrorBody, ErrorCode, FenceProducerBody, ProducerFencedBody};

pub(super) async fn fence(
    host: &NodeShared,
    request: &FenceProducerBody,
) -> Result<ProducerFencedBody, ErrorBody> {
    let (shard, producer) = (ShardId(request.shard), ProducerId(request.producer));
    append::may_append(host, shard)?;
    let is_whole = request.epoch.is_some() == request.sequence.is_some();
    if producer == ProducerId(0)
        || !is_whole
        || (request.epoch.is_none() && (request.peek || request.same_run))
    {
        let message = "a question about a producer names one, from 1 on, and a batch of it by epoch and sequence, if any";
        return Err(answers::error(ErrorCode::Denied, false, message));
    }
    let in_doubt = request.epoch.zip(request.sequence);
    let FenceProducerBody { peek, same_run, .. } = *request;
    let answer = host.lane.fence_producer(Fence { shard, producer, in_doubt, peek, same_run });
    match answer.map_err(answers::busy)?.await.map_err(|_| answers::stopped())? {
        Ok(fenced) => Ok(fenced_body(&fenced)),
        Err(Refusal::NotHosted) => Err(answers::unknown_shard(host, shard)),
        Err(refusal) => Err(answers::refused(host, shard, &refusal)),
    }
}

fn fenced_body(fenced: &Fenced) -> ProducerFencedBody {
    let (fate, receipt) = match &fenced.fate {
        None => (0, None),
        Some(Fate::Applied(receipt)) => (1, Some(answers::receipt_body(receipt))),
        Some(Fate::NotApplied) => (2, None),
        Some(Fate::Forgotten) => (3, None),
        Some(Fate::Open) => (4, None),
    };
    ProducerFencedBody { epoch: fenced.epoch, at_ns: fenced.at.0, fate, receipt }
}
