//! Three nodes in this process, with real sockets on loopback and real files: for benchmarks, and for tests that
//! need clocks they can set.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use timberline::client::{Client, ClientOptions, CreateTopic, Partitioning, Topic};
use timberline::clock::{ClockOptions, SourceOptions};
use timberline::node::{Limits, Node, NodeHandle, NodeOptions, ReplicationOptions};
use timberline::transport::init_certs;
use timberline::types::{Durability, NodeId, Retention};

/// A running cluster; it ends with this value.
pub(crate) struct Nodes {
    folder: tempfile::TempDir,
    addresses: Vec<SocketAddr>,
    handles: Vec<NodeHandle>,
}

impl Nodes {
    /// Starts three nodes that declare `uncertainty`, each clock off by its `offsets_ns`, and waits until they serve.
    pub(crate) fn start(uncertainty: Duration, offsets_ns: [i64; 3]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        init_certs(&folder.path().join("certs"), 3).expect("certificates");
        let sockets: Vec<UdpSocket> =
            offsets_ns.iter().map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port")).collect();
        let addresses: Vec<SocketAddr> =
            sockets.iter().map(|socket| socket.local_addr().expect("it is bound")).collect();
        drop(sockets);
        let mut nodes = Self { folder, addresses, handles: Vec::new() };
        for (node, offset_ns) in (1..).zip(offsets_ns) {
            let options = nodes.options(node, uncertainty, offset_ns);
            nodes.handles.push(Node::start(options).expect("a node starts"));
        }
        while !nodes.handles.iter().all(NodeHandle::ready) {
            std::thread::yield_now();
        }
        nodes
    }

    fn options(&self, node: u64, uncertainty: Duration, offset_ns: i64) -> NodeOptions {
        let path = |name: String| self.folder.path().join(name);
        let inject = path(format!("inject-{node}"));
        if offset_ns != 0 {
            std::fs::write(&inject, format!("offset_ns={offset_ns}\n")).expect("the control file is written");
        }
        NodeOptions {
            node: NodeId(node),
            cluster: "loopback".parse().expect("a good name"),
            listen: self.addresses[node as usize - 1],
            data_dir: path(format!("node-{node}")),
            certs_dir: path("certs".to_owned()),
            peers: (1..).map(NodeId).zip(self.addresses.iter().map(ToString::to_string)).collect(),
            metrics_listen: None,
            clock: ClockOptions::default(),
            clock_source: SourceOptions::declared(uncertainty),
            clock_inject_file: (offset_ns != 0).then_some(inject),
            replication: ReplicationOptions::default(),
            first_segment_bytes: 64 << 10,
            segment_bytes_max: 64 << 20,
            sync_threads: 4,
            scrub_bytes_per_second: 16 << 20,
            limits: Limits::default(),
            drain_timeout: Duration::from_secs(1),
        }
    }

    /// A client of its own, with its own connections.
    pub(crate) async fn client(&self) -> Client {
        let endpoints = self.addresses.iter().map(ToString::to_string).collect();
        let certs = self.folder.path().join("certs");
        let options = ClientOptions { endpoints, certs, request_timeout: Duration::from_secs(30) };
        Client::connect(options).await.expect("the cluster answers")
    }

    /// Creates a topic whose shard `i` owns the key `[i]`, and waits until each shard has a leader.
    pub(crate) async fn topic(&self, client: &Client, name: &str, shards: u8) -> Topic {
        let split_at = (1..shards).map(|shard| Bytes::copy_from_slice(&[shard])).collect();
        let create = CreateTopic {
            name: name.parse().expect("a good name"),
            shards: shards.into(),
            replicas: 3,
            partitioning: Partitioning::Range { split_at },
            durability: Durability::Disk,
            retention: Retention::default(),
        };
        let mut topic = client.create_topic(create).await.expect("the topic is created");
        while topic.shards.iter().any(|shard| shard.leader.is_none()) {
            topic = client.describe_topic(&topic.name).await.expect("the topic is there");
        }
        topic
    }
}
