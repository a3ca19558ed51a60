//! What peers say: Raft messages, closed timestamps, floors.

use bytes::Bytes;

use super::Lane;
use super::convert;
use crate::clock::Reading;
use crate::shard::FloorReply;
use crate::types::{NodeId, ReplicaId, ShardId, Term, Timestamp};
use crate::wire::{FloorAnswer, FloorRequest, NodeMessage, RaftMessage};

impl Lane {
    pub(super) fn receive(&mut self, from: NodeId, message: NodeMessage, mut payload: Bytes, now: &Reading) {
        for raft in message.raft {
            if !self.receive_raft(from, raft, &mut payload, now) {
                // The payload's place is lost with a malformed message; Raft sends again.
                break;
            }
        }
        if let Some(fetched) = &message.fetched {
            if self.recollections.holds(ShardId(fetched.shard)) {
                self.take_recalled_frames(from, fetched, payload, now);
            } else {
                self.take_fetched(from, fetched, payload, now);
            }
        }
        for request in &message.recalls {
            self.answer_recall(from, request);
        }
        for answer in &message.recalled {
            self.take_recall(from, answer, now);
        }
        for request in &message.fetches {
            self.answer_fetch(from, request);
        }
        for request in &message.floor_requests {
            self.answer_floor(from, request);
        }
        for answer in &message.floor_answers {
            self.take_floor(from, answer, now);
        }
        if let Some(tick) = message.closed {
            self.accept_tick(from, &tick, now);
        }
        if let Some(ack) = message.closed_ack {
            self.take_acknowledgement(from, &ack, now);
        }
        if let Some(publication) = message.publication {
            self.take_publication(from, &publication);
        }
    }

    /// Whether the message could be read.
    fn receive_raft(&mut self, from: NodeId, raft: RaftMessage, payload: &mut Bytes, now: &Reading) -> bool {
        let shard = ShardId(raft.shard);
        let Ok(message) = convert::from_wire(raft, payload) else { return false };
        let Some(replica) = self.replicas.get_mut(&shard) else { return true };
        if message.to != replica.me || replica.spec.node_of(message.from) != Some(from) {
            return true;
        }
        // What was reserved for entries is given back by the settling; most messages bring none, and change nothing.
        let brings = message.manifest.is_some() || !message.entries.is_empty();
        match replica.has_room_for(&message) {
            Ok(true) => {}
            // As if it were lost: its sender tries again.
            Ok(false) => {
                self.touched.insert(shard);
                return true;
            }
            Err(failure) => {
                self.fail(shard, &failure);
                return true;
            }
        }
        if let Err(refusal) = replica.shard.step(message, now) {
            // What stops a replica shows when it settles; anything else concerns this message alone.
            self.output.refused.push((from, shard, refusal));
        }
        if brings || !replica.shard.is_idle() {
            self.touched.insert(shard);
        }
        true
    }

    fn answer_floor(&mut self, from: NodeId, request: &FloorRequest) {
        let Some(replica) = self.replicas.get(&ShardId(request.shard)) else { return };
        let Some(reply) = replica.shard.answer_floor(Term(request.term)) else { return };
        let answer = FloorAnswer {
            shard: request.shard,
            term: request.term,
            replica: replica.me.0,
            max_promised_ns: reply.max_promised.0,
            forgotten: reply.forgotten,
        };
        self.outbox.to(from).floor_answers.push(answer);
    }

    fn take_floor(&mut self, from: NodeId, answer: &FloorAnswer, now: &Reading) {
        let (shard, peer) = (ShardId(answer.shard), ReplicaId(answer.replica));
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        if replica.spec.node_of(peer) != Some(from) {
            return;
        }
        let max_promised = Timestamp(answer.max_promised_ns);
        let reply = FloorReply { max_promised, forgotten: answer.forgotten };
        replica.shard.on_floor_answer(peer, Term(answer.term), reply, now);
        self.touched.insert(shard);
    }
}
