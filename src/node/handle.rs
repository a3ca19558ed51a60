//! A running node, from the outside; and its threads, ended and joined in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::disk_threads::DiskThreads;
use super::folder::NodeFolder;
use super::lane_thread::LaneHandle;
use super::shared::NodeShared;
use crate::clock::ClockKeeper;

/// How often a drain is looked at.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// A running node. Dropping it stops the node at once, as a crash would for its peers.
pub struct NodeHandle {
    shared: Arc<NodeShared>,
    /// Dropped last: ends and joins every thread.
    threads: Threads,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    drain_timeout: Duration,
}

impl NodeHandle {
    pub(super) fn new(
        shared: Arc<NodeShared>,
        threads: Threads,
        address: SocketAddr,
        metrics_address: Option<SocketAddr>,
        drain_timeout: Duration,
    ) -> Self {
        Self { shared, threads, address, metrics_address, drain_timeout }
    }

    /// Where it listens for nodes and clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves `/metrics` and `/ready`.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Whether everything that was committed at the start is folded, and every replica here is open and knows a
    /// leader. Waits shortly for the lane: not for a runtime's thread.
    pub fn ready(&self) -> bool {
        self.shared.lane.readiness().is_ok_and(|ready| ready.is_ready())
    }

    /// Whether a thread of the node ended by itself, which only a fault in the program does: the log says why.
    /// Such a node answers nobody and should be restarted.
    pub fn has_failed(&self) -> bool {
        self.threads.any_ended()
    }

    /// Hands leaderships over, for as long as the settings allow, then stops. Blocks until all of it is
    /// gone: not for a runtime's thread.
    pub fn shutdown(self) {
        self.shared.draining.store(true, Ordering::Relaxed);
        let others = self.shared.addresses.keys().filter(|node| **node != self.shared.node);
        if others.copied().any(|node| self.shared.mesh.connected(node)) {
            self.drain();
        }
        tracing::info!(node = self.shared.node.0, "node stopped");
    }

    fn drain(&self) {
        let clock = &self.shared.clock;
        let started = clock.now().monotonic;
        self.shared.lane.drain();
        while !self.shared.lane.is_drained() {
            if clock.now().monotonic.since(started) > self.drain_timeout {
                tracing::warn!("not all leaderships were handed over in time; the others elect without us");
                return;
            }
            std::thread::sleep(DRAIN_LOOK);
        }
    }
}

/// Every thread of a node. Dropping it ends them: first those who ask, then those who answer.
pub(super) struct Threads {
    lane: LaneHandle,
    network: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
    lane_thread: Option<JoinHandle<()>>,
    disk: Arc<DiskThreads>,
    disk_joins: Vec<JoinHandle<()>>,
    _clock: ClockKeeper,
    /// Its lock is let go when nothing writes any more.
    pub(super) folder: NodeFolder,
}

impl Threads {
    pub(super) fn new(
        lane: LaneHandle,
        disk: Arc<DiskThreads>,
        disk_joins: Vec<JoinHandle<()>>,
        clock: ClockKeeper,
        folder: NodeFolder,
    ) -> Self {
        Self { lane, network: None, lane_thread: None, disk, disk_joins, _clock: clock, folder }
    }

    pub(super) fn network(&mut self, join: JoinHandle<()>, stop: oneshot::Sender<()>) {
        self.network = Some((join, stop));
    }

    fn any_ended(&self) -> bool {
        let network = self.network.as_ref().map(|(join, _)| join);
        let all = network.into_iter().chain(&self.lane_thread).chain(&self.disk_joins);
        all.into_iter().any(JoinHandle::is_finished)
    }

    pub(super) fn lane_thread(&mut self, join: JoinHandle<()>) {
        self.lane_thread = Some(join);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some((join, stop)) = self.network.take() {
            drop(stop);
            finish(join);
        }
        if let Some(join) = self.lane_thread.take() {
            self.lane.stop();
            finish(join);
        }
        self.disk.close();
        self.disk_joins.drain(..).for_each(finish);
    }
}

fn finish(thread: JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or("a thread").to_owned();
    if thread.join().is_err() {
        // The panic hook has said why.
        tracing::error!(name, "a thread of the node had panicked");
    }
}
