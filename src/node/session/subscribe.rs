//! Subscriptions: long polls of the lane, one after another, each answer sent on.
//!
//! At most one answer is in memory per subscription: the next poll begins when the last answer has room on
//! the stream. Frames leave as slices of the log's map.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answers;
use super::stream::Reply;
use crate::codec::Frame;
use crate::lane::ReadFrom;
use crate::node::shared::NodeShared;
use crate::types::{ShardId, Timestamp};
use crate::wire::{DeliverBody, ErrorBody, ResponseBody, SubscribeBody};

/// Runs until the shard cannot be read any more or nobody takes the replies.
pub(super) async fn run(host: &NodeShared, id: u64, request: SubscribeBody, replies: mpsc::Sender<Reply>) {
    if let Err(error) = deliver(host, id, &request, &replies).await {
        // A stream that is gone needs no last word.
        let _ = replies.send(Reply::new(id, ResponseBody::Error(error))).await;
    }
}

async fn deliver(
    host: &NodeShared,
    id: u64,
    request: &SubscribeBody,
    replies: &mpsc::Sender<Reply>,
) -> Result<(), ErrorBody> {
    let shard = ShardId(request.shard);
    let mut from = ReadFrom::Time(Timestamp(request.from_timestamp_ns));
    let mut told = Timestamp::ZERO;
    let mut pace = Pace { every: host.closed_tick / 2, last: None };
    loop {
        let bytes_max = host.limits.subscription_bytes;
        let pending = host.lane.read(shard, from, bytes_max, told).map_err(answers::busy)?;
        let answer = pending.await.map_err(|_| answers::stopped())?;
        let answer = answer.map_err(|refusal| answers::unreadable(host, &refusal))?;
        if answer.frames.is_empty() && answer.closed <= told {
            continue;
        }
        from = ReadFrom::Index(answer.next);
        if answer.frames.is_empty() && pace.holds_back().await {
            continue;
        }
        told = told.max(answer.closed);
        let kept_from_offset = answer.kept_from.0;
        let body = DeliverBody { shard: shard.0, closed_ns: told.0, kept_from_offset };
        let body = ResponseBody::Deliver(body);
        let reply = Reply { payload: payload(answer.frames), ..Reply::new(id, body) };
        if replies.send(reply).await.is_err() {
            return Ok(());
        }
    }
}

fn payload(frames: Vec<Frame>) -> Vec<Bytes> {
    frames
        .into_iter()
        .flat_map(|frame| [frame.header_bytes, frame.body])
        .filter(|part| !part.is_empty())
        .collect()
}

/// Keeps answers that only close time apart by half a closed tick: one per tick passes unhindered, a flurry not.
struct Pace {
    every: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// Waits until the next such answer is due. `true` if it waited: there may be more to tell by now.
    async fn holds_back(&mut self) -> bool {
        let now = Instant::now();
        let due = self.last.map_or(now, |last| last + self.every);
        if due > now {
            tokio::time::sleep_until(due).await;
            return true;
        }
        self.last = Some(now);
        false
    }
}
