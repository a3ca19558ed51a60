//! Where a timestamp stands in this node's replica of a shard: one long poll of the lane.

use std::time::Duration;

use super::answers;
use crate::lane::ReadFrom;
use crate::node::shared::NodeShared;
use crate::types::{Offset, ShardId, Timestamp};
use crate::wire::{ErrorBody, ErrorCode, LocateBody, LocatedBody};

/// How long a question is held; the asker then asks again, here or elsewhere. It gives an attempt up a little later.
const HELD_MAX: Duration = Duration::from_secs(2);

pub(super) async fn locate(host: &NodeShared, request: &LocateBody) -> Result<LocatedBody, ErrorBody> {
    let (shard, at) = (ShardId(request.shard), Timestamp(request.at_ns));
    let closed_above = if request.waits_closed { at.minus_ns(2) } else { Timestamp::ZERO };
    let pending = host.lane.read(shard, ReadFrom::Time(at), 1, closed_above).map_err(answers::busy)?;
    let answer = tokio::time::timeout(HELD_MAX, pending).await.map_err(|_| late(host, shard, at))?;
    let answer = answer.map_err(|_| answers::stopped())?;
    let answer = answer.map_err(|refusal| answers::unreadable(host, &refusal))?;
    let (offset, found) = (answer.offset_of(at), answer.timestamp_of(at));
    let released = if found.is_some() { released(host, shard).await? } else { offset };
    Ok(LocatedBody {
        shard: shard.0,
        offset: offset.0,
        closed_ns: answer.closed.0,
        found_ns: found.map_or(0, |found| found.0),
        released_offset: released.0,
    })
}

async fn released(host: &NodeShared, shard: ShardId) -> Result<Offset, ErrorBody> {
    let statuses = host.lane.statuses(Some(vec![shard])).await.map_err(answers::busy)?;
    statuses.first().map(|status| status.released).ok_or_else(|| answers::unknown_shard(host, shard))
}

fn late(host: &NodeShared, shard: ShardId, at: Timestamp) -> ErrorBody {
    let message = format!(
        "shard {shard} on node {} is not closed before {at} yet; try again shortly, or ask another node",
        host.node
    );
    answers::error(ErrorCode::Timeout, true, message)
}
