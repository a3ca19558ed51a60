//! What a replica gives a peer that lost frames.
//!
//! Invariant: frames that cannot be proved here are not given; an answer is bounded, and there is one even if it is empty,
//! so that the peer asks elsewhere at once.

use bytes::Bytes;

use super::case::FETCH_BYTES_MAX;
use crate::codec::{Frame, FrameHeader, HEADER_BYTES};
use crate::lane::Lane;
use crate::log::{Log, Share};
use crate::types::{Index, NodeId, ShardId};
use crate::wire::{FetchFrames, FetchedFrames};

impl Lane {
    pub(in crate::lane) fn answer_fetch(&mut self, from: NodeId, request: &FetchFrames) {
        let shard = ShardId(request.shard);
        let Some(replica) = self.replicas.get(&shard) else { return };
        if replica.spec.replica_on(from).is_none() {
            return;
        }
        let frames = held(&replica.log.borrow(), request);
        let (committed, first) = (replica.shard.committed().0, replica.log.borrow().first_index().0);
        let answer = FetchedFrames { shard: request.shard, token: request.token, committed, first };
        let payload = frames.into_iter().flat_map(|frame| [frame.header_bytes, frame.body]).collect();
        self.outbox.fetched(from, answer, payload);
        self.notice_damage(shard);
    }
}

/// The last of the frames that are asked for, as many as the budget takes; none if one of those cannot be read.
fn held(log: &Log, request: &FetchFrames) -> Vec<Frame> {
    let (from, to) = (Index(request.from).max(log.first_index()), Index(request.to));
    if from > to || to > log.last_index() {
        return Vec::new();
    }
    let (mut first, mut bytes) = (to.plus(1), 0);
    while first > from {
        let Ok(header) = log.header(first.before()) else { break };
        bytes += header.frame_len() as u64;
        if bytes > request.max_bytes.min(FETCH_BYTES_MAX) && first <= to {
            break;
        }
        first = first.before();
    }
    if first > to {
        return Vec::new();
    }
    log.frames(first, to.plus(1), u64::MAX, Share::Copy).unwrap_or_default()
}

/// The frames of an answer's payload, each proved by itself; those before the first flaw.
pub(super) fn frames_of(mut payload: Bytes) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Ok(header) = FrameHeader::decode(&payload) {
        if payload.len() < header.frame_len() {
            break;
        }
        let header_bytes = payload.split_to(HEADER_BYTES);
        let Ok(frame) = Frame::decode(header_bytes, payload.split_to(header.body_len as usize)) else {
            break;
        };
        frames.push(frame);
    }
    frames
}
