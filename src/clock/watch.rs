//! The clock: samples of a source, carried on by the operating system's clocks, watched for jumps.
//!
//! Knows nothing of who asks. Between samples `now()` reads two clocks and one shared value; it takes no lock and
//! allocates nothing. Invariants: uncertainty shrinks only on a new sample (I8); after a step or a sleep no reading
//! is trusted before a newer sample came; a reading of a source that lies is not noticed here, only of one that
//! jumps.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::interval::{drift, part};
use super::source::{Leap, Sample, SourceError, TimeSource};
use super::status::{ClockState, ClockStatus, Step};
use super::ticks::{RawTime, SimulatedTicks, Ticks, Witness};
use super::vmclock::VmClock;
use super::{Fault, Reading, TimeInterval};
use crate::types::{Monotonic, Timestamp};

/// A jump of the boot clock against the monotonic one beyond this is a sleep.
const SUSPEND_TOLERANCE_NS: u64 = 1_000_000;
/// The kernel slews by at most 500 ppm; twice that is a clock being pushed, not corrected.
const SLEW_PPM_MAX: u64 = 1_000;
/// What two clocks, not read at one instant, may differ by: even the closest look can be preempted.
const SLEW_TOLERANCE_NS: u64 = 10_000_000;
/// A look is compared with one that lies between once and twice so far back: from one look to the next, no push could be told
/// from the tolerance.
const SLEW_SPAN_NS: u64 = 10_000_000_000;
/// A jump is believed only if it is there each time: preemption between two clock reads looks like one.
const LOOKS: usize = 5;

/// Settings of a clock.
#[derive(Clone, Copy, Debug)]
pub struct ClockOptions {
    /// A clock less certain than this is not to be used.
    pub eps_max_ns: u64,
    /// How fast any clock is taken to drift from its sample, at least what the source says.
    pub growth_ppb: u64,
}

impl Default for ClockOptions {
    /// 10 ms, and 50 ppm: a plain crystal.
    fn default() -> Self {
        Self { eps_max_ns: 10_000_000, growth_ppb: 50_000 }
    }
}

/// How the clocks stood to each other when the sample was taken in.
#[derive(Clone, Copy, Debug, Default)]
struct Baseline {
    wall_minus_monotonic_ns: i64,
    boot_minus_monotonic_ns: i64,
}

impl Baseline {
    fn of(raw: RawTime) -> Self {
        Self {
            wall_minus_monotonic_ns: signed_difference(raw.realtime_ns, raw.monotonic_ns),
            boot_minus_monotonic_ns: signed_difference(raw.boot_ns, raw.monotonic_ns),
        }
    }
}

/// What `now()` works from.
#[derive(Debug)]
struct View {
    sample: Option<Sample>,
    baseline: Baseline,
    /// Why the sample must not be used.
    failure: Option<SourceError>,
}

/// What only `refresh` touches.
#[derive(Debug, Default)]
struct Watch {
    /// What was seen one to two spans ago, and since then once.
    witnesses: Option<(Witness, Witness)>,
    last_step: Option<Step>,
    /// A jump was seen: samples up to this number are void.
    void_to: Option<u64>,
    vmclock: Option<VmClock>,
}

/// A node's clock.
pub struct Clock {
    options: ClockOptions,
    source: Arc<dyn TimeSource>,
    ticks: Ticks,
    view: ArcSwap<View>,
    watch: Mutex<Watch>,
}

impl Clock {
    /// A clock on the operating system's clocks. Takes its first sample; call `refresh` every few milliseconds
    /// (or let a `ClockKeeper` do it).
    pub fn new(options: ClockOptions, source: Arc<dyn TimeSource>) -> Self {
        Self::on(options, source, Ticks::Os)
    }

    /// A clock on raw clocks moved by hand.
    pub fn simulated(options: ClockOptions, source: Arc<dyn TimeSource>, ticks: SimulatedTicks) -> Self {
        Self::on(options, source, Ticks::ByHand(ticks))
    }

    /// Watches the hypervisor's page at `path`, too, which need not be there.
    #[must_use]
    pub fn watching_vmclock(mut self, path: &Path) -> Self {
        let watch = self.watch.get_mut().unwrap_or_else(PoisonError::into_inner);
        watch.vmclock = Some(VmClock::new(path));
        self
    }

