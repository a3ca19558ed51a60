//! The mesh as its node sees it.
//!
//! Knows nothing of the network's steps, which are in `connection`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::connection::{announce, keep_connected, take_arrivals};
use super::peer::Peer;
use crate::transport::warnings::Warnings;
use crate::transport::{Endpoint, Inbox, Link, PeerIdentities, StreamClass};
use crate::types::NodeId;
use crate::wire::{ClockProbe, NodeHello, NodeMessage};

/// What is known of one peer's connection.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    pub node: NodeId,
    pub address: String,
    pub connected: bool,
    pub rtt: Option<Duration>,
    /// Messages dropped because nobody was connected, a queue was full, or a packet was over the limits.
    pub dropped: u64,
    /// The latest trouble since a connection last stood: why an attempt failed, or a connection ended.
    pub last_error: Option<String>,
}

/// One connection to each peer. Dropping it ends them; the endpoint stays.
pub struct Mesh {
    shared: Arc<Shared>,
    /// Aborted when dropped.
    _tasks: JoinSet<()>,
}

pub(super) struct Shared {
    pub(super) endpoint: Endpoint,
    pub(super) me: NodeHello,
    pub(super) peers: BTreeMap<NodeId, Arc<Peer>>,
    pub(super) identities: Box<dyn PeerIdentities>,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) stranger_warnings: Warnings,
}

impl Shared {
    pub(super) fn hello_timeout(&self) -> Duration {
        self.endpoint.options().handshake_timeout
    }
}

impl Mesh {
    /// Starts dialling `peers` (this node itself is left out) and taking in those that dial; must be called within
    /// a tokio runtime, which then runs the mesh. An endpoint carries one mesh.
    pub fn start(
        endpoint: Endpoint,
        me: NodeHello,
        peers: Vec<(NodeId, String)>,
        identities: Box<dyn PeerIdentities>,
        inbox: Arc<dyn Inbox>,
    ) -> Self {
        assert_eq!(
            endpoint.name(),
            format!("node-{}", me.node),
            "a node's hello agrees with its certificate"
        );
        let others = peers.into_iter().filter(|(node, _)| node.0 != me.node);
        let peers = others.map(|(node, address)| (node, Arc::new(Peer::new(node, address)))).collect();
        let arrivals = endpoint.take_arrivals();
        let stranger_warnings = Warnings::default();
        let shared = Arc::new(Shared { endpoint, me, peers, identities, inbox, stranger_warnings });
        let mut tasks = JoinSet::new();
        tasks.spawn(take_arrivals(shared.clone(), arrivals));
        for peer in shared.peers.values() {
            tasks.spawn(announce(shared.clone(), peer.clone()));
            tasks.spawn(keep_connected(shared.clone(), peer.clone()));
        }
        Self { shared, _tasks: tasks }
    }

    pub fn connected(&self, node: NodeId) -> bool {
        self.shared.peers.get(&node).is_some_and(|peer| peer.active().is_some())
    }

    /// Waits until a connection to `node` stands; for ever, if it is not a peer.
    pub async fn wait_connected(&self, node: NodeId) {
        let Some(peer) = self.shared.peers.get(&node) else { return std::future::pending().await };
        let mut standing = peer.standing.subscribe();
        standing.wait_for(Option::is_some).await.expect("the peer lives as long as the mesh");
    }

    /// Changes when a connection to `node` comes or goes.
    #[cfg(test)]
    pub(super) fn standing(&self, node: NodeId) -> tokio::sync::watch::Receiver<Option<u64>> {
        self.shared.peers[&node].standing.subscribe()
    }

    /// The smoothed round-trip time to `node`.
    pub fn rtt(&self, node: NodeId) -> Option<Duration> {
        Some(self.shared.peers.get(&node)?.active()?.connection.rtt())
    }

    /// Every peer, by node.
    pub fn statuses(&self) -> Vec<PeerStatus> {
        self.shared.peers.values().map(|peer| status(peer)).collect()
    }

    pub fn status(&self, node: NodeId) -> Option<PeerStatus> {
        self.shared.peers.get(&node).map(|peer| status(peer))
    }
}

fn status(peer: &Peer) -> PeerStatus {
    let active = peer.active();
    PeerStatus {
        node: peer.node,
        address: peer.address.clone(),
        connected: active.is_some(),
        rtt: active.map(|active| active.connection.rtt()),
        dropped: peer.dropped(),
        last_error: peer.last_error(),
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        for peer in self.shared.peers.values() {
            peer.stop();
        }
    }
}

impl Link for Mesh {
    fn send(&self, to: NodeId, message: NodeMessage, payload: Vec<Bytes>, class: StreamClass) -> bool {
        let limits = &self.shared.endpoint.options().node_limits;
        self.shared.peers.get(&to).is_some_and(|peer| peer.send(&message, payload, class, limits))
    }

    fn probe(&self, to: NodeId, probe: &ClockProbe) -> bool {
        self.shared.peers.get(&to).is_some_and(|peer| peer.probe(probe))
    }
}
