//! The command line: commands, output, progress.
//!
//! Knows nothing of how anything is done: it parses what users write, calls `client`, `node` and `settings`, and
//! prints. Invariants: data goes to stdout and all else to stderr; exit codes and field names are a contract; a
//! flag whose feature is not built is refused, never ignored.

mod arguments;
mod certificates;
mod clock;
mod configuration;
mod connect;
mod consume;
mod demo;
mod dev;
mod doctor;
mod failure;
mod groups;
mod logging;
mod moment;
mod nodes;
mod output;
mod partition;
mod produce;
mod run;
mod serve;
mod shards;
mod topics;

pub use run::run;
