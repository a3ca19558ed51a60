//! What drives a lane, on a thread or in steps: brings it events, carries its output away, wakes it on time.
//!
//! Knows nothing of sockets or of what clients say. Invariants: the lane is touched by its driver only;
//! nobody who gives it work ever waits, except the disk's threads with their results; every queue is
//! bounded in number and in bytes.

mod care;
mod handle;
mod hosting;
mod progress;
mod run;
mod waiters;
mod waiting;

#[cfg(test)]
mod tests;

pub(crate) use handle::{Append, Busy, Fence, LaneHandle, LaneLimits};
pub(crate) use progress::Progress;
pub(crate) use run::{LaneStart, LaneThread, Outlets, Running};
pub use waiting::{SPIN_MAX, Waiting};
