//! Readings made by hand, for this folder's tests.

use crate::clock::{Reading, TimeInterval};
use crate::types::{Monotonic, Timestamp};

/// The uncertainty of every reading here, which is also `eps_max`.
pub(super) const EPS: u64 = 1_000;

/// An honest reading at the true time `true_ns`.
pub(super) fn at(true_ns: u64) -> Reading {
    Reading::new(TimeInterval::around(Timestamp(true_ns), EPS), Monotonic(true_ns), None)
}
