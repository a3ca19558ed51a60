//! The seam between nodes: what a lane may ask of a network, and what a network gives back.
//!
//! Knows nothing of sockets. A link loses messages when it must (no connection, full queue, restart) but
//! never delivers a damaged one, and keeps the order of what it delivers within one peer and class.

use std::pin::Pin;

use bytes::Bytes;

use crate::types::NodeId;
use crate::wire::{ClockProbe, NodeMessage};

/// Which of a connection's two streams carries a message: large transfers never delay heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamClass {
    Raft,
    Bulk,
}

impl StreamClass {
    /// Both classes, in the order of [`Self::position`].
    pub const ALL: [Self; 2] = [Self::Raft, Self::Bulk];

    pub(crate) const fn position(self) -> usize {
        self as usize
    }
}

/// Sends messages to other nodes without ever waiting.
pub trait Link: Send + Sync {
    /// Queues a message; `payload` stands beside it in order. `false`: dropped, because the peer is not
    /// connected, its queue is full, or the packet is over the limits.
    fn send(&self, to: NodeId, message: NodeMessage, payload: Vec<Bytes>, class: StreamClass) -> bool;

    /// Sends a probe at once, past everything that is queued; it may be lost or overtaken. `false`: dropped, because the
    /// peer is not connected.
    fn probe(&self, to: NodeId, probe: &ClockProbe) -> bool;
}

/// Receives what peers send. Called on the network's runtime: must return fast.
pub trait Inbox: Send + Sync {
    /// One message, in the order `from` sent those of its class.
    fn on_message(&self, from: NodeId, message: NodeMessage, payload: Bytes);
    /// A question for this node's clock, or an answer to its own.
    fn on_probe(&self, from: NodeId, probe: ClockProbe);
    /// A connection to `peer` now stands. What was sent before may be lost.
    fn on_connected(&self, _peer: NodeId) {}
    /// No connection to `peer` stands any more.
    fn on_disconnected(&self, _peer: NodeId) {}
}

/// Remembers, durably, which data folder each peer had.
pub trait PeerIdentities: Send + Sync {
    /// Remembers `identity` if `node` is new; otherwise `Err` with the reason unless it is the remembered one.
    /// The answer may have to wait for a disk, not on the network's runtime.
    fn check(&self, node: NodeId, identity: u64) -> Checked<'_>;
}

/// The answer to [`PeerIdentities::check`], as it comes.
pub type Checked<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
