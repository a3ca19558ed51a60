//! Starting a node: from the folder up to the sessions, and back down if a step fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;

use tokio::sync::oneshot;

use super::disk_threads::{DiskThreads, spawn};
use super::folder::{NodeFolder, Owner, Registry, RememberedPeers};
use super::groups::Coordinators;
use super::handle::{NodeHandle, Threads};
use super::lane_thread::{LaneHandle, LaneLimits, LaneStart, LaneThread, Outlets};
use super::metrics::Metrics;
use super::network::{self, Bound, NetworkStart};
use super::options::NodeOptions;
use super::shared::NodeShared;
use super::{Error, folder};
use crate::clock::{AgreementOptions, Clock, ClockKeeper};
use crate::disk::{Disk, OsDisk, explain_unreadable_pages};
use crate::lane::{LaneOptions, Placement, ScrubOptions, ShardSpec};
use crate::log::LogOptions;
use crate::transport::{Identity, Mesh, TransportOptions};
use crate::types::{Durability, NodeId, ReplicaId, Retention, ShardId, TopicId};
use crate::wire::{NodeHello, PROTOCOL_VERSION};

/// Events that may wait for the lane.
pub(super) const LANE_EVENTS_MAX: usize = 8192;

/// What the kernel slews its clocks by at most (`adjtimex`), the monotonic one too, on top of what the crystal drifts: while
/// the wall clock is brought back within its bound, peers' times are carried on by the other one.
const SLEW_PPB_MAX: u64 = 500_000;

/// A node of a cluster.
pub struct Node;

impl Node {
    /// Starts a node; it runs on its own threads until its handle is shut down or dropped. Several may live in
    /// one process. Returns once the node listens and its system shard is open, before it is ready.
    pub fn start(options: NodeOptions) -> Result<NodeHandle, Error> {
        let nodes = options.check().map_err(Error::Options)?;
        let (node, drain_timeout) = (options.node, options.drain_timeout);
        let identity =
            Identity::node(&options.certs_dir, node).map_err(|source| Error::Transport { node, source })?;
        explain_unreadable_pages().map_err(|source| Error::Disk { node, source })?;
        let disk = OsDisk::new(&options.data_dir).map_err(|source| Error::Disk { node, source })?;
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let opened = open_folder(&disk, &options, &nodes, rand::random())
            .map_err(|source| Error::Folder { node, source })?;
        let thread = |source| Error::Thread { node, source };
        let clock = Arc::new(options.clock_source.clock(options.clock, options.inject_file().as_deref()));
        let keeper = ClockKeeper::start(Arc::clone(&clock)).map_err(thread)?;
        let metrics = Arc::new(Metrics::new());
        let limits = LaneLimits { events_max: LANE_EVENTS_MAX, bytes_max: options.limits.queue_bytes };
        let (lane_thread, lane) = LaneThread::new(limits, Arc::clone(&metrics));
        let (disk_threads, disk_joins) =
            DiskThreads::start(&disk, &lane, options.sync_threads).map_err(thread)?;
        // From here on, dropping `threads` ends and joins whatever runs already.
        let mut threads =
            Threads::new(lane.clone(), Arc::clone(&disk_threads), disk_joins, keeper, opened.folder);
        let network = NetworkStart {
            me: hello(&options, &threads.folder),
            listen: options.listen,
            metrics_listen: options.metrics_listen,
            identity,
            transport: transport_options(&options),
            peers: options.peers.clone(),
            remembered: opened.peers,
            lane: lane.clone(),
        };
        let (bound, serve) = start_network(network, &mut threads).map_err(thread)?;
        let Bound { mesh, address, metrics_address } = bound?;
        let lane_start = LaneStart {
            options: lane_options(&options, threads.folder.boot, threads.folder.identity),
            disk,
            registry: opened.registry,
            system: system_spec(&nodes),
            clock: Arc::clone(&clock),
            outlets: Outlets { link: Arc::clone(&mesh) as _, disk: disk_threads },
        };
        let (join, system) = lane_thread.start(lane_start, options.replication.wait_spin).map_err(thread)?;
        threads.lane_thread(join);
        system.map_err(|reason| Error::SystemShard { node, reason })?;
        let shared = Arc::new(share(options, lane, clock, mesh, metrics));
        // The network waits for this, unless it has just failed; then its absence shows to all who ask.
        let _ = serve.send(Arc::clone(&shared));
        tracing::info!(node = node.0, %address, "node started");
        Ok(NodeHandle::new(shared, threads, address, metrics_address, drain_timeout))
    }
}

