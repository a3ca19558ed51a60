//! Nodes in this process, in a folder that goes with them: to try the load without a cluster.
//!
//! What they spend is this process's, the load's own work included: for figures, start `timberline serve`.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use timberline::clock::{ClockOptions, SourceOptions};
use timberline::node::{Limits, Node, NodeHandle, NodeOptions, ReplicationOptions};
use timberline::transport::init_certs;
use timberline::types::NodeId;

use crate::failure::Failure;

const READY_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const MIB: u64 = 1 << 20;

/// Running nodes. Dropping them stops them and removes their files; not on a runtime's thread.
pub(crate) struct DevCluster {
    nodes: Vec<NodeHandle>,
    folder: tempfile::TempDir,
}

impl DevCluster {
    /// Starts so many nodes that declare `uncertainty`, and waits until they serve.
    pub(crate) fn start(nodes: u64, uncertainty: Duration, folder: &Path) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("timberline-load-")
            .tempdir_in(folder)
            .map_err(|source| Failure::Write { path: folder.to_owned(), source })?;
        init_certs(&folder.path().join("certs"), nodes)?;
        let addresses = free_addresses(nodes)
            .map_err(|source| Failure::Machine { what: "find free ports on 127.0.0.1", source })?;
        let start = |node| Node::start(options(node, &addresses, uncertainty, folder.path()));
        let cluster = Self { nodes: (1..=nodes).map(start).collect::<Result<_, _>>()?, folder };
        let began = Instant::now();
        while !cluster.nodes.iter().all(NodeHandle::ready) {
            if began.elapsed() > READY_MAX {
                let what = "the nodes in this process were not ready".to_owned();
                let instead = "try again on a machine with less to do";
                return Err(Failure::Late { what, seconds: READY_MAX.as_secs(), instead });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(cluster)
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address().to_string()).collect()
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.folder.path().join("certs")
    }

    /// Where each node serves its metrics.
    pub(crate) fn metrics(&self) -> Vec<SocketAddr> {
        self.nodes.iter().filter_map(NodeHandle::metrics_address).collect()
    }
}

/// Asked of the system all at once, so that they differ.
fn free_addresses(nodes: u64) -> std::io::Result<Vec<SocketAddr>> {
    let sockets: Vec<UdpSocket> =
        (0..nodes).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    sockets.iter().map(UdpSocket::local_addr).collect()
}

fn options(node: u64, addresses: &[SocketAddr], uncertainty: Duration, folder: &Path) -> NodeOptions {
    NodeOptions {
        node: NodeId(node),
        cluster: "load".parse().expect("a good name"),
        listen: addresses[node as usize - 1],
        data_dir: folder.join(format!("node-{node}")),
        certs_dir: folder.join("certs"),
        peers: (1..).map(NodeId).zip(addresses.iter().map(ToString::to_string)).collect(),
        metrics_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        clock: ClockOptions::default(),
        clock_source: SourceOptions::declared(uncertainty),
        clock_inject_file: None,
        replication: ReplicationOptions::default(),
        first_segment_bytes: MIB / 16,
        segment_bytes_max: 64 * MIB,
        sync_threads: 4,
        scrub_bytes_per_second: 16 * MIB,
        limits: Limits::default(),
        drain_timeout: Duration::from_secs(1),
    }
}
