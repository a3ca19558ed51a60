//! Runs against a Timberline cluster.

use std::path::{Path, PathBuf};

use timberline::types::TopicName;

use super::arguments::ClusterArguments;
use super::measure::{Counted, measure};
use crate::cluster::{Cluster, DevCluster, Follower, Reach, TopicShape, fill, replay};
use crate::drive::{Window, drive};
use crate::failure::Failure;
use crate::output::Sink;
use crate::progress::RunBar;
use crate::records::Records;
use crate::report::{Report, System};
use crate::servers::{Servers, listening_on};
use crate::workload::{Mode, Workload};

const ENDPOINT_DEFAULT: &str = "127.0.0.1:7400";
/// Where certificates are looked for when no flag says, as `timberline` does.
const CERTS_DEFAULT: [&str; 2] = ["certs", "data/certs"];
const REPLICAS_DEFAULT: u32 = 3;

/// Runs the workloads, one after the other. Not on a runtime's thread.
pub(super) fn run_on_cluster(
    asked: &ClusterArguments,
    workloads: &[Workload],
    records: &Records,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let dev = asked
        .dev
        .map(|nodes| DevCluster::start(nodes, asked.uncertainty, &asked.load.folder()))
        .transpose()?;
    let reach = match &dev {
        Some(dev) => Reach { endpoints: dev.endpoints(), certs: dev.certs() },
        None => Reach { endpoints: endpoints(asked), certs: certs(asked)? },
    };
    super::run::block_on(run_all(asked, dev.as_ref(), &reach, workloads, records, sink))
}

async fn run_all(
    asked: &ClusterArguments,
    dev: Option<&DevCluster>,
    reach: &Reach,
    workloads: &[Workload],
    records: &Records,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let shape = topic_shape(asked);
    let cluster = Cluster::prepare(reach, workloads[0].shape.connections, &shape).await?;
    let servers = servers(asked, dev, &cluster).await?;
    let system = System {
        name: "timberline",
        shards: shape.shards,
        replicas: shape.replicas,
        durability: shape.durability.as_str(),
    };
    let mut ran = Ok(());
    for workload in workloads {
        let run = Run { cluster: &cluster, workload, records, visible: asked.visible };
        ran = match run.measure(system, &servers).await {
            Ok(report) => sink.report(report),
            Err(failure) => Err(failure),
        };
        if ran.is_err() {
            break;
        }
    }
    // The topic goes whatever became of the runs, and their failure is the one to tell.
    let finished = cluster.finish(asked.keep_topic).await;
    ran.and(finished)
}

/// One workload on a cluster.
struct Run<'a> {
    cluster: &'a Cluster,
    workload: &'a Workload,
    records: &'a Records,
    visible: bool,
}

impl Run<'_> {
    async fn measure(&self, system: System, servers: &Servers) -> Result<Report, Failure> {
        let Self { cluster, workload, records, .. } = *self;
        let producers = cluster.producers(workload).await?;
        let mut seen = None;
        let mut report = if let Mode::Replay { records: count } = workload.mode {
            fill(&producers, workload, records, count).await?;
            let load =
                async |window, bar: RunBar| replay(cluster, window, &bar.progress()).await.map(Counted::from);
            measure(system, workload, records.bytes_mean(), servers, load).await?
        } else {
            let follower = if self.visible {
                Some(Follower::start(cluster.client(), cluster.topic()).await?)
            } else {
                None
            };
            let load = async |window: Window, bar: RunBar| {
                let following = follower.map(|follower| follower.follow(window));
                let tally = drive(workload, producers, records, window, &bar.progress()).await?;
                if let Some(following) = following {
                    seen = Some(following.finish(tally.acknowledged).await?);
                }
                Ok(Counted::from(tally))
            };
            measure(system, workload, records.bytes_mean(), servers, load).await?
        };
        if let Some(seen) = seen {
            report.see(seen.visible.percentiles(), seen.unseen);
        }
        Ok(report)
    }
}

fn endpoints(asked: &ClusterArguments) -> Vec<String> {
    let mut endpoints: Vec<_> = asked.endpoint.iter().filter(|text| !text.is_empty()).cloned().collect();
    if endpoints.is_empty() {
        endpoints.push(ENDPOINT_DEFAULT.to_owned());
    }
    endpoints
}

fn certs(asked: &ClusterArguments) -> Result<PathBuf, Failure> {
    let found = || CERTS_DEFAULT.iter().map(Path::new).find(|folder| folder.join("client.pem").exists());
    asked.certs.clone().or_else(|| found().map(Path::to_owned)).ok_or(Failure::NoCertificates)
}

fn topic_shape(asked: &ClusterArguments) -> TopicShape {
    let made_up = || -> TopicName {
        format!("load-{:08x}", rand::random::<u32>()).parse().expect("letters, digits and a dash are a name")
    };
    let of_dev = asked.dev.and_then(|nodes| u32::try_from(nodes).ok());
    TopicShape {
        name: asked.topic.clone().unwrap_or_else(made_up),
        shards: asked.shards,
        replicas: asked.replicas.unwrap_or_else(|| of_dev.map_or(REPLICAS_DEFAULT, |nodes| nodes.min(3))),
        durability: asked.durability,
    }
}

async fn servers(
    asked: &ClusterArguments,
    dev: Option<&DevCluster>,
    cluster: &Cluster,
) -> Result<Servers, Failure> {
    if let Some(dev) = dev {
        let pids = vec![std::process::id()];
        return Ok(Servers { pids, metrics: dev.metrics(), with_the_load: true });
    }
    let mut pids = asked.pids.clone();
    if pids.is_empty() {
        pids = listening_on(&cluster.addresses().await?);
    }
    Ok(Servers { pids, metrics: asked.metrics.clone(), with_the_load: false })
}
