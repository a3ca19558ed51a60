//! A node without threads, for simulation: one task does in turns what a node's threads do side by side.
//!
//! Folder, lane, mesh, sessions and upkeep are those of `Node`; what is left out are the threads themselves, the
//! metrics' HTTP and the operating system's clocks. Invariant: nothing here waits but for tokio's time, so with a
//! paused clock a run depends on what arrives and when, and on nothing else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::disk_threads::DiskThreads;
use super::folder::NodeFolder;
use super::lane_thread::{LaneHandle, LaneLimits, LaneStart, LaneThread, Outlets, Running};
use super::metrics::Metrics;
use super::options::NodeOptions;
use super::start::{
    LANE_EVENTS_MAX, hello, lane_options, open_folder, share, system_spec, transport_options,
};
use super::{Error, network};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::transport::{Endpoint, Identity, Mesh, Socket};

/// How often the lane and the disk have their turn; what a sync takes, too.
const TURN: Duration = Duration::from_millis(1);
/// The clock looks at its source every so many turns.
const TURNS_PER_REFRESH: u32 = 10;

/// What a simulated node stands on, in place of a machine.
pub struct Ground {
    pub disk: Arc<dyn Disk>,
    pub socket: Socket,
    pub identity: Identity,
    pub clock: Arc<Clock>,
    /// The identity of the data folder, if it is made now.
    pub fresh_identity: u64,
}

/// A node that runs while [`Self::run`] is polled. Dropping it is a crash: no peer hears a word.
pub struct SimulatedNode {
    lane: LaneHandle,
    running: Running,
    disk: Arc<dyn Disk>,
    queues: Arc<DiskThreads>,
    clock: Arc<Clock>,
    /// Aborted when dropped.
    _tasks: JoinSet<()>,
    _folder: NodeFolder,
}

impl SimulatedNode {
    /// Opens the node and begins to listen; must be called within a tokio runtime. Addresses, certificates and data
    /// folder of the options are not looked at.
    pub fn start(options: NodeOptions, ground: Ground) -> Result<Self, Error> {
        let nodes = options.check().map_err(Error::Options)?;
        let node = options.node;
        let Ground { disk, socket, identity, clock, fresh_identity } = ground;
        let opened = open_folder(&disk, &options, &nodes, fresh_identity)
            .map_err(|source| Error::Folder { node, source })?;
        let metrics = Arc::new(Metrics::new());
        let limits = LaneLimits { events_max: LANE_EVENTS_MAX, bytes_max: options.limits.queue_bytes };
        let (lane_thread, lane) = LaneThread::new(limits, Arc::clone(&metrics));
        let endpoint = Endpoint::on(socket, &identity, transport_options(&options))
            .map_err(|source| Error::Transport { node, source })?;
        let me = hello(&options, &opened.folder);
        let (remembered, inbox) = (Box::new(opened.peers), Arc::new(lane.clone()));
        let mesh = Mesh::start(endpoint.clone(), me, options.peers.clone(), remembered, inbox);
        let mesh = Arc::new(mesh);
        let queues = Arc::new(DiskThreads::unattended());
        let running = lane_thread.in_steps(LaneStart {
            options: lane_options(&options, opened.folder.boot, opened.folder.identity),
            disk: Arc::clone(&disk),
            registry: opened.registry,
            system: system_spec(&nodes),
            clock: Arc::clone(&clock),
            outlets: Outlets { link: Arc::clone(&mesh) as _, disk: Arc::clone(&queues) },
        });
        let running = running.map_err(|reason| Error::SystemShard { node, reason })?;
        let shared = Arc::new(share(options, lane.clone(), Arc::clone(&clock), mesh, metrics));
        let tasks = network::start_tasks(&shared, &endpoint);
        Ok(Self { lane, running, disk, queues, clock, _tasks: tasks, _folder: opened.folder })
    }

    /// Runs the node until it is dropped.
    pub async fn run(mut self) -> Infallible {
        let mut turns = tokio::time::interval(TURN);
        loop {
            for _ in 0..TURNS_PER_REFRESH {
                turns.tick().await;
                self.queues.work_off(self.disk.as_ref(), &self.lane);
                self.running.step();
            }
            self.clock.refresh();
        }
    }
}
