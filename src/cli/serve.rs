//! `serve`: one node in this process, until it is told to stop.

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::arguments::{Common, ServeArguments};
use super::configuration::read;
use super::failure::{Failure, Kind};
use super::logging;
use super::output::say;
use crate::clock::{ClockBoundOptions, ClockOptions, SourceChoice, SourceOptions};
use crate::node::{self, Limits, Node, NodeOptions, ReplicationOptions};
use crate::settings::{ClockSettings, ClockSource, Settings, format_duration};

pub(super) fn serve(arguments: &ServeArguments, common: &Common) -> Result<(), Failure> {
    if common.output.is_some() {
        return Err(Failure::usage("`serve` prints no data: leave -o out"));
    }
    let settings = read(&arguments.config, &arguments.overrides)?.settings;
    logging::start(&settings.log, common.verbose);
    let mut stop = StopSignals::listen()?;
    let node = Node::start(options(&settings))?;
    if settings.clock.source == ClockSource::Declared {
        say(&format!(
            "the clock's bound of {} is declared, not measured: nobody notices if it is false; with nodes on several machines \
             set clock.source = \"auto\"",
            format_duration(settings.clock.uncertainty)
        ));
    }
    let (id, address, process) = (settings.node.id, node.address(), std::process::id());
    say(&format!("node {id} listens on {address}, process {process}; SIGTERM or Ctrl-C stops it"));
    stop.wait();
    node.shutdown();
    Ok(())
}

/// What the settings mean to a node.
pub(super) fn options(settings: &Settings) -> NodeOptions {
    let Settings { cluster, node, clock, replication, storage, limits, .. } = settings;
    NodeOptions {
        node: node.id,
        cluster: cluster.id.clone(),
        listen: node.listen,
        data_dir: node.data_dir.clone(),
        certs_dir: node.certs_dir.clone(),
        peers: cluster.initial_nodes.iter().map(|node| (node.id, node.address.clone())).collect(),
        metrics_listen: settings.metrics_listen,
        clock: ClockOptions { eps_max_ns: clock.eps_max.as_nanos() as u64, growth_ppb: clock.drift_ppb },
        clock_source: clock_source(clock),
        clock_inject_file: clock.inject_file.clone(),
        replication: ReplicationOptions {
            raft_tick: replication.raft_tick,
            heartbeat_ticks: replication.heartbeat_ticks,
            election_ticks_min: replication.election_ticks_min,
            election_ticks_max: replication.election_ticks_max,
            closed_tick: replication.closed_tick,
            wait_spin: replication.wait_spin,
            quorum_wait: replication.quorum_wait,
        },
        first_segment_bytes: storage.first_segment_bytes,
        segment_bytes_max: storage.segment_bytes_max,
        sync_threads: storage.sync_threads,
        scrub_bytes_per_second: storage.scrub_bytes_per_second,
        limits: Limits {
            connections: limits.connections,
            streams_per_connection: limits.streams_per_connection,
            requests_per_stream: limits.requests_per_stream,
            unanswered_per_shard: limits.unanswered_per_shard,
            queue_bytes: limits.queue_bytes as usize,
            subscription_bytes: limits.subscription_bytes as usize,
            shards: limits.shards,
            ..Limits::default()
        },
        drain_timeout: node.drain_timeout,
    }
}

fn clock_source(clock: &ClockSettings) -> SourceOptions {
    SourceOptions {
        choice: match clock.source {
            ClockSource::Auto => SourceChoice::Auto,
            ClockSource::ClockBound => SourceChoice::ClockBound,
            ClockSource::Chrony => SourceChoice::Chrony,
            ClockSource::Kernel => SourceChoice::Kernel,
            ClockSource::Declared => SourceChoice::Declared,
        },
        declared_uncertainty: clock.uncertainty,
        clockbound: ClockBoundOptions {
            path: clock.clockbound_path.clone(),
            drift_ppb_min: clock.clockbound_drift_ppb_min,
        },
        chrony_address: clock.chrony_address,
        kernel_attested: clock.kernel_attested.clone(),
        vmclock_path: clock.vmclock_path.clone(),
    }
}

/// SIGTERM and SIGINT, caught from the moment this exists.
pub(super) struct StopSignals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::plain(format!("cannot listen for signals: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let context = runtime.enter();
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        drop(context);
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Blocks until one arrives.
    pub(super) fn wait(&mut self) {
        let Self { runtime, terminate, interrupt } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
    }

    /// Blocks until one arrives (`true`) or `delay` has passed.
    pub(super) fn wait_for(&mut self, delay: std::time::Duration) -> bool {
        let Self { runtime, terminate, interrupt } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => true,
                _ = interrupt.recv() => true,
                () = tokio::time::sleep(delay) => false,
            }
        })
    }
}

impl From<node::Error> for Failure {
    fn from(error: node::Error) -> Self {
        let kind = match error {
            node::Error::Options(_) => Kind::Usage,
            _ => Kind::Failure,
        };
        Self::new(kind, error.to_string())
    }
}
