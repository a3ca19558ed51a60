//! `growth`: one dimension of the load is varied, each step on a fresh cluster of `timberline serve` processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use timberline::settings::{parse_duration, parse_size};
use timberline::types::{Durability, SHARD_IN_FLIGHT_MAX};

use super::against_cluster::{Run, name_made_up};
use super::run::{block_on, keep_picture};
use crate::cluster::{Cluster, Reach, ServedCluster, TopicShape};
use crate::failure::Failure;
use crate::growth::{Base, Dimension, POINT_TITLES, Point, Step};
use crate::output::{Format, print, print_all, say, table};
use crate::picture::draw_growth;
use crate::records::Records;
use crate::report::{Report, System};
use crate::servers::Servers;

#[derive(Debug, Args)]
pub(super) struct GrowthArguments {
    /// What grows
    #[arg(value_enum)]
    dimension: Dimension,
    /// Its steps, in place of its own
    #[arg(long, value_name = "N[,..]", value_delimiter = ',', conflicts_with = "quick")]
    points: Vec<u64>,
    /// Two small steps for a second each: to see that all works, not for figures
    #[arg(long, conflicts_with_all = ["duration", "warmup", "rounds"])]
    quick: bool,
    /// Go through all steps so many times; the picture's lines are the medians
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Draw it, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Bytes of a record's value, unless they are what grows
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    record_size: usize,
    /// Records of a batch [default: 100; of larger records as many as 128 KiB hold; with `producers` 1]
    #[arg(long, value_name = "RECORDS")]
    batch: Option<u32>,
    /// Batches that each producer keeps in flight [default: 8; with `producers` 1]
    #[arg(long, value_name = "BATCHES", value_parser = clap::value_parser!(u32).range(1..=SHARD_IN_FLIGHT_MAX as i64))]
    in_flight: Option<u32>,
    /// How long each step is measured; `records` takes as long as it takes
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    duration: Duration,
    /// How long each step runs before; `records` is measured from its first one on
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    warmup: Duration,
    /// `records`: a step that has not appended all of them by then is cut short, and its records say so
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    patience: Duration,
    /// `records`: a step that would need more on the disk than this, or than half of what is free, is left out
    #[arg(long, value_name = "SIZE", default_value = "16GiB", value_parser = parse_size)]
    disk: u64,
    /// How far this machine's clock may be from true time
    #[arg(long, value_name = "DURATION", default_value = "50us", value_parser = parse_duration)]
    uncertainty: Duration,
    /// A setting of every node, such as `storage.segment_max=16MiB`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Where nodes keep their files for as long as a step runs [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// How points are printed [default: table on a terminal; ndjson when piped, and the table on stderr]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

const QUICK: Duration = Duration::from_secs(1);

/// Runs every step, tells each, and draws. Not on a runtime's thread.
pub(super) fn run_growth(asked: &GrowthArguments) -> Result<(), Failure> {
    let steps = steps(asked)?;
    // Each connection is a socket.
    let limit = getrlimit(Resource::Nofile);
    // Where it is not enough, the connection that fails says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let folder = asked.folder.clone().unwrap_or_else(std::env::temp_dir);
    let (dimension, format) = (asked.dimension, Format::or_default(asked.output));
    let mut points = Vec::new();
    for round in 1..=asked.rounds {
        for step in &steps {
            if let Some(refused) = no_room(step, asked.disk, &folder) {
                say(&refused);
                continue;
            }
            say(&format!(
                "round {round} of {}: {} {}",
                asked.rounds,
                dimension.name(),
                dimension.label(step.value)
            ));
            let report = run_step(asked, step, &folder)?;
            let point = Point { dimension: dimension.name(), value: step.value, round, report };
            if let Some(error) = &point.report.first_error {
                say(&format!("{} batches failed; the first error: {error}", point.report.failed_batches));
            }
            if format == Format::Ndjson {
                print(&point.to_json())?;
            }
            points.push(point);
        }
    }
    tell(dimension, format, &points)?;
    asked.plot.as_ref().map_or(Ok(()), |path| keep_picture(path, draw_growth(dimension, &points)))
}

fn steps(asked: &GrowthArguments) -> Result<Vec<Step>, Failure> {
    let values =
        if asked.points.is_empty() { asked.dimension.steps(asked.quick) } else { asked.points.clone() };
    let base = Base {
        record_bytes: asked.record_size,
        batch_records: asked.batch,
        in_flight: asked.in_flight.map(|count| count as usize),
        warmup: if asked.quick { QUICK } else { asked.warmup },
        duration: if asked.quick { QUICK } else { asked.duration },
        patience: asked.patience,
    };
    let largest = values.iter().copied().max().unwrap_or_default();
    let step = |value: &u64| Step::new(asked.dimension, *value, largest, &base).map_err(Failure::Usage);
    values.iter().map(step).collect()
}

/// Why a step cannot be run on this disk, if so.
fn no_room(step: &Step, disk_bytes_max: u64, folder: &Path) -> Option<String> {
    let needed = step.disk_bytes()?;
    let free = rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize);
    let refused = |why: String| {
        format!("{} records are left out: they need about {} MiB, {why}", step.value, needed >> 20)
    };
    if needed > disk_bytes_max {
        return Some(refused(format!("and --disk allows {}", disk_bytes_max >> 20)));
    }
    (needed > free / 2).then(|| refused(format!("and {} MiB are free in {}", free >> 20, folder.display())))
}

fn run_step(asked: &GrowthArguments, step: &Step, folder: &Path) -> Result<Report, Failure> {
    let settings = [step.settings(), asked.settings.clone()].concat();
    let served = ServedCluster::start(step.nodes, asked.uncertainty, &settings, folder)?;
    let reach = Reach { endpoints: served.endpoints(), certs: served.certs() };
    let shape = TopicShape {
        name: name_made_up(),
        topics: step.topics,
        shards: step.shards_per_topic,
        replicas: step.replicas,
        durability: Durability::Disk,
    };
    let system = System {
        name: "timberline",
        shards: shape.topics * shape.shards,
        replicas: shape.replicas,
        durability: shape.durability.as_str(),
    };
    let servers = Servers { pids: served.pids(), metrics: served.metrics(), with_the_load: false };
    let records = Records::made_up(step.workload.record_bytes);
    block_on(async {
        let cluster = Cluster::prepare(&reach, step.workload.shape.connections, &shape).await?;
        let run = Run { cluster: &cluster, workload: &step.workload, records: &records, visible: false };
        let report = run.measure(system, &servers).await?;
        // The topics go with the nodes.
        cluster.finish(true).await?;
        Ok(report)
    })
}

fn tell(dimension: Dimension, format: Format, points: &[Point]) -> Result<(), Failure> {
    let name = dimension.name().to_uppercase();
    let titles: Vec<_> = std::iter::once(name.as_str()).chain(POINT_TITLES).collect();
    let rows = || table(&titles, points.iter().map(|point| point.cells(dimension)));
    match format {
        Format::Table => print(&rows()),
        Format::Json => print_all(points.iter().map(Point::to_json)),
        Format::Ndjson => {
            say(&rows());
            Ok(())
        }
    }
}
