//! The command line: its grammar, the rates of a sweep, and the kinds of runs.

mod against_cluster;
mod against_floor;
mod arguments;
mod growth;
mod measure;
mod rates;
mod run;

pub use run::run;
