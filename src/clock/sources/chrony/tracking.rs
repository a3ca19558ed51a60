//! What a tracking report is worth: a bound, or the reason why it gives none.
//!
//! The bound is NTP's root distance (RFC 5905, section 11.1) and what chronyd is still correcting:
//! `root delay / 2 + root dispersion + |correction|`, true of `CLOCK_REALTIME` while the report was made.

use std::time::Duration;

use super::packet::{LeapStatus, Tracking};
use crate::clock::source::{Leap, SourceError};
use crate::clock::ticks::RawTime;

/// 127.127.1.0/24: chronyd's own clock, by the convention of NTP.
const LOCAL_NET: u32 = 0x7F7F_0100;
const LOCAL_MASK: u32 = 0xFFFF_FF00;
/// A reference that old, in update intervals, has been lost.
const INTERVALS_MAX: f64 = 8.0;
/// The first intervals after a start are those of a burst, or 0: none counts as shorter than the usual poll.
const INTERVAL_S_MIN: f64 = 64.0;
/// The wall clock cannot be that far before its own last comparison.
const AHEAD_NS_MAX: u64 = 1_000_000_000;

/// A usable report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// Of the error of `CLOCK_REALTIME`.
    pub(super) error_ns: u64,
    pub(super) growth_ppb: u64,
    pub(super) leap: Leap,
}

impl Tracking {
    /// Judges a report that was asked for at `now`. The evidence is a sentence without its subject, chronyd.
    pub(super) fn bound(&self, now: RawTime) -> Result<Bound, SourceError> {
        self.refuse(now).map_err(SourceError::unsynchronised)?;
        let distance_s = self.root_delay_s.abs() / 2.0 + self.root_dispersion_s + self.correction_s.abs();
        // What drifts by a part per million loses a microsecond a second.
        let growth_s = (self.skew_ppm + self.residual_ppm.abs()) / 1e6;
        let is_sound = self.root_dispersion_s >= 0.0 && self.skew_ppm >= 0.0;
        let (Some(error_ns), Some(growth_ppb), true) = (above_ns(distance_s), above_ns(growth_s), is_sound)
        else {
            return Err(SourceError::unreadable(format!(
                "gives a root dispersion of {} s and a skew of {} ppm, expected two numbers of at least 0",
                self.root_dispersion_s, self.skew_ppm
            )));
        };
        let leap = match self.leap {
            LeapStatus::InsertSecond => Leap::Insert,
            LeapStatus::DeleteSecond => Leap::Delete,
            LeapStatus::Normal | LeapStatus::NotSynchronised => Leap::None,
        };
        Ok(Bound { error_ns, growth_ppb, leap })
    }

    fn refuse(&self, now: RawTime) -> Result<(), String> {
        if self.leap == LeapStatus::NotSynchronised || self.reference_id == 0 {
            return Err(
                "is not synchronised (leap status 3, `Not synchronised`): it has no server, or has not measured one yet; see \
                 `chronyc sources`"
                    .to_owned(),
            );
        }
        if self.reference_id & LOCAL_MASK == LOCAL_NET {
            return Err(format!(
                "is in local mode: its reference is 127.127.1.{}, this machine's own clock, so its error near 0 means nothing; \
                 give it a server, pool or refclock in chrony.conf, or wait until one answers",
                self.reference_id & !LOCAL_MASK
            ));
        }
        let ahead_ns = self.reference_time_ns.saturating_sub(now.realtime_ns);
        if ahead_ns > AHEAD_NS_MAX {
            return Err(format!(
                "says that it compared its clock {:?} from now: the wall clock was set back since; it notices with its next \
                 measurement",
                Duration::from_nanos(ahead_ns)
            ));
        }
        let age_ns = now.realtime_ns.saturating_sub(self.reference_time_ns);
        let age_s_max = INTERVALS_MAX * self.update_interval_s.max(INTERVAL_S_MIN);
        if above_ns(age_s_max).is_none_or(|age_ns_max| age_ns > age_ns_max) {
            return Err(format!(
                "last compared its clock {} s ago, expected within {age_s_max:.0} s: its servers no longer answer; see \
                 `chronyc sources`",
                age_ns / 1_000_000_000
            ));
        }
        Ok(())
    }
}

/// Nanoseconds, rounded up; `None` below 0 and beyond what fits.
fn above_ns(seconds: f64) -> Option<u64> {
    let nearest_ns = Duration::try_from_secs_f64(seconds).ok()?.as_nanos();
    u64::try_from(nearest_ns).ok()?.checked_add(1)
}
