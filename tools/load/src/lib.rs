//! Load on a cluster, and what became of the time: open or closed loop, latencies as histograms, what the servers spent.
//!
//! Reading order: `workload` (what is offered), `schedule` (when), `records` (of what), `drive` (offers it and measures),
//! `cluster` and `floor` (to whom: a Timberline cluster through its client, or a bare replicated log), `servers` (what
//! that cost them), `report`, `growth` (one dimension varied), `picture`, `commands`. Invariants: when an append of an open loop
//! is due is fixed before the first one is sent; every run ends by itself; memory is bounded, however far a cluster falls behind.

mod cluster;
mod commands;
mod drive;
mod failure;
mod floor;
mod growth;
mod output;
mod percentiles;
mod picture;
mod progress;
mod records;
mod report;
mod schedule;
mod servers;
mod workload;

pub use commands::run;
