//! A bound that somebody declares: for labs and `dev`. Nothing measures whether it is true.
//!
//! The declaration is about `CLOCK_REALTIME` at all times, so its age is always 0 and it does not grow. A step of
//! the wall clock, or a sleep, contradicts it; it is believed again once the clock has run undisturbed for a
//! while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::source::{Leap, STEP_TOLERANCE_NS_MIN, Sample, SourceError, TimeSource};
use crate::clock::ticks::RawTime;

/// How long the wall clock must run undisturbed before the declaration is believed again.
pub const DECLARED_QUIET: Duration = Duration::from_secs(30);

const UNDISTURBED: u64 = u64::MAX;

/// "`CLOCK_REALTIME` is never more than this wrong."
#[derive(Debug)]
pub struct Declared {
    uncertainty_ns: u64,
    disturbed_at_boot_ns: AtomicU64,
    disturbances: AtomicU64,
}

impl Declared {
    pub fn new(uncertainty: Duration) -> Self {
        Self {
            uncertainty_ns: u64::try_from(uncertainty.as_nanos()).unwrap_or(u64::MAX),
            disturbed_at_boot_ns: AtomicU64::new(UNDISTURBED),
            disturbances: AtomicU64::new(0),
        }
    }
}

impl TimeSource for Declared {
    fn name(&self) -> String {
        "declared".to_owned()
    }

    fn sample(&self, now: RawTime) -> Result<Sample, SourceError> {
        let disturbed_at = self.disturbed_at_boot_ns.load(Ordering::Acquire);
        let quiet_ns = DECLARED_QUIET.as_nanos() as u64;
        if disturbed_at != UNDISTURBED && now.boot_ns.saturating_sub(disturbed_at) < quiet_ns {
            let evidence = format!(
                "the declared bound of {} ns was contradicted and is believed again after {} s without another jump",
                self.uncertainty_ns,
                DECLARED_QUIET.as_secs()
            );
            return Err(SourceError::unsynchronised(evidence));
        }
        Ok(Sample {
            number: 1 + self.disturbances.load(Ordering::Acquire),
            at_boot_ns: now.boot_ns,
            offset_ns: 0,
            offset_drift_ppb: 0,
            uncertainty_ns: self.uncertainty_ns,
            growth_ppb: 0,
            step_tolerance_ns: self.uncertainty_ns.max(STEP_TOLERANCE_NS_MIN),
            leap: Leap::Unknown,
        })
    }

    fn disturbed(&self, now: RawTime) {
        self.disturbances.fetch_add(1, Ordering::AcqRel);
        self.disturbed_at_boot_ns.store(now.boot_ns, Ordering::Release);
    }
}
