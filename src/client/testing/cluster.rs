//! The test cluster's nodes: endpoints on the loopback that can be stopped and started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::session::serve;
use super::shards::World;
use crate::client::{Client, ClientOptions};
use crate::transport::{Endpoint, Identity, TransportOptions, init_certs};
use crate::types::NodeId;

/// What sessions see of their cluster.
pub(super) struct Shared {
    pub(super) world: Mutex<World>,
    /// Rises with every change, so that subscriptions look again.
    pub(super) version: watch::Sender<u64>,
    pub(super) addresses: Mutex<BTreeMap<NodeId, SocketAddr>>,
}

/// Nodes 1..=n over one world of shards.
pub(in crate::client) struct Cluster {
    pub(super) shared: Arc<Shared>,
    certs: tempfile::TempDir,
    running: BTreeMap<NodeId, (Endpoint, JoinHandle<()>)>,
}

impl Cluster {
    pub(in crate::client) fn start(nodes: u64, shards: u64) -> Self {
        let certs = tempfile::tempdir().expect("a temporary folder");
        init_certs(certs.path(), nodes).expect("fresh certificates");
        let world = Mutex::new(World::new(shards, nodes));
        let shared = Shared { world, version: watch::Sender::new(0), addresses: Mutex::default() };
        let mut cluster = Self { shared: Arc::new(shared), certs, running: BTreeMap::new() };
        (1..=nodes).for_each(|node| cluster.start_node(node));
        cluster
    }

    /// Starts a node, at the address it had before if it ran before.
    pub(in crate::client) fn start_node(&mut self, node: u64) {
        let id = NodeId(node);
        let identity = Identity::node(self.certs.path(), id).expect("the node's certificate");
        let mut addresses = self.shared.addresses.lock().expect("no test panicked");
        let address = addresses.get(&id).copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let endpoint = Endpoint::bind(address, &identity, TransportOptions::default()).expect("a free port");
        addresses.insert(id, endpoint.local_address());
        drop(addresses);
        let listening = tokio::spawn(serve(Arc::clone(&self.shared), id, endpoint.client_listener()));
        self.running.insert(id, (endpoint, listening));
    }

    /// Stops a node: its connections end, and its port is free again.
    pub(in crate::client) async fn stop_node(&mut self, node: u64) {
        if let Some((endpoint, listening)) = self.running.remove(&NodeId(node)) {
            endpoint.close().await;
            listening.abort();
            let _aborted = listening.await;
            drop(endpoint);
            // The port is free once the last session has noticed its end.
            while std::net::UdpSocket::bind(self.address(node)).is_err() {
                tokio::task::yield_now().await;
            }
        }
    }

    pub(in crate::client) fn address(&self, node: u64) -> String {
        self.shared.addresses.lock().expect("no test panicked")[&NodeId(node)].to_string()
    }

    /// A client that was told of these nodes only.
    pub(in crate::client) async fn client(&self, endpoints: &[u64]) -> Client {
        Client::connect(self.options(endpoints)).await.expect("the test cluster answers")
    }

    pub(in crate::client) fn options(&self, endpoints: &[u64]) -> ClientOptions {
        ClientOptions {
            endpoints: endpoints.iter().map(|node| self.address(*node)).collect(),
            certs: self.certs.path().to_owned(),
            request_timeout: Duration::from_secs(10),
        }
    }

    /// Looks at the world.
    pub(in crate::client) fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().expect("no session panicked")
    }

    /// Changes the world, and lets subscriptions see it.
    pub(in crate::client) fn change<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        let result = change(&mut self.world());
        self.shared.version.send_modify(|version| *version += 1);
        result
    }
}