    fn on(options: ClockOptions, source: Arc<dyn TimeSource>, ticks: Ticks) -> Self {
        let baseline = Baseline::of(ticks.read_closely().0);
        let view = ArcSwap::from_pointee(View { sample: None, baseline, failure: None });
        let clock = Self { options, source, ticks, view, watch: Mutex::default() };
        clock.refresh();
        clock
    }

    /// The time now: an interval that contains it, and whether to trust that.
    pub fn now(&self) -> Reading {
        let view = self.view.load();
        let raw = self.ticks.read_fast(view.baseline.boot_minus_monotonic_ns);
        let fault = self.fault(&view, raw);
        // Without a sample there is no bound to state; the fault says that the interval means nothing.
        let sample = view.sample.as_ref();
        let (midpoint, uncertainty_ns) =
            sample.map_or((raw.realtime_ns, self.options.eps_max_ns), |sample| self.interval(sample, raw));
        Reading::new(
            TimeInterval::around(Timestamp(midpoint), uncertainty_ns),
            Monotonic(raw.monotonic_ns),
            fault.or_else(|| self.too_wide(uncertainty_ns)),
        )
    }

    /// Asks the source for a newer sample and looks for jumps. Off the hot path.
    pub fn refresh(&self) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = self.view.load_full();
        let (raw, witness) = self.ticks.read_closely();
        if view.sample.is_none() {
            // Nothing rests on how the clocks stood at the start; a step since then is no jump of what was sampled.
            let failure = view.failure.clone();
            view = Arc::new(View { sample: None, baseline: Baseline::of(raw), failure });
        }
        // Each looks, whatever the others saw: what is seen late would void a sample from after the jump.
        let (jump, pushed, disrupted) =
            (self.jump(&view, raw), pushed(&mut watch, witness), disrupted(&mut watch));
        let jump = jump.or(disrupted).or(pushed);
        if let Some(fault) = jump {
            self.source.disturbed(raw);
            watch.void_to = Some(view.sample.map_or(0, |sample| sample.number));
            watch.last_step = Some(Step { fault, at: Timestamp(raw.realtime_ns) });
            watch.witnesses = None;
            let evidence = format!("{fault}; what the {} source said before is void", self.source.name());
            // The old baseline would report the same jump for ever.
            let baseline = Baseline::of(raw);
            let failure = Some(SourceError { fault, evidence });
            self.view.store(Arc::new(View { sample: view.sample, baseline, failure }));
            return;
        }
        self.take_sample(&view, &mut watch, raw);
    }

    fn take_sample(&self, view: &View, watch: &mut Watch, raw: RawTime) {
        let void = |sample: &Sample| watch.void_to.is_some_and(|void_to| sample.number <= void_to);
        let next = match self.source.sample(raw) {
            Ok(sample) if void(&sample) => return,
            Ok(sample) => {
                watch.void_to = None;
                View { sample: Some(sample), baseline: view.baseline, failure: None }
            }
            // After a jump, what happened says more than that the source is silent.
            Err(_) if watch.void_to.is_some() => return,
            Err(failure) => View { sample: view.sample, baseline: view.baseline, failure: Some(failure) },
        };
        self.view.store(Arc::new(next));
    }

    /// State, source, bound and reason, for the operator.
    pub fn status(&self) -> ClockStatus {
        let reading = self.now();
        let view = self.view.load();
        let raw = self.ticks.read();
        let evidence = view.failure.as_ref().map(|failure| failure.evidence.clone());
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let vmclock = watch.vmclock.as_ref().and_then(VmClock::refusal);
        ClockStatus {
            state: reading.fault.map_or(ClockState::Trusted, ClockState::Untrusted),
            source: self.source.name(),
            uncertainty_ns: reading.interval.uncertainty_ns(),
            eps_max_ns: self.options.eps_max_ns,
            age_ns: view.sample.map_or(0, |sample| raw.boot_ns.saturating_sub(sample.at_boot_ns)),
            growth_ppb: view.sample.map_or(0, |sample| self.growth_ppb(&sample)),
            last_step: watch.last_step,
            leap: self.leap(view.sample.as_ref()),
            refused: self.source.refusals().into_iter().chain(vmclock).collect(),
            reason: reading.fault.map(|fault| evidence.unwrap_or_else(|| fault.to_string())),
        }
    }

    /// What the source says of a leap second; if it says nothing, what the kernel is about to do.
    fn leap(&self, sample: Option<&Sample>) -> Leap {
        let told = sample.map_or(Leap::Unknown, |sample| sample.leap);
        if told == Leap::Unknown { self.ticks.leap() } else { told }
    }

    pub fn eps_max_ns(&self) -> u64 {
        self.options.eps_max_ns
    }

    /// Midpoint and uncertainty that `sample` gives at `raw`.
    fn interval(&self, sample: &Sample, raw: RawTime) -> (u64, u64) {
        let age_ns = raw.boot_ns.saturating_sub(sample.at_boot_ns);
        let drifted = drift(sample.offset_drift_ppb, raw.boot_ns, sample.at_boot_ns);
        let midpoint = raw.realtime_ns.saturating_add_signed(sample.offset_ns).saturating_add_signed(drifted);
        let grown_ns = part(age_ns, self.growth_ppb(sample));
        (midpoint, sample.uncertainty_ns.saturating_add(grown_ns))
    }

    /// A bound that its source states for all times does not grow.
    fn growth_ppb(&self, sample: &Sample) -> u64 {
        if sample.growth_ppb == 0 { 0 } else { sample.growth_ppb.max(self.options.growth_ppb) }
    }

    fn too_wide(&self, uncertainty_ns: u64) -> Option<Fault> {
        let eps_max_ns = self.options.eps_max_ns;
        (uncertainty_ns > eps_max_ns).then_some(Fault::TooWide { uncertainty_ns, eps_max_ns })
    }

    fn fault(&self, view: &View, raw: RawTime) -> Option<Fault> {
        match (&view.failure, &view.sample) {
            (Some(failure), _) => Some(failure.fault),
            (None, None) => Some(Fault::Unsynchronised),
            (None, Some(_)) => self.jump(view, raw),
        }
    }

    /// A jump of one clock against another since the sample was taken in, if looking again does not explain it.
    fn jump(&self, view: &View, raw: RawTime) -> Option<Fault> {
        let mut jump = jump_in(view, raw);
        for _ in 1..LOOKS {
            jump?;
            jump = jump_in(view, self.ticks.read());
        }
        jump
    }
}

