//! A whole cluster from one seed: production lanes, and everything under them, in one thread and virtual time.
//!
//! Only disk, link, clock and randomness are replaced. Reading order: `plan` (what a seed draws), `world` (what
//! happens when), `clients` (who appends and reads), `run` (one seed, from hostile to calm to judged), `scenario` (stories
//! told by hand), `sweep` (many seeds), `shrink` (the shortest prefix that fails), `planted` (known mistakes that must be found).
//!
//! Invariants: one seed, one story, to the byte; virtual time jumps to the next event; what a run judges by is the
//! history that clients and operators saw, checked by `timberline-checkers`.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod clients;
mod judge;
mod plan;
mod planted;
mod random;
mod run;
mod scenario;
mod shrink;
mod sweep;
mod totals;
mod trace;
mod world;

pub use plan::{FaultClass, Plan};
pub use planted::{Found, hunt};
pub use run::{Failure, Options, Run, run};
pub use scenario::Scenario;
pub use shrink::shrink;
pub use sweep::{Progress, sweep};
pub use totals::Totals;
