//! Where a clock's error bound comes from.
//!
//! A source is asked off the hot path; between its samples the clock grows the bound by itself. Invariants: a
//! sample is newer than another iff its `number` is larger; an honest sample's interval contains true time (I1).

use super::Fault;
use super::ticks::RawTime;

/// A look at a time source. The midpoint is given as a distance from `CLOCK_REALTIME`, which carries it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Rises with every new sample; the same number means the same sample.
    pub number: u64,
    /// `CLOCK_BOOTTIME` when the sample was taken: its age counts from here.
    pub at_boot_ns: u64,
    /// True time minus `CLOCK_REALTIME`, at the midpoint.
    pub offset_ns: i64,
    /// How fast that distance changes.
    pub offset_drift_ppb: i64,
    /// The uncertainty when the sample was taken.
    pub uncertainty_ns: u64,
    /// How fast the uncertainty grows with the sample's age.
    pub growth_ppb: u64,
    /// A jump of `CLOCK_REALTIME` beyond this was not foreseen by the source.
    pub step_tolerance_ns: u64,
}

/// A source could not give a sample, or gives one that must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}: {evidence}")]
pub struct SourceError {
    pub fault: Fault,
    /// One sentence: what was read, where, what was expected.
    pub evidence: String,
}

/// A source of time.
pub trait TimeSource: Send + Sync {
    /// What the operator calls it.
    fn name(&self) -> String;

    /// The newest sample. Called every few milliseconds, never by `now()`; must not block for long.
    fn sample(&self, now: RawTime) -> Result<Sample, SourceError>;

    /// The wall clock was stepped or the machine slept: what was sampled before is void.
    fn disturbed(&self, now: RawTime);
}
