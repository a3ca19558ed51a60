//! From arguments to a command to an exit code.

use std::process::ExitCode;

use clap::Parser;

use super::arguments::{Arguments, Command};
use super::configuration::configuration;
use super::failure::Failure;
use super::output::say;

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
    let common = arguments.common;
    match arguments.command {
        Command::Config(command) => configuration(command, common.output),
        Command::Doctor => {
            Err(Failure::not_built("`doctor`", "see `timberline cluster status` and `clock status`"))
        }
        _ => unreachable!("wired later"),
    }
}