/// Whether the hypervisor says that the machine was torn out of time.
fn disrupted(watch: &mut Watch) -> Option<Fault> {
    watch.vmclock.as_mut()?.disrupted().map(|marker| Fault::Disrupted { marker })
}

/// Whether somebody slews the clock faster than any honest correction.
fn pushed(watch: &mut Watch, now: Witness) -> Option<Fault> {
    let (before, since) = watch.witnesses.unwrap_or((now, now));
    let is_old = now.raw_ns.saturating_sub(since.raw_ns) >= SLEW_SPAN_NS;
    watch.witnesses = Some(if is_old { (since, now) } else { (before, since) });
    let by_ns = signed_difference(now.monotonic_ns, before.monotonic_ns)
        - signed_difference(now.raw_ns, before.raw_ns);
    let elapsed_ns = now.raw_ns.saturating_sub(before.raw_ns);
    let allowed_ns = SLEW_TOLERANCE_NS + elapsed_ns / 1_000_000 * SLEW_PPM_MAX;
    (by_ns.unsigned_abs() > allowed_ns).then_some(Fault::Stepped { by_ns })
}

fn jump_in(view: &View, raw: RawTime) -> Option<Fault> {
    let found = Baseline::of(raw);
    let slept = found.boot_minus_monotonic_ns - view.baseline.boot_minus_monotonic_ns;
    if slept.unsigned_abs() > SUSPEND_TOLERANCE_NS {
        return Some(Fault::Suspended { for_ns: slept.unsigned_abs() });
    }
    let by_ns = found.wall_minus_monotonic_ns - view.baseline.wall_minus_monotonic_ns;
    let tolerance_ns = view.sample.map_or(u64::MAX, |sample| sample.step_tolerance_ns);
    (by_ns.unsigned_abs() > tolerance_ns).then_some(Fault::Stepped { by_ns })
}

/// `a - b`; clocks are far from 2^63 nanoseconds.
fn signed_difference(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b).cast_signed()
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("source", &self.source.name())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
