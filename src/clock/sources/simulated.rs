//! A source set by hand: the in-memory twin of every other, for tests and simulation.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::source::{Leap, STEP_TOLERANCE_NS_MIN, Sample, SourceError, TimeSource};
use crate::clock::ticks::RawTime;

/// A source whose samples are set by hand. Clones are handles to the same source.
#[derive(Clone, Debug, Default)]
pub struct Simulated(Arc<Mutex<Setting>>);

#[derive(Debug, Default)]
struct Setting {
    number: u64,
    sample: Option<Sample>,
}

impl Simulated {
    /// Takes a new sample: true time is `offset_ns` from the wall clock, give or take `uncertainty_ns`, and the
    /// uncertainty grows by `growth_ppb`.
    pub fn set(&self, now: RawTime, offset_ns: i64, uncertainty_ns: u64, growth_ppb: u64) {
        let mut setting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        setting.number += 1;
        setting.sample = Some(Sample {
            number: setting.number,
            at_boot_ns: now.boot_ns,
            offset_ns,
            offset_drift_ppb: 0,
            uncertainty_ns,
            growth_ppb,
            step_tolerance_ns: uncertainty_ns.max(STEP_TOLERANCE_NS_MIN),
            leap: Leap::Unknown,
        });
    }

    /// The source loses its reference.
    pub fn lose(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sample = None;
    }
}

impl TimeSource for Simulated {
    fn name(&self) -> String {
        "simulated".to_owned()
    }

    fn sample(&self, _now: RawTime) -> Result<Sample, SourceError> {
        let setting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = || SourceError::unsynchronised("the simulated source has no sample".to_owned());
        setting.sample.ok_or_else(nothing)
    }

    fn disturbed(&self, _now: RawTime) {
        self.lose();
    }
}
