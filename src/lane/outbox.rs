//! What a lane has for its peers, coalesced: one message per peer and flush, and one more for bulk.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Send;
use super::convert;
use crate::clock::TimeInterval;
use crate::consensus::Message;
use crate::simulation::{Limit, limit};
use crate::types::{NodeId, ShardId};
use crate::wire::{FetchedFrames, NodeMessage};

/// A Raft message with more data than this goes by the bulk stream.
const BULK_BYTES: usize = 256 << 10;
/// A peer's message is cut off and sent once it carries this much.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Messages under way to peers.
#[derive(Default)]
pub(super) struct Outbox {
    peers: BTreeMap<NodeId, Pending>,
    full: Vec<Send>,
}

#[derive(Default)]
struct Pending {
    message: NodeMessage,
    payload: Vec<Bytes>,
    payload_bytes: usize,
}

impl Outbox {
    /// The message that will go to `node`, to add to.
    pub(super) fn to(&mut self, node: NodeId) -> &mut NodeMessage {
        &mut self.peers.entry(node).or_default().message
    }

    pub(super) fn raft(&mut self, node: NodeId, shard: ShardId, message: Message) {
        let data_bytes: usize = message.entries.iter().map(|entry| entry.data.len()).sum();
        if data_bytes as u64 > limit(Limit::BulkBytes, BULK_BYTES as u64) {
            let mut payload = Vec::new();
            let raft = vec![convert::to_wire(shard, message, &mut payload)];
            let message = NodeMessage { raft, ..NodeMessage::default() };
            self.full.push(Send { to: node, message, payload, bulk: true });
            return;
        }
        let pending = self.peers.entry(node).or_default();
        let raft = convert::to_wire(shard, message, &mut pending.payload);
        pending.message.raft.push(raft);
        pending.payload_bytes += data_bytes;
        if pending.payload_bytes > MESSAGE_BYTES_MAX - BULK_BYTES {
            let Pending { message, payload, .. } = std::mem::take(pending);
            self.full.push(Send { to: node, message, payload, bulk: false });
        }
    }

    /// Frames for a peer that lost them. They travel alone.
    pub(super) fn fetched(&mut self, node: NodeId, answer: FetchedFrames, payload: Vec<Bytes>) {
        let message = NodeMessage { fetched: Some(answer), ..NodeMessage::default() };
        self.full.push(Send { to: node, message, payload, bulk: true });
    }

    /// Everything to send now, stamped with what this node states of the time.
    pub(super) fn flush(&mut self, stated: TimeInterval) -> Vec<Send> {
        let mut sends = std::mem::take(&mut self.full);
        for (to, pending) in std::mem::take(&mut self.peers) {
            if pending.message != NodeMessage::default() {
                sends.push(Send { to, message: pending.message, payload: pending.payload, bulk: false });
            }
        }
        for send in &mut sends {
            send.message.earliest_ns = stated.earliest.0;
            send.message.latest_ns = stated.latest.0;
        }
        sends
    }
}
