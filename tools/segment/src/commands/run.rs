//! From arguments to a command to an exit code.

use std::process::ExitCode;

use clap::Parser;
use timberline::disk::explain_unreadable_pages;

use super::arguments::{Arguments, Command};
use super::{diff, dump, list, order, repair, stat, verify};
use crate::output::{Format, say};

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = explain_unreadable_pages() {
        say(&format!("timberline-segment: {error}; a page that cannot be read will end it without a word"));
    }
    let format = Format::or_default(arguments.output);
    let done = match arguments.command {
        Command::Ls(asked) => list::list(&asked, format),
        Command::Dump(asked) => dump::dump(&asked, format),
        Command::Verify(asked) => verify::verify(&asked, format),
        Command::Diff { a, b } => diff::diff(&a, &b, format),
        Command::Repair(asked) => repair::repair(&asked, format),
        Command::VerifyOrder(asked) => order::order(&asked, format),
        Command::Stat(asked) => stat::stat(&asked, format),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_quiet() {
                say(&format!("timberline-segment: {failure}"));
            }
            failure.exit_code()
        }
    }
}
