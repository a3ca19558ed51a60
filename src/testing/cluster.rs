//! The cluster: starts its nodes, hands out clients, and takes everything away when it is dropped.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use super::folder::Folder;
use crate::client::{self, Client, ClientOptions};
use crate::clock::{ClockOptions, SourceOptions};
use crate::node::{Limits, Node, NodeHandle, NodeOptions, ReplicationOptions};
use crate::transport::init_certs;
use crate::types::NodeId;

const LOOK_EVERY: Duration = Duration::from_millis(2);
const READY_WITHIN_S: u64 = 30;
const NODES_MAX: u64 = 9;

/// What kind of cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How many nodes, 1 to 9. A topic has at most as many replicas.
    pub nodes: u64,
    /// The error that every clock declares. Nobody measures it; all nodes share this machine's clock.
    pub uncertainty: Duration,
    /// By how much each node's clock is off, in nanoseconds, from the first node on; those not named are right.
    pub clock_offsets_ns: Vec<i64>,
}

impl Default for ClusterOptions {
    /// One node whose clock declares 1 ms.
    fn default() -> Self {
        Self { nodes: 1, uncertainty: Duration::from_millis(1), clock_offsets_ns: Vec::new() }
    }
}

/// Running nodes, on ports of their own, with certificates and files in a temporary folder. They end with this value, and the
/// folder with them. Its calls block their thread for as long as nodes take to start or stop: some tenths of a second.
///
/// ```
/// use timberline::client::{ConsumerOptions, CreateTopic, ProducerOptions, Until};
/// use timberline::testing::Cluster;
/// use timberline::types::Record;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::start()?;
/// let client = cluster.client().await?;
/// let orders = "orders".parse()?;
/// client.create_topic(CreateTopic { replicas: 1, ..CreateTopic::named(&orders) }).await?;
///
/// let producer = client.producer(&orders, ProducerOptions::default()).await?;
/// let sent = producer.send(Record { value: Some("one".into()), ..Record::default() }).await?;
/// let receipt = sent.await?;
///
/// let to_end = ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() };
/// let read = client.consumer(&orders, to_end).await?.next().await?.expect("what was acknowledged is read");
/// assert_eq!((read.offset, read.timestamp), (receipt.offset, receipt.timestamp));
/// # Ok(())
/// # }
/// ```
pub struct Cluster {
    // Dropped in this order: no node outlives its files.
    nodes: Vec<Option<NodeHandle>>,
    addresses: Vec<SocketAddr>,
    options: ClusterOptions,
    folder: Folder,
}

impl Cluster {
    /// Starts one node, and returns once it serves.
    ///
    /// # Errors
    /// If this machine denies a port, a folder or threads.
    pub fn start() -> Result<Self, Error> {
        Self::with(&ClusterOptions::default())
    }

