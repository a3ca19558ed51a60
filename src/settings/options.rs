//! The settings as the rest of the program uses them, and the clashes between them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{NodeAddress, Value};
use crate::types::{ClusterId, NodeId};

/// All settings of one node, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub cluster: ClusterSettings,
    pub node: NodeSettings,
    /// Where to serve metrics and `/ready`; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    pub clock: ClockSettings,
    /// Faults may be injected.
    pub testing_enabled: bool,
    pub replication: ReplicationSettings,
    pub storage: StorageSettings,
    pub limits: LimitSettings,
    pub log: LogSettings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    pub id: ClusterId,
    pub initial_nodes: Vec<NodeAddress>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    pub id: NodeId,
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub certs_dir: PathBuf,
    /// How long a node that was told to stop may take to hand its leaderships over.
    pub drain_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockSettings {
    pub source: ClockSource,
    /// The bound that the operator vouches for, with `ClockSource::Declared`.
    pub uncertainty: Duration,
    pub clockbound_path: PathBuf,
    pub clockbound_drift_ppb_min: u64,
    /// On this machine.
    pub chrony_address: SocketAddr,
    /// The daemon that writes the kernel's `maxerror`; `None`: nobody vouches for one.
    pub kernel_attested: Option<String>,
    pub vmclock_path: PathBuf,
    pub drift_ppb: u64,
    pub eps_max: Duration,
    pub inject_file: Option<PathBuf>,
}

