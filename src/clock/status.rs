//! What an operator is told of a clock.

use super::{Fault, Leap, Refusal};
use crate::types::Timestamp;

/// Whether a clock may be used, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    Trusted,
    Untrusted(Fault),
}

/// A jump that was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub fault: Fault,
    /// `CLOCK_REALTIME` when it was noticed.
    pub at: Timestamp,
}

/// What `clock status` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockStatus {
    pub state: ClockState,
    pub source: String,
    pub uncertainty_ns: u64,
    pub eps_max_ns: u64,
    /// Since the source's last sample.
    pub age_ns: u64,
    /// How fast the uncertainty grows, in parts per billion. 0 for a declared bound.
    pub growth_ppb: u64,
    pub last_step: Option<Step>,
    pub leap: Leap,
    /// Sources that would be better, or that the choice was among, and why each is not used.
    pub refused: Vec<Refusal>,
    /// If untrusted: one sentence with the evidence.
    pub reason: Option<String>,
}
