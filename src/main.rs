//! The `timberline` binary: everything is in `timberline::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    timberline::cli::run()
}
