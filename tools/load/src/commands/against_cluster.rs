//! Runs against a Timberline cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use timberline::types::TopicName;

use super::arguments::ClusterArguments;
use super::measure::{Counted, measure};
use crate::cluster::{Cluster, DevCluster, Follower, Pauses, Reach, ServedCluster, TopicShape, fill, replay};
use crate::drive::{Window, drive};
use crate::failure::Failure;
use crate::output::{Sink, say};
use crate::progress::RunBar;
use crate::records::Records;
use crate::report::{Report, SlowFollower, System};
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
    let (folder, uncertainty) = (asked.load.folder(), asked.uncertainty);
    let nodes = match (asked.dev, asked.serve) {
        (Some(nodes), _) => Nodes::Dev(DevCluster::start(nodes, uncertainty, &folder)?),
        (None, Some(nodes)) => {
            Nodes::Served(ServedCluster::start(nodes, uncertainty, &asked.settings, &folder)?)
        }
        (None, None) => Nodes::Foreign,
    };
    let reach = match &nodes {
        Nodes::Dev(dev) => Reach { endpoints: dev.endpoints(), certs: dev.certs() },
        Nodes::Served(served) => Reach { endpoints: served.endpoints(), certs: served.certs() },
        Nodes::Foreign => Reach { endpoints: endpoints(asked), certs: certs(asked)? },
    };
    super::run::block_on(run_all(asked, &nodes, &reach, workloads, records, sink))
}

/// Whose nodes they are.
enum Nodes {
    Dev(DevCluster),
    Served(ServedCluster),
    Foreign,
}

async fn run_all(
    asked: &ClusterArguments,
    nodes: &Nodes,
    reach: &Reach,
    workloads: &[Workload],
    records: &Records,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let shape = topic_shape(asked);
    let cluster = Cluster::prepare(reach, workloads[0].shape.connections, &shape).await?;
    let servers = servers(asked, nodes, &cluster).await?;
    let system = System {
        name: "timberline",
        shards: shape.shards,
        replicas: shape.replicas,
        durability: shape.durability.as_str(),
    };
    let mut ran = Ok(());
    for workload in workloads {
        let run = Run { cluster: &cluster, workload, records, visible: asked.visible };
        ran = match (nodes, asked.slow_follower) {
            (Nodes::Served(served), Some(paused)) => {
                run.beside_a_slow_follower(system, &servers, served, paused, sink).await
            }
            _ => run.measure(system, &servers).await.and_then(|report| sink.report(report)),
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
pub(super) struct Run<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) workload: &'a Workload,
    pub(super) records: &'a Records,
    pub(super) visible: bool,
}

impl Run<'_> {
    /// Twice: while all is well, and while a follower is paused again and again.
    async fn beside_a_slow_follower(
        &self,
        system: System,
        servers: &Servers,
        served: &ServedCluster,
        paused: Duration,
        sink: &mut Sink,
    ) -> Result<(), Failure> {
        let pids = served.pids();
        let refused = || {
            let what = "every node leads a shard, so that no follower can be slow alone: give --shards 1";
            Failure::Usage(what.to_owned())
        };
        let follower = async || self.cluster.follower().await?.ok_or_else(refused);
        follower().await?;
        let steady = self.measure(system, servers).await?;
        // Leaders may have changed meanwhile.
        let node = follower().await?;
        let rhythm = Pauses::start(pids[node as usize - 1], paused)?;
        let slow = self.measure(system, servers).await;
        drop(rhythm);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (paused_ms, running_ms) = (ms(paused), ms(Pauses::running(paused)));
        let slow_follower = Some(SlowFollower { node, paused_ms, running_ms });
        let slow = Report { slow_follower, ..slow? };
        if let (Some(steady), Some(slow)) = (steady.ack, slow.ack) {
            say(&format!(
                "with node {node} stopped for {paused_ms} of each {} ms the p99 is {:.2} times the p99 before",
                paused_ms + running_ms,
                slow.p99_us / steady.p99_us
            ));
        }
        if self.cluster.leads(node).await? {
            say(&format!("node {node} came to lead meanwhile: the run says nothing of a slow follower"));
        }
        sink.report(steady)?;
        sink.report(slow)
    }

    pub(super) async fn measure(&self, system: System, servers: &Servers) -> Result<Report, Failure> {
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
    let own = asked.dev.or(asked.serve).and_then(|nodes| u32::try_from(nodes).ok());
    TopicShape {
        name: asked.topic.clone().unwrap_or_else(name_made_up),
        topics: 1,
        shards: asked.shards,
        replicas: asked.replicas.unwrap_or_else(|| own.map_or(REPLICAS_DEFAULT, |nodes| nodes.min(3))),
        durability: asked.durability,
    }
}

/// One that no topic has.
pub(super) fn name_made_up() -> TopicName {
    format!("load-{:08x}", rand::random::<u32>()).parse().expect("letters, digits and a dash are a name")
}

async fn servers(asked: &ClusterArguments, nodes: &Nodes, cluster: &Cluster) -> Result<Servers, Failure> {
    let (pids, metrics) = match nodes {
        Nodes::Dev(dev) => (vec![std::process::id()], dev.metrics()),
        Nodes::Served(served) => (served.pids(), served.metrics()),
        Nodes::Foreign if asked.pids.is_empty() => {
            (listening_on(&cluster.addresses().await?), asked.metrics.clone())
        }
        Nodes::Foreign => (asked.pids.clone(), asked.metrics.clone()),
    };
    Ok(Servers { pids, metrics, with_the_load: matches!(nodes, Nodes::Dev(_)) })
}
