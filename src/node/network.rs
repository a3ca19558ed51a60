//! The network's thread: one runtime for peers, clients, metrics and upkeep.
//!
//! Starts in two steps, for the lane needs the mesh and the sessions need the lane: first it binds and
//! reports, then it serves what it is given. Ends when told, or when the starter gives up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::folder::RememberedPeers;
use super::lane_thread::LaneHandle;
use super::shared::NodeShared;
use super::{Error, groups, http, session, upkeep};
use crate::transport::{Checked, Endpoint, Identity, Mesh, PeerIdentities, TransportOptions};
use crate::types::NodeId;
use crate::wire::NodeHello;

/// What the network is made of.
pub(super) struct NetworkStart {
    pub(super) me: NodeHello,
    pub(super) listen: SocketAddr,
    pub(super) metrics_listen: Option<SocketAddr>,
    pub(super) identity: Identity,
    pub(super) transport: TransportOptions,
    pub(super) peers: Vec<(NodeId, String)>,
    pub(super) remembered: RememberedPeers,
    pub(super) lane: LaneHandle,
}

/// The remembered peers, asked on a thread that may wait for the disk.
struct OnDisk(Arc<RememberedPeers>);

impl PeerIdentities for OnDisk {
    fn check(&self, node: NodeId, identity: u64) -> Checked<'_> {
        let peers = Arc::clone(&self.0);
        let checked = tokio::task::spawn_blocking(move || peers.check(node, identity));
        Box::pin(async { checked.await.unwrap_or_else(|error| Err(error.to_string())) })
    }
}

/// The network as it stands once it is bound.
pub(super) struct Bound {
    pub(super) mesh: Arc<Mesh>,
    pub(super) address: SocketAddr,
    pub(super) metrics_address: Option<SocketAddr>,
}

/// Runs the network on the calling thread until `stop` is sent or dropped.
pub(super) fn run(
    start: NetworkStart,
    bound: &SyncSender<Result<Bound, Error>>,
    serve: oneshot::Receiver<Arc<NodeShared>>,
    stop: oneshot::Receiver<()>,
) {
    let node = NodeId(start.me.node);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            // The starter waits for this.
            let _ = bound.send(Err(Error::Thread { node, source }));
            return;
        }
    };
    runtime.block_on(async {
        match bind(start).await {
            Ok((network, endpoint, metrics)) => {
                let _ = bound.send(Ok(network));
                if let Ok(shared) = serve.await {
                    run_tasks(&shared, &endpoint, metrics, stop).await;
                }
                endpoint.close().await;
            }
            Err(error) => drop(bound.send(Err(error))),
        }
    });
}

async fn bind(start: NetworkStart) -> Result<(Bound, Endpoint, Option<TcpListener>), Error> {
    let node = NodeId(start.me.node);
    let metrics = match start.metrics_listen {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.map_err(|source| Error::MetricsListen { address, source })?)
        }
        None => None,
    };
    let endpoint = Endpoint::bind(start.listen, &start.identity, start.transport)
        .map_err(|source| Error::Transport { node, source })?;
    let (remembered, inbox) = (Box::new(OnDisk(Arc::new(start.remembered))), Arc::new(start.lane));
    let mesh = Mesh::start(endpoint.clone(), start.me, start.peers, remembered, inbox);
    let bound = Bound {
        mesh: Arc::new(mesh),
        address: endpoint.local_address(),
        metrics_address: metrics.as_ref().and_then(|listener| listener.local_addr().ok()),
    };
    Ok((bound, endpoint, metrics))
}

async fn run_tasks(
    shared: &Arc<NodeShared>,
    endpoint: &Endpoint,
    metrics: Option<TcpListener>,
    stop: oneshot::Receiver<()>,
) {
    let mut tasks = start_tasks(shared, endpoint);
    if let Some(listener) = metrics {
        tasks.spawn(http::serve(listener, Arc::clone(shared)));
    }
    // A handle that is dropped stops the node too.
    let _ = stop.await;
    tasks.shutdown().await;
}

/// What every node does beside its lane, until the set is dropped.
pub(super) fn start_tasks(shared: &Arc<NodeShared>, endpoint: &Endpoint) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(session::serve(endpoint.client_listener(), Arc::clone(shared)));
    tasks.spawn(upkeep::run(Arc::clone(shared)));
    tasks.spawn(groups::run(Arc::clone(shared)));
    tasks
}
