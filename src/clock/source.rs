//! Where a clock's error bound comes from: what every source promises.
//!
//! A source is asked off the hot path; between its samples the clock grows the bound by itself. Invariants: a
//! sample is newer than another iff its `number` is larger; an honest sample's interval contains true time (I1);
//! after `disturbed` no sample rests on anything from before.

use super::Fault;
use super::ticks::RawTime;
use crate::timex::KernelClock;

/// The smallest jump of the wall clock that is called a step. A source that measures has it in its bound already, so
/// that a step too small to be seen is no lie.
pub(super) const STEP_TOLERANCE_NS_MIN: u64 = 5_000;

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
    pub leap: Leap,
}

impl Sample {
    /// A measured bound around `CLOCK_REALTIME` itself.
    pub(super) fn measured(number: u64, at_boot_ns: u64, bound_ns: u64, growth_ppb: u64) -> Self {
        Self {
            number,
            at_boot_ns,
            offset_ns: 0,
            offset_drift_ppb: 0,
            uncertainty_ns: bound_ns.saturating_add(STEP_TOLERANCE_NS_MIN),
            // 0 would say that the bound holds for ever.
            growth_ppb: growth_ppb.max(1),
            step_tolerance_ns: STEP_TOLERANCE_NS_MIN,
            leap: Leap::Unknown,
        }
    }
}

/// What is known of a leap second at the end of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leap {
    /// The source does not say.
    #[default]
    Unknown,
    None,
    Insert,
    Delete,
}

impl Leap {
    /// What the kernel will do at the end of the day.
    pub(super) fn of(clock: &KernelClock) -> Self {
        match (clock.leap_insert, clock.leap_delete) {
            (true, _) => Self::Insert,
            (false, true) => Self::Delete,
            (false, false) => Self::None,
        }
    }

    /// As the status shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

/// A source could not give a sample, or gives one that must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}: {evidence}")]
pub struct SourceError {
    pub fault: Fault,
    /// One sentence: what was read, where, what was expected, what to do.
    pub evidence: String,
}

impl SourceError {
    pub(super) fn unsynchronised(evidence: String) -> Self {
        Self { fault: Fault::Unsynchronised, evidence }
    }

    pub(super) fn unreadable(evidence: String) -> Self {
        Self { fault: Fault::Unreadable, evidence }
    }
}

/// A source that was asked and is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub source: String,
    pub reason: String,
}

/// A source of time.
pub trait TimeSource: Send + Sync {
    /// What the operator calls it.
    fn name(&self) -> String;

    /// The newest sample. Called every few milliseconds, never by `now()`; must not block for long.
    fn sample(&self, now: RawTime) -> Result<Sample, SourceError>;

    /// The wall clock was stepped, the machine slept or was moved: what was sampled before is void.
    fn disturbed(&self, now: RawTime);

    /// The sources underneath that it would use and cannot.
    fn refusals(&self) -> Vec<Refusal> {
        Vec::new()
    }
}
