//! Offers a workload to whatever takes appends, and measures.
//!
//! `window` says when, `meter` counts, `offer` makes one append, `closed` and `open` are the two loops, `pacer` releases an open loop's appends on
//! time. Knows nothing of clusters: it sees one small trait.

mod closed;
mod meter;
mod offer;
mod open;
mod pacer;
mod run;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use meter::Tally;
pub(crate) use offer::Append;
pub(crate) use run::{Progress, drive};
pub(crate) use window::Window;