    /// Starts the nodes that `options` describe, and returns once all serve.
    ///
    /// # Errors
    /// As `start`, and for a number of nodes out of bounds.
    pub fn with(options: &ClusterOptions) -> Result<Self, Error> {
        let nodes = options.nodes;
        if !(1..=NODES_MAX).contains(&nodes) {
            return Err(Error::Nodes { nodes });
        }
        let folder = Folder::new()?;
        init_certs(&folder.path().join("certs"), nodes)?;
        let addresses = free_ports(nodes).map_err(|source| Error::Port { source })?;
        let mut cluster = Self { nodes: Vec::new(), addresses, options: options.clone(), folder };
        for node in 1..=nodes {
            let options = cluster.node_options(node)?;
            cluster.nodes.push(Some(Node::start(options)?));
        }
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Stops a node in good order, as an upgrade does: it hands its leaderships over first, for a second at most.
    ///
    /// # Errors
    /// If there is no such node. One that does not run is left alone.
    pub fn stop_node(&mut self, node: NodeId) -> Result<(), Error> {
        if let Some(handle) = self.node(node)?.take() {
            handle.shutdown();
        }
        Ok(())
    }

    /// Stops a node at once, as a crash would for everybody else. What it had acknowledged, the others have.
    ///
    /// ```
    /// use timberline::client::{CreateTopic, ProducerOptions};
    /// use timberline::testing::{Cluster, ClusterOptions};
    /// use timberline::types::Record;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut cluster = Cluster::with(&ClusterOptions { nodes: 3, ..ClusterOptions::default() })?;
    /// let client = cluster.client().await?;
    /// let orders = "orders".parse()?;
    /// client.create_topic(CreateTopic { shards: 1, ..CreateTopic::named(&orders) }).await?;
    /// let producer = client.producer(&orders, ProducerOptions::default()).await?;
    /// producer.send(Record::default()).await?.await?;
    ///
    /// let leader = client.describe_topic(&orders).await?.shards[0].leader.expect("it took the append");
    /// cluster.kill_node(leader)?;
    /// // Retries find who leads by now.
    /// producer.send(Record::default()).await?.await?;
    ///
    /// cluster.start_node(leader)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If there is no such node. One that does not run is left alone.
    pub fn kill_node(&mut self, node: NodeId) -> Result<(), Error> {
        drop(self.node(node)?.take());
        Ok(())
    }

    /// Starts a node that was stopped or killed, on the files that it left, and returns once all that run serve; at once while
    /// they are no majority, for then nobody serves.
    ///
    /// # Errors
    /// If there is no such node, or it does not start. One that runs is left alone.
    pub fn start_node(&mut self, node: NodeId) -> Result<(), Error> {
        if self.node(node)?.is_none() {
            let options = self.node_options(node.0)?;
            *self.node(node)? = Some(Node::start(options)?);
        }
        let running = self.nodes.iter().flatten().count();
        if running * 2 > self.nodes.len() { self.wait_until_ready() } else { Ok(()) }
    }

    fn node(&mut self, node: NodeId) -> Result<&mut Option<NodeHandle>, Error> {
        let nodes = self.nodes.len();
        let at = usize::try_from(node.0).ok().and_then(|number| number.checked_sub(1));
        at.and_then(|at| self.nodes.get_mut(at)).ok_or(Error::NoSuchNode { node, nodes })
    }

    fn wait_until_ready(&self) -> Result<(), Error> {
        let looks = Duration::from_secs(READY_WITHIN_S).as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..looks {
            if self.nodes.iter().flatten().all(NodeHandle::ready) {
                return Ok(());
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        Err(Error::NotReady { waited_s: READY_WITHIN_S })
    }

    fn node_options(&self, node: u64) -> Result<NodeOptions, Error> {
        let path = |name: String| self.folder.path().join(name);
        let at = node as usize - 1;
        let offset_ns = self.options.clock_offsets_ns.get(at).copied().filter(|offset_ns| *offset_ns != 0);
        let clock_inject_file = match offset_ns {
            None => None,
            Some(offset_ns) => {
                let path = path(format!("inject-{node}"));
                std::fs::write(&path, format!("offset_ns={offset_ns}\n"))
                    .map_err(|source| Error::Folder { path: path.clone(), source })?;
                Some(path)
            }
        };
        Ok(NodeOptions {
            node: NodeId(node),
            cluster: "testing".parse().expect("a good name"),
            listen: self.addresses[at],
            data_dir: path(format!("node-{node}")),
            certs_dir: self.certs(),
            peers: (1..).map(NodeId).zip(self.endpoints()).collect(),
            metrics_listen: None,
            clock: ClockOptions::default(),
            clock_source: SourceOptions::declared(self.options.uncertainty),
            clock_inject_file,
            replication: ReplicationOptions::default(),
            first_segment_bytes: 64 << 10,
            segment_bytes_max: 64 << 20,
            sync_threads: 4,
            scrub_bytes_per_second: 16 << 20,
            limits: Limits::default(),
            drain_timeout: Duration::from_secs(1),
        })
    }

    /// `host:port` of every node.
    pub fn endpoints(&self) -> Vec<String> {
        self.addresses.iter().map(ToString::to_string).collect()
    }

    /// The folder with the certificates that clients need.
    pub fn certs(&self) -> PathBuf {
        self.folder.path().join("certs")
    }

    /// How a client reaches this cluster.
    pub fn client_options(&self) -> ClientOptions {
        let request_timeout = Duration::from_secs(30);
        ClientOptions { endpoints: self.endpoints(), certs: self.certs(), request_timeout }
    }

    /// A client of its own, with its own connections.
    ///
    /// # Errors
    /// As `Client::connect`.
    pub async fn client(&self) -> Result<Client, client::Error> {
        Client::connect(self.client_options()).await
    }
}

/// Ports that were free a moment ago.
fn free_ports(count: u64) -> std::io::Result<Vec<SocketAddr>> {
    let sockets: Vec<UdpSocket> =
        (0..count).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    sockets.iter().map(UdpSocket::local_addr).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::blocking::Client;
    use crate::client::{CreateTopic, ProducerOptions};
    use crate::types::Record;

    #[test]
    fn several_nodes_serve_at_once_and_nothing_is_left_behind() {
        let options = ClusterOptions { nodes: 3, clock_offsets_ns: vec![0, 200_000], ..Default::default() };
        let cluster = Cluster::with(&options).unwrap();
        let folder = cluster.folder.path().to_owned();
        let client = Client::connect(cluster.client_options()).unwrap();
        let topic = client.create_topic(CreateTopic::named(&"t".parse().unwrap())).unwrap();
        let producer = client.producer(&topic.name, ProducerOptions::default()).unwrap();
        producer.send(Record::default()).unwrap().wait().unwrap();
        assert!(folder.join("node-3").exists());
        drop((producer, client, cluster));
        assert!(!folder.exists());
    }

    #[test]
    fn a_topic_goes_on_through_a_kill_a_stop_and_returns_and_an_unknown_node_is_refused() {
        let mut cluster = Cluster::with(&ClusterOptions { nodes: 3, ..Default::default() }).unwrap();
        let client = Client::connect(cluster.client_options()).unwrap();
        let topic = client.create_topic(CreateTopic::named(&"t".parse().unwrap())).unwrap();
        let producer = client.producer(&topic.name, ProducerOptions::default()).unwrap();
        let append = || producer.send(Record::default()).unwrap().wait().unwrap().timestamp;
        let mut last = append();
        for (node, is_killed) in [(1, true), (2, false), (3, true)].map(|(node, how)| (NodeId(node), how)) {
            if is_killed {
                cluster.kill_node(node).unwrap();
            } else {
                cluster.stop_node(node).unwrap();
            }
            let next = append();
            assert!(next > last);
            last = next;
            cluster.start_node(node).unwrap();
        }
        let all = [1, 2, 3].map(NodeId);
        for node in all {
            cluster.kill_node(node).unwrap();
        }
        for node in all {
            cluster.start_node(node).unwrap();
        }
        assert!(append() > last);
        let unknown = cluster.kill_node(NodeId(4));
        assert!(matches!(unknown, Err(Error::NoSuchNode { node: NodeId(4), nodes: 3 })), "{unknown:?}");
        assert!(cluster.stop_node(NodeId(0)).is_err());
    }

    #[test]
    fn a_cluster_without_nodes_is_refused() {
        let none = Cluster::with(&ClusterOptions { nodes: 0, ..Default::default() });
        assert!(matches!(none.err(), Some(Error::Nodes { nodes: 0 })));
    }
}
