//! From arguments to runs to an exit code.

use std::future::Future;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use super::against_cluster::run_on_cluster;
use super::against_floor::run_on_floor;
use super::arguments::{Arguments, Command, LoadArguments, NodeArguments};
use super::growth::run_growth;
use crate::cluster::PROGRAM;
use crate::failure::Failure;
use crate::floor::{NodeOptions, run_node};
use crate::output::{Sink, say};
use crate::picture::draw_sweep;
use crate::records::Records;
use crate::report::Report;
use crate::workload::Workload;

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name == PROGRAM) {
        return serve();
    }
    match dispatch(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_quiet() {
                say(&format!("timberline-load: {failure}"));
            }
            failure.exit_code()
        }
    }
}

/// A node that a load has started: the whole of `timberline`, under its name.
fn serve() -> ExitCode {
    // Else one that is stopped for a while would stay so for ever if the load ended meanwhile.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    timberline::cli::run()
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Some(Command::FloorNode(asked)) => run_node(&node_options(asked)),
        Some(Command::Growth(asked)) => run_growth(&asked),
        Some(Command::Floor(asked)) => {
            let (records, workloads) = offered(&asked.load)?;
            let mut sink = Sink::new(asked.load.output, asked.load.stages);
            run_on_floor(&workloads, &records, &asked.load.folder(), asked.floor.floor_file, &mut sink)?;
            finish(sink, &asked.load)
        }
        None => {
            let asked = arguments.cluster;
            let (records, workloads) = offered(&asked.load)?;
            let mut sink = Sink::new(asked.load.output, asked.load.stages);
            if asked.with_floor {
                let (folder, file_bytes) = (asked.load.folder(), asked.floor.floor_file);
                run_on_floor(&workloads, &records, &folder, file_bytes, &mut sink)?;
            }
            run_on_cluster(&asked, &workloads, &records, &mut sink)?;
            finish(sink, &asked.load)
        }
    }
}

fn node_options(asked: NodeArguments) -> NodeOptions {
    NodeOptions {
        folder: asked.folder,
        certificate_folder: asked.certificate,
        followers: asked.follower,
        file_bytes: asked.file_size,
    }
}

/// The records to append and the workloads to run.
fn offered(load: &LoadArguments) -> Result<(Records, Vec<Workload>), Failure> {
    // Flags are judged before a file is read, and once more by its longest line.
    load.workloads(load.record_size)?;
    let records = match &load.file {
        Some(path) => Records::read(path)?,
        None => Records::made_up(load.record_size),
    };
    let workloads = load.workloads(records.bytes_max())?;
    Ok((records, workloads))
}

/// Prints what is left to print, draws, and judges.
fn finish(sink: Sink, load: &LoadArguments) -> Result<(), Failure> {
    let reports = sink.finish()?;
    if let Some(path) = &load.plot {
        write_picture(path, &reports)?;
    }
    let lost = reports.iter().filter(|report| report.rate_kept == Some(false)).count();
    if load.strict && lost > 0 {
        return Err(Failure::RateLost(format!("{lost} of {} runs lost their rate", reports.len())));
    }
    Ok(())
}

/// The last system's runs: beside the floor's, those of the cluster.
fn write_picture(path: &Path, reports: &[Report]) -> Result<(), Failure> {
    let system = reports.last().map(|report| report.system);
    let shown: Vec<_> = reports.iter().filter(|report| Some(report.system) == system).cloned().collect();
    keep_picture(path, draw_sweep(&shown))
}

/// Writes a drawn picture and says where it is.
pub(super) fn keep_picture(path: &Path, drawn: Result<String, String>) -> Result<(), Failure> {
    let svg = drawn.map_err(Failure::Picture)?;
    std::fs::write(path, svg).map_err(|source| Failure::Write { path: path.to_owned(), source })?;
    say(&format!("the picture is in {}", path.display()));
    Ok(())
}

/// Runs the load's future on a runtime of its own.
pub(super) fn block_on<T>(load: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("load")
        .enable_all()
        .build()
        .map_err(|source| Failure::Machine { what: "start the runtime", source })?;
    let result = runtime.block_on(load);
    runtime.shutdown_background();
    result
}
