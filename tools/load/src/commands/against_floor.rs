//! Runs against the floor.

use std::path::Path;
use std::sync::Arc;

use super::measure::{Counted, measure};
use crate::cluster::fill;
use crate::drive::drive;
use crate::failure::Failure;
use crate::floor::{Floor, FloorClient};
use crate::output::Sink;
use crate::progress::RunBar;
use crate::records::Records;
use crate::report::{Report, System};
use crate::servers::Servers;
use crate::workload::{Mode, Workload};

const SYSTEM: System = System { name: "floor", shards: 1, replicas: 3, durability: "disk" };

/// Starts a floor and runs the workloads on it, one after the other. Not on a runtime's thread.
pub(super) fn run_on_floor(
    workloads: &[Workload],
    records: &Records,
    folder: &Path,
    file_bytes: u64,
    sink: &mut Sink,
) -> Result<(), Failure> {
    if let Mode::Replay { records: count } = workloads[0].mode {
        let frames = count / u64::from(workloads[0].shape.batch_records) + 1;
        let needed = count * records.bytes_max() as u64 + frames * 64;
        if needed > file_bytes {
            let refused = format!(
                "{count} records do not fit the floor's file of {file_bytes} bytes: give --floor-file {}MiB, or fewer \
                 --replay-records",
                (needed >> 20) + 1
            );
            return Err(Failure::Usage(refused));
        }
    }
    let floor = Floor::start(folder, file_bytes)?;
    super::run::block_on(async {
        for workload in workloads {
            sink.report(run_one(&floor, workload, records).await?)?;
        }
        Ok(())
    })
}

async fn run_one(floor: &Floor, workload: &Workload, records: &Records) -> Result<Report, Failure> {
    let mut clients = Vec::new();
    for _ in 0..workload.shape.connections {
        clients.push(FloorClient::connect(floor.leader(), &floor.certificate_folder()).await?);
    }
    let producers: Vec<_> = clients.iter().cycle().take(workload.shape.producers).map(Arc::clone).collect();
    if let Mode::Replay { records: count } = workload.mode {
        fill(&producers, workload, records, count).await?;
    }
    let servers = Servers { pids: floor.pids(), ..Servers::default() };
    let load = async |window, bar: RunBar| {
        let progress = bar.progress();
        match workload.mode {
            Mode::Replay { .. } => clients[0].replay(window, &progress).await.map(Counted::from),
            Mode::Closed | Mode::Count { .. } | Mode::Open { .. } => {
                drive(workload, producers, records, window, &progress).await.map(Counted::from)
            }
        }
    };
    let report = measure(SYSTEM, workload, records.bytes_mean(), &servers, load).await?;
    for client in &clients {
        client.close().await;
    }
    Ok(report)
}
