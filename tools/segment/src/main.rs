//! The `timberline-segment` binary: everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    timberline_segment::run()
}
