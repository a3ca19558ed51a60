//! stub
use super::{Endpoint, Inbox, Link, PeerIdentities, StreamClass};
use crate::types::NodeId;
use crate::wire::{NodeHello, NodeMessage};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
/// What is known of one peer's connection.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    pub node: NodeId,
    pub connected: bool,
    pub rtt: Option<Duration>,
    /// Messages dropped because a queue was full, over a limit, or nobody was connected.
    pub dropped: u64,
    /// Why the last attempt failed or the last connection ended.
    pub last_error: Option<String>,
}
/// One connection to each peer. Dropping it ends them.
pub struct Mesh;
impl Mesh {
    /// Starts dialling `peers` (others than `me`); must be called within a tokio runtime.
    #[expect(clippy::needless_pass_by_value, reason = "kept by the mesh")]
    pub fn start(
        _endpoint: Endpoint,
        _me: NodeHello,
        _peers: Vec<(NodeId, String)>,
        _identities: Box<dyn PeerIdentities>,
        _inbox: Arc<dyn Inbox>,
    ) -> Self {
        todo!()
    }
    pub fn connected(&self, _node: NodeId) -> bool {
        todo!()
    }
    /// Waits until `node` is connected.
    pub async fn wait_connected(&self, _node: NodeId) {
        todo!()
    }
    pub fn rtt(&self, _node: NodeId) -> Option<Duration> {
        todo!()
    }
    pub fn statuses(&self) -> Vec<PeerStatus> {
        todo!()
    }
}
impl Link for Mesh {
    fn send(&self, _to: NodeId, _message: NodeMessage, _payload: Vec<Bytes>, _class: StreamClass) -> bool {
        todo!()
    }
}
