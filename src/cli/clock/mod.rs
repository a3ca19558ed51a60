//! `clock status` and `clock watch`: how well each node knows the time, in numbers and drawn.
//!
//! Knows nothing of how clocks agree: it asks, places and draws. The placing and the drawing are pure functions, time is
//! their argument; `watch` and `screen` are the shell around them.

mod axis;
mod council;
#[cfg(test)]
pub(in crate::cli) mod fixture;
mod frame;
mod line;
mod row;
mod screen;
mod sighting;
mod status;
mod watch;

pub(super) use status::{ANSWER_LIMIT, status};
pub(super) use watch::watch;