/// Where time and its error come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    Auto,
    ClockBound,
    Chrony,
    Kernel,
    Declared,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationSettings {
    pub raft_tick: Duration,
    pub heartbeat_ticks: u32,
    pub election_ticks_min: u32,
    pub election_ticks_max: u32,
    pub closed_tick: Duration,
    pub wait_spin: Duration,
    pub quorum_wait: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    pub first_segment_bytes: u64,
    pub segment_bytes_max: u64,
    pub sync_threads: usize,
    /// How fast sealed segments are read again to find damage; 0: never.
    pub scrub_bytes_per_second: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    pub connections: usize,
    pub streams_per_connection: u32,
    pub requests_per_stream: usize,
    pub unanswered_per_shard: usize,
    pub queue_bytes: u64,
    pub subscription_bytes: u64,
    pub shards: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Looks up resolved values by key. A key of the wrong kind is a programmer's mistake.
pub(super) trait Lookup {
    fn value(&self, key: &str) -> &Value;

    fn text(&self, key: &str) -> &str {
        let Value::Text(text) = self.value(key) else { panic!("{key} is text") };
        text
    }
    fn integer(&self, key: &str) -> u64 {
        let Value::Integer(number) = self.value(key) else { panic!("{key} is an integer") };
        *number
    }
    fn count(&self, key: &str) -> usize {
        usize::try_from(self.integer(key)).expect("the catalogue bounds it")
    }
    fn size(&self, key: &str) -> u64 {
        let Value::Size(bytes) = self.value(key) else { panic!("{key} is a size") };
        *bytes
    }
    fn duration(&self, key: &str) -> Duration {
        let Value::Duration(duration) = self.value(key) else { panic!("{key} is a duration") };
        *duration
    }
    fn path(&self, key: &str) -> Option<PathBuf> {
        if let Value::Path(path) = self.value(key) { Some(path.clone()) } else { None }
    }
    fn address(&self, key: &str) -> Option<SocketAddr> {
        if let Value::Address(address) = self.value(key) { Some(*address) } else { None }
    }
}

/// A clash: the key to point at, what is wrong, what was expected.
pub(super) struct Clash {
    pub key: &'static str,
    pub what: String,
    pub expected: String,
}

fn clash<T>(key: &'static str, what: String, expected: impl Into<String>) -> Result<T, Clash> {
    Err(Clash { key, what, expected: expected.into() })
}

/// Builds the typed settings; every required value is present.
pub(super) fn build(values: &impl Lookup) -> Result<Settings, Clash> {
    let cluster = cluster(values)?;
    let node = node(values, &cluster.initial_nodes)?;
    let metrics_listen = values.address("metrics.listen");
    if metrics_listen == Some(node.listen) {
        let what = format!("metrics.listen is {}, as node.listen is", node.listen);
        return clash("metrics.listen", what, "two different addresses");
    }
    let testing_enabled = values.value("testing.enabled") == &Value::Switch(true);
    Ok(Settings {
        cluster,
        node,
        metrics_listen,
        clock: clock(values, testing_enabled)?,
        testing_enabled,
        replication: replication(values)?,
        storage: storage(values)?,
        limits: limits(values),
        log: LogSettings {
            level: values.text("log.level").to_owned(),
            format: if values.text("log.format") == "json" { LogFormat::Json } else { LogFormat::Text },
        },
    })
}

fn cluster(values: &impl Lookup) -> Result<ClusterSettings, Clash> {
    let id = values.text("cluster.id");
    let Ok(id) = id.parse::<ClusterId>() else {
        let rule = "1 to 32 of the characters a-z A-Z 0-9 . _ -, starting with a letter or digit";
        return clash("cluster.id", format!("{id:?} is not a cluster id"), rule);
    };
    let Value::Nodes(nodes) = values.value("cluster.initial_nodes") else {
        panic!("initial_nodes is a list")
    };
    let ids: BTreeSet<_> = nodes.iter().map(|node| node.id).collect();
    let addresses: BTreeSet<_> = nodes.iter().map(|node| &node.address).collect();
    if nodes.is_empty() || ids.len() != nodes.len() || addresses.len() != nodes.len() {
        let what = "cluster.initial_nodes is empty, or names an id or an address twice".to_owned();
        return clash("cluster.initial_nodes", what, "each node once, each with its own address");
    }
    Ok(ClusterSettings { id, initial_nodes: nodes.clone() })
}

fn node(values: &impl Lookup, nodes: &[NodeAddress]) -> Result<NodeSettings, Clash> {
    let id = NodeId(values.integer("node.id"));
    let Some(own) = nodes.iter().find(|node| node.id == id) else {
        let listed: Vec<_> = nodes.iter().map(|node| node.id.to_string()).collect();
        let what = format!("node.id is {id}, but cluster.initial_nodes lists only {}", listed.join(", "));
        return clash("node.id", what, "the id of one of cluster.initial_nodes");
    };
    let listen = match values.address("node.listen") {
        Some(listen) => listen,
        None => own.address.parse().or_else(|_| {
            let what =
                format!("this node's address {:?} is a name, so node.listen must be given", own.address);
            clash("cluster.initial_nodes", what, "node.listen, such as \"0.0.0.0:7400\"")
        })?,
    };
    Ok(NodeSettings {
        id,
        listen,
        data_dir: values.path("node.data_dir").expect("it is required"),
        certs_dir: values.path("node.certs_dir").expect("it is required"),
        drain_timeout: values.duration("node.drain_timeout"),
    })
}

fn clock(values: &impl Lookup, testing_enabled: bool) -> Result<ClockSettings, Clash> {
    let settings = ClockSettings {
        source: clock_source(values),
        uncertainty: values.duration("clock.uncertainty"),
        clockbound_path: values.path("clock.clockbound_path").expect("it has a default"),
        clockbound_drift_ppb_min: values.integer("clock.clockbound_drift_ppb_min"),
        chrony_address: values.address("clock.chrony_address").expect("it has a default"),
        kernel_attested: Some(values.text("clock.kernel_attested"))
            .filter(|daemon| *daemon != "nobody")
            .map(str::to_owned),
        vmclock_path: values.path("clock.vmclock_path").expect("it has a default"),
        drift_ppb: values.integer("clock.drift_ppb"),
        eps_max: values.duration("clock.eps_max"),
        inject_file: values.path("clock.inject_file"),
    };
    if settings.source == ClockSource::Declared && settings.uncertainty > settings.eps_max {
        let what = "clock.uncertainty is above clock.eps_max: the node would be fenced for ever".to_owned();
        return clash("clock.uncertainty", what, "an uncertainty of at most clock.eps_max");
    }
    if settings.source == ClockSource::Kernel && settings.kernel_attested.is_none() {
        let what =
            "clock.source is \"kernel\", and nobody attests who writes the kernel's maxerror".to_owned();
        return clash("clock.kernel_attested", what, "the daemon that does: chronyd, ntpd or ntpd-rs");
    }
    if !settings.chrony_address.ip().is_loopback() {
        let what = format!(
            "{} is another machine's chronyd, which knows that machine's clock",
            settings.chrony_address
        );
        return clash("clock.chrony_address", what, "a loopback address, such as 127.0.0.1:323");
    }
    if settings.inject_file.is_some() && !testing_enabled {
        let what = "clock.inject_file makes the clock lie, and testing.enabled is false".to_owned();
        return clash("clock.inject_file", what, "testing.enabled = true, or no clock.inject_file");
    }
    Ok(settings)
}

fn clock_source(values: &impl Lookup) -> ClockSource {
    match values.text("clock.source") {
        "auto" => ClockSource::Auto,
        "clockbound" => ClockSource::ClockBound,
        "chrony" => ClockSource::Chrony,
        "kernel" => ClockSource::Kernel,
        "declared" => ClockSource::Declared,
        other => unreachable!("the catalogue has no clock.source {other:?}"),
    }
}

fn replication(values: &impl Lookup) -> Result<ReplicationSettings, Clash> {
    let raft_tick = values.duration("replication.raft_tick");
    let ticks = |key: &'static str| {
        let (duration, tick) = (values.duration(key).as_nanos(), raft_tick.as_nanos());
        if !duration.is_multiple_of(tick) || duration < tick {
            let what = format!("{key} is not a multiple of replication.raft_tick");
            return clash(key, what, "a whole number of ticks");
        }
        Ok(u32::try_from(duration / tick).expect("the catalogue bounds both"))
    };
    let heartbeat_ticks = ticks("replication.heartbeat_interval")?;
    let election_ticks_min = ticks("replication.election_timeout_min")?;
    let election_ticks_max = ticks("replication.election_timeout_max")?;
    if election_ticks_min < heartbeat_ticks * 3 {
        let what = "replication.election_timeout_min is under three heartbeat intervals".to_owned();
        return clash(
            "replication.election_timeout_min",
            what,
            "at least 3 x replication.heartbeat_interval",
        );
    }
    if election_ticks_max < election_ticks_min + 2 {
        let what = "replication.election_timeout_max leaves no range to draw a timeout from".to_owned();
        return clash(
            "replication.election_timeout_max",
            what,
            "two ticks or more above election_timeout_min",
        );
    }
    let closed_tick = values.duration("replication.closed_tick");
    Ok(ReplicationSettings {
        raft_tick,
        heartbeat_ticks,
        election_ticks_min,
        election_ticks_max,
        closed_tick,
        wait_spin: values.duration("replication.wait_spin"),
        quorum_wait: values.value("replication.quorum_wait") == &Value::Switch(true),
    })
}

fn storage(values: &impl Lookup) -> Result<StorageSettings, Clash> {
    let first_segment_bytes = values.size("storage.first_segment");
    let segment_bytes_max = values.size("storage.segment_max");
    if first_segment_bytes > segment_bytes_max {
        let what = "storage.first_segment is above storage.segment_max".to_owned();
        return clash("storage.first_segment", what, "a first segment of at most storage.segment_max");
    }
    let sync_threads = values.count("storage.sync_threads");
    let scrub_bytes_per_second = values.size("storage.scrub_bytes_per_second");
    Ok(StorageSettings { first_segment_bytes, segment_bytes_max, sync_threads, scrub_bytes_per_second })
}

fn limits(values: &impl Lookup) -> LimitSettings {
    LimitSettings {
        connections: values.count("limits.connections"),
        streams_per_connection: values.integer("limits.streams_per_connection") as u32,
        requests_per_stream: values.count("limits.requests_per_stream"),
        unanswered_per_shard: values.count("limits.unanswered_per_shard"),
        queue_bytes: values.size("limits.queue_bytes"),
        subscription_bytes: values.size("limits.subscription_bytes"),
        shards: values.count("limits.shards"),
    }
}
