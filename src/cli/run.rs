//! From arguments to a command to an exit code.

use std::process::ExitCode;

use clap::Parser;

use super::arguments::{Arguments, CertCommand, ClockCommand, ClusterCommand, Command, ShardCommand};
use super::clock::{status, watch};
use super::configuration::configuration;
use super::connect::block_on;
use super::consume::consume;
use super::demo::demo;
use super::dev::dev;
use super::doctor::doctor;
use super::failure::Failure;
use super::groups::group;
use super::nodes::cluster_status;
use super::output::{Format, say};
use super::produce::produce;
use super::serve::serve;
use super::topics::topic;
use super::{certificates, shards};

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    match dispatch(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.quiet {
                say(&format!("timberline: {failure}"));
            }
            failure.exit_code()
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    match arguments.command {
        Command::Demo => demo(common),
        Command::Dev(arguments) => dev(&arguments, common),
        Command::Serve(arguments) => serve(&arguments, common),
        Command::Config(command) => configuration(command, common.output),
        Command::Cert(CertCommand::Init { dir, nodes }) => {
            certificates::init(&dir, nodes, Format::or_default(common.output))
        }
        Command::Topic(command) => block_on(topic(command, common)),
        Command::Produce(arguments) => block_on(produce(arguments, common)),
        Command::Consume(arguments) => block_on(consume(arguments, common)),
        Command::Group(command) => block_on(group(command, common)),
        Command::Shard(ShardCommand::List { topic }) => block_on(shards::list(&topic, common)),
        Command::Cluster(ClusterCommand::Status) => block_on(cluster_status(common)),
        Command::Clock(ClockCommand::Status) => block_on(status(common)),
        Command::Clock(ClockCommand::Watch(arguments)) => block_on(watch(&arguments, common)),
        Command::Doctor(arguments) => block_on(doctor(&arguments, common)),
    }
}
