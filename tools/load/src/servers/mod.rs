//! What a run cost the servers: CPU seconds and memory by the kernel's account, syncs by the nodes' own metrics.
//!
//! `process` reads `/proc`, `listening` finds who serves an address of this machine, `metrics` asks nodes, `spending` puts two
//! looks together.

mod listening;
mod metrics;
mod process;
mod spending;

pub(crate) use listening::listening_on;
pub(crate) use process::cpu_of_this_process;
pub(crate) use spending::{Servers, Spending};
