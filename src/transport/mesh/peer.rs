//! One peer: which of its connections is in use, and what is known of its troubles.
//!
//! Knows nothing of how connections are made.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::queue::SendQueue;
use crate::transport::warnings::Warnings;
use crate::transport::{CloseCode, StreamClass, TransportOptions};
use crate::types::NodeId;
use crate::wire::{ClockProbe, NodeMessage, PacketLimits, encode_packet};

/// A connection that passed both hellos.
pub(super) struct Active {
    pub(super) connection: quinn::Connection,
    /// The peer's boot.
    pub(super) boot: u64,
    /// Which of the two nodes dialled.
    pub(super) dialler: NodeId,
    pub(super) since: Instant,
    pub(super) queues: [SendQueue; 2],
}

impl Active {
    pub(super) fn new(
        connection: quinn::Connection,
        boot: u64,
        dialler: NodeId,
        options: &TransportOptions,
    ) -> Arc<Self> {
        let queue = || SendQueue::new(options.queue_messages_max, options.queue_bytes_max);
        Arc::new(Self { connection, boot, dialler, since: Instant::now(), queues: [queue(), queue()] })
    }

    fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    fn beats(&self, other: &Self) -> bool {
        other.is_closed() || is_better((self.boot, self.dialler), (other.boot, other.dialler))
    }
}

/// Whether a later connection (the peer's boot, who dialled) is used instead of an earlier one: both ends answer
/// alike. The newer boot wins; then the lower dialler; then the later one, because a node dials again only when it
/// knows that the earlier one is dead.
fn is_better(later: (u64, NodeId), earlier: (u64, NodeId)) -> bool {
    later.0 > earlier.0 || (later.0 == earlier.0 && later.1 <= earlier.1)
}

pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) address: String,
    /// Counts the connections that were in use; `None` while none is.
    pub(super) standing: watch::Sender<Option<u64>>,
    state: Mutex<State>,
    dropped: AtomicU64,
    warnings: Warnings,
}

#[derive(Default)]
struct State {
    active: Option<Arc<Active>>,
    installed: u64,
    /// The node stops: nothing is put to use any more.
    stopped: bool,
    last_error: Option<String>,
}

impl Peer {
    pub(super) fn new(node: NodeId, address: String) -> Self {
        Self {
            node,
            address,
            standing: watch::Sender::new(None),
            state: Mutex::default(),
            dropped: AtomicU64::new(0),
            warnings: Warnings::default(),
        }
    }

    pub(super) fn active(&self) -> Option<Arc<Active>> {
        self.state.lock().expect("no panic under the lock").active.clone()
    }

    /// Puts a connection to use unless the one in use is better; the loser is closed. Answers whether it is used.
    pub(super) fn install(&self, candidate: &Arc<Active>) -> bool {
        let mut state = self.state.lock().expect("no panic under the lock");
        let wins = !state.stopped && state.active.as_ref().is_none_or(|active| candidate.beats(active));
        let loser = if wins { state.active.replace(candidate.clone()) } else { Some(candidate.clone()) };
        if wins {
            state.installed += 1;
            state.last_error = None;
            self.standing.send_replace(Some(state.installed));
        }
        drop(state);
        if let Some(loser) = loser {
            let reason = b"another connection between these nodes stands";
            loser.connection.close(CloseCode::Replaced.varint(), reason);
        }
        wins
    }

    /// Takes an ended connection out of use.
    pub(super) fn remove(&self, ended: &Arc<Active>, reason: String) {
        let mut state = self.state.lock().expect("no panic under the lock");
        if state.active.as_ref().is_some_and(|active| Arc::ptr_eq(active, ended)) {
            state.active = None;
            state.last_error.get_or_insert(reason);
            self.standing.send_replace(None);
        }
    }

    /// Closes the connection in use for good, because this node stops.
    pub(super) fn stop(&self) {
        self.state.lock().expect("no panic under the lock").stopped = true;
        if let Some(active) = self.active() {
            active.connection.close(CloseCode::Done.varint(), b"the node stops");
        }
    }

    pub(super) fn send(
        &self,
        message: &NodeMessage,
        payload: Vec<Bytes>,
        class: StreamClass,
        limits: &PacketLimits,
    ) -> bool {
        let sent = self.active().is_some_and(|active| match encode_packet(message, payload, limits) {
            Ok(packet) => active.queues[class.position()].push(packet),
            Err(error) => {
                self.complain(&format!("a message to it cannot be sent: {error}"));
                false
            }
        });
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// Sends a probe as a datagram. A full buffer drops its oldest one: what matters in a probe is that it is young.
    pub(super) fn probe(&self, probe: &ClockProbe) -> bool {
        let bytes = Bytes::from(prost::Message::encode_to_vec(probe));
        self.active().is_some_and(|active| active.connection.send_datagram(bytes).is_ok())
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.state.lock().expect("no panic under the lock").last_error.clone()
    }

    /// Remembers a trouble, and logs it if it is news.
    pub(super) fn complain(&self, reason: &str) {
        self.state.lock().expect("no panic under the lock").last_error = Some(reason.to_owned());
        if self.warnings.is_due(reason) {
            tracing::warn!(peer = %self.node, address = %self.address, %reason, "trouble with a peer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_keep_the_same_connection_whichever_they_saw_first() {
        let (low, high) = (NodeId(1), NodeId(2));
        assert!(is_better((5, low), (5, high)) && !is_better((5, high), (5, low)), "the lower dialler's");
        assert!(is_better((6, high), (5, low)) && !is_better((5, low), (6, high)), "the newer boot's");
        assert!(is_better((5, high), (5, high)), "a dialler's later attempt");
    }
}
