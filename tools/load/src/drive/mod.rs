//! Offers a workload to whatever takes appends, and measures.
//!
//! `window` says when, `budget` how much at most, `meter` counts, `stages` says where the time went, `offer` makes one append, `closed` and `open` are the two loops, `pacer` releases an open loop's appends on
//! time. Knows nothing of clusters: it sees one small trait.

mod budget;
mod closed;
mod meter;
mod offer;
mod open;
mod pacer;
mod run;
mod stages;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use budget::Budget;
pub(crate) use meter::Tally;
pub(crate) use offer::Append;
pub(crate) use run::{Progress, drive};
pub(crate) use stages::{Stage, Stages};
pub(crate) use window::Window;
