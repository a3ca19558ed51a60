//! What a shard tells of itself and hands to its caller.

use super::release::Position;
use crate::clock::Fault;
use crate::codec::{Frame, ShardState};
use crate::consensus::{Message, Role};
use crate::types::{ReplicaId, Term, Timestamp, Vote};

/// A look at one replica. `released <= committed <= appended` and `synced <= appended`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    pub role: Role,
    pub term: Term,
    pub leader: Option<ReplicaId>,
    pub appended: Position,
    pub synced: Position,
    pub committed: Position,
    pub released: Position,
    /// The time up to which this replica's readers have everything.
    pub closed: Timestamp,
    /// This replica leads, and still asks its peers what they promised.
    pub floor_pending: bool,
    /// Why this replica neither assigns nor exposes nor promises.
    pub fault: Option<Fault>,
    /// Appends that wait for their answer.
    pub unanswered: usize,
    /// Messages and promises refused because they lead this replica's clock too far.
    pub guarded: u64,
}

/// What to write, and what to send around it.
///
/// Carry out `reset`, write `vote` and append `frames` to the log *before calling the shard again*: it reads them there. Send
/// `send_now` once they are written (not synced). When they are as durable as the shard's durability asks,
/// call `Shard::on_persisted` with `number`, which gives the messages that had to wait. With none
/// of the three there is nothing to report back.
#[derive(Debug)]
pub struct Persist {
    pub number: u64,
    /// The whole log is given up and begins anew after this state.
    pub reset: Option<ShardState>,
    pub vote: Option<Vote>,
    /// Consecutive. If the first index is not above the log's last, the log is cut there first.
    pub frames: Vec<Frame>,
    pub send_now: Vec<Message>,
}

impl Persist {
    /// There is something to make durable.
    pub fn writes(&self) -> bool {
        self.reset.is_some() || self.vote.is_some() || !self.frames.is_empty()
    }
}
