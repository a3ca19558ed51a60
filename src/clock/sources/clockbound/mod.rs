//! ClockBound: a daemon that publishes how wrong the machine's clock may be in a small shared file.
//!
//! A reader of our own for version 2 of the protocol (`docs/PROTOCOL.md` of the clock-bound repository). Knows nothing
//! of chronyd, whose measurements the daemon passes on.

mod segment;
mod source;
#[cfg(test)]
pub(super) mod tests;

pub use source::{ClockBound, ClockBoundOptions};