/// What the parts of a node share, once all of them are there.
pub(super) fn share(
    options: NodeOptions,
    lane: LaneHandle,
    clock: Arc<Clock>,
    mesh: Arc<Mesh>,
    metrics: Arc<Metrics>,
) -> NodeShared {
    NodeShared {
        cluster: options.cluster,
        node: options.node,
        addresses: options.peers.into_iter().collect::<BTreeMap<_, _>>(),
        lane,
        clock,
        mesh,
        metrics,
        limits: options.limits,
        closed_tick: options.replication.closed_tick,
        draining: AtomicBool::new(false),
        changing: tokio::sync::Mutex::new(()),
        groups: Coordinators::default(),
    }
}

type Serve = oneshot::Sender<Arc<NodeShared>>;

fn start_network(
    start: NetworkStart,
    threads: &mut Threads,
) -> std::io::Result<(Result<Bound, Error>, Serve)> {
    let (report, reported) = sync_channel(1);
    let (serve, served) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let node = NodeId(start.me.node);
    let join = spawn("network", move || network::run(start, &report, served, stopped))?;
    threads.network(join, stop);
    let ended = || Error::Thread { node, source: std::io::Error::other("the network's thread ended early") };
    Ok((reported.recv().unwrap_or_else(|_| Err(ended())), serve))
}

pub(super) struct Opened {
    pub(super) folder: NodeFolder,
    pub(super) registry: Registry,
    pub(super) peers: RememberedPeers,
}

pub(super) fn open_folder(
    disk: &Arc<dyn Disk>,
    options: &NodeOptions,
    nodes: &[NodeId],
    fresh_identity: u64,
) -> Result<Opened, folder::Error> {
    let owner = Owner { cluster: options.cluster.clone(), node: options.node, initial_nodes: nodes.to_vec() };
    let folder = NodeFolder::open(disk, &owner, fresh_identity)?;
    let registry = Registry::open(Arc::clone(disk))?;
    let peers = RememberedPeers::open(Arc::clone(disk))?;
    Ok(Opened { folder, registry, peers })
}

pub(super) fn hello(options: &NodeOptions, folder: &NodeFolder) -> NodeHello {
    NodeHello {
        protocol: PROTOCOL_VERSION,
        cluster: options.cluster.to_string(),
        node: options.node.0,
        identity: folder.identity,
        boot: folder.boot,
    }
}

pub(super) fn transport_options(options: &NodeOptions) -> TransportOptions {
    TransportOptions {
        client_connections_max: options.limits.connections,
        client_streams_max: options.limits.streams_per_connection,
        packet_time: options.limits.packet_time,
        ..TransportOptions::default()
    }
}

pub(super) fn lane_options(options: &NodeOptions, boot: u64, identity: u64) -> LaneOptions {
    let replication = &options.replication;
    LaneOptions {
        node: options.node,
        cluster: options.cluster.clone(),
        log: LogOptions {
            first_segment_bytes: options.first_segment_bytes,
            segment_bytes_max: options.segment_bytes_max,
            ..LogOptions::default()
        },
        raft_tick: replication.raft_tick,
        election_ticks: replication.election_ticks_min..replication.election_ticks_max,
        heartbeat_ticks: replication.heartbeat_ticks,
        closed_tick: replication.closed_tick,
        eps_max_ns: options.clock.eps_max_ns,
        agreement: AgreementOptions {
            growth_ppb: options.clock.growth_ppb + SLEW_PPB_MAX,
            quorum_wait: replication.quorum_wait,
            ..AgreementOptions::among(options.peers.iter().map(|(node, _)| *node).collect())
        },
        unanswered_max: options.limits.unanswered_per_shard,
        scrub: ScrubOptions { bytes_per_second: options.scrub_bytes_per_second, ..ScrubOptions::default() },
        seed: identity ^ boot.rotate_left(48),
    }
}

/// The system topic's shard: on every initial node, its replicas numbered like the nodes.
pub(super) fn system_spec(nodes: &[NodeId]) -> ShardSpec {
    let replicas = nodes.iter().map(|node| Placement { replica: ReplicaId(node.0), node: *node });
    ShardSpec {
        shard: ShardId::SYSTEM,
        topic: TopicId(0),
        durability: Durability::Disk,
        // The cluster's memory is never trimmed: nodes fold it from its first record on.
        retention: Retention::default(),
        replicas: replicas.collect(),
        follow_committed: true,
    }
}
