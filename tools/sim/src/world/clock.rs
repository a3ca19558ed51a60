//! A node's clock: the production one, on hands that the world moves.
//!
//! Invariant: while it does not lie, a sample's interval contains true time when it is taken, and the hands drift by no
//! more than the bound grows.

use std::sync::Arc;
use std::time::Duration;

use timberline::clock::{Clock, ClockOptions, Reading, Simulated, SimulatedTicks};
use timberline::types::Monotonic;

use super::scene::EPOCH_NS;
use crate::plan::{Plan, SECOND};
use crate::random::Random;

/// What an honest error stays below its bound by: hands move in whole nanoseconds.
const ROUNDING_NS: u64 = 50;

/// A lie from here on is beyond everything that slow links and wide bounds may hide.
pub(crate) const VISIBLE_LIE_NS: u64 = 10 * SECOND;

/// Whether no vote can miss such a lie.
pub(crate) fn is_visible(lie_ns: i64) -> bool {
    lie_ns.unsigned_abs() >= VISIBLE_LIE_NS
}

pub(crate) struct NodeClock {
    clock: Clock,
    source: Simulated,
    ticks: SimulatedTicks,
    drift_ppb: i64,
    /// True time up to which the hands were moved, and what of a nanosecond is left over.
    moved_ns: u64,
    rest: i64,
    eps_ns: u64,
    growth_ppb: u64,
    /// The error sits at this end of the bound.
    at_end: Option<i64>,
    /// What samples are off by from now on.
    pub(crate) lie_ns: i64,
    /// What the last sample was off by, and since when samples are off by so much that no vote can miss it.
    pub(super) told_lie_ns: i64,
    lies_since_ns: u64,
    /// The clock has looked at its source since the last sample.
    is_taken_in: bool,
    /// How far the machine has stood still since the last sample.
    slipped_ns: u64,
    /// No samples come, and the bound widens.
    pub(crate) starved: bool,
    /// The source says that it has lost its reference.
    pub(crate) lost: bool,
}

impl NodeClock {
    pub(crate) fn new(plan: &Plan, at_bound: bool, random: &mut Random) -> Self {
        let source = Simulated::default();
        // The wall clock of a machine is off by anything; only the source knows.
        let ticks = SimulatedTicks::starting_at(EPOCH_NS.saturating_add_signed(random.sign(10_000_000_000)));
        let options = ClockOptions { eps_max_ns: plan.eps_max_ns, growth_ppb: plan.growth_ppb };
        // A slow clock counts the age of its sample too low as well: an effect of second order.
        let second_order_ppb = 2 * plan.growth_ppb * plan.growth_ppb / 1_000_000_000;
        let drift_max = plan.growth_ppb.saturating_sub(1000 + second_order_ppb);
        let drift_ppb = if at_bound { random.sign(drift_max) } else { random.sign(drift_max) / 3 };
        let at_end = at_bound.then(|| random.sign(plan.eps_ns - ROUNDING_NS));
        let clock = Clock::simulated(options, Arc::new(source.clone()), ticks.clone());
        Self {
            clock,
            source,
            ticks,
            drift_ppb,
            moved_ns: 0,
            rest: 0,
            eps_ns: plan.eps_ns,
            growth_ppb: plan.growth_ppb,
            at_end,
            lie_ns: 0,
            told_lie_ns: 0,
            lies_since_ns: 0,
            is_taken_in: false,
            slipped_ns: 0,
            starved: false,
            lost: false,
        }
    }

    /// Moves the hands to true time `now_ns`; those of a sleeping machine were moved to its end already.
    fn move_to(&mut self, now_ns: u64) {
        if self.is_asleep(now_ns) {
            return;
        }
        let elapsed_ns = now_ns.saturating_sub(self.moved_ns);
        let drifted = i128::from(elapsed_ns) * i128::from(self.drift_ppb) + i128::from(self.rest);
        let whole = (drifted / 1_000_000_000) as i64;
        self.rest = (drifted % 1_000_000_000) as i64;
        self.moved_ns = now_ns;
        self.ticks.advance(Duration::from_nanos(elapsed_ns.saturating_add_signed(whole)));
    }

    pub(crate) fn read(&mut self, now_ns: u64) -> Reading {
        self.move_to(now_ns);
        self.clock.now()
    }

    fn is_asleep(&self, now_ns: u64) -> bool {
        now_ns < self.moved_ns
    }

    pub(crate) fn refresh(&mut self, now_ns: u64) {
        if !self.is_asleep(now_ns) {
            self.move_to(now_ns);
            self.clock.refresh();
            self.is_taken_in = true;
        }
    }

    /// The source takes a sample, unless it cannot; whether it did.
    pub(crate) fn sample(&mut self, now_ns: u64, random: &mut Random) -> bool {
        if self.is_asleep(now_ns) {
            return false;
        }
        self.move_to(now_ns);
        if self.lost {
            self.source.lose();
        } else if !self.starved {
            let error_ns = self.at_end.unwrap_or_else(|| {
                let size_ns = random.below(self.eps_ns - ROUNDING_NS);
                random.sign(size_ns)
            });
            let raw = self.ticks.read();
            let true_offset_ns = (EPOCH_NS + now_ns).cast_signed() - raw.realtime_ns.cast_signed();
            self.source.set(raw, true_offset_ns + error_ns + self.lie_ns, self.eps_ns, self.growth_ppb);
            self.is_taken_in = false;
            if !is_visible(self.told_lie_ns) {
                self.lies_since_ns = now_ns;
            }
            (self.told_lie_ns, self.slipped_ns) = (self.lie_ns, 0);
        }
        !self.lost && !self.starved
    }

    /// What the clock is off by while nothing on the machine tells: by its samples, and by having stood still.
    pub(super) fn error(&self) -> (i64, u64) {
        (self.told_lie_ns, self.slipped_ns)
    }

    /// What the clock shows comes of a wrong sample, or of a machine that stood still since.
    pub(crate) fn shows_wrong(&self) -> bool {
        self.is_wrong() && self.is_taken_in
    }

    /// The bound is broken, and nothing on the machine tells.
    pub(crate) fn is_wrong(&self) -> bool {
        self.told_lie_ns != 0 || self.slipped_ns > 0
    }

    /// For how long samples have been off by so much that no vote can miss it; 0 if they are not.
    pub(crate) fn lies_visibly_for_ns(&self, now_ns: u64) -> u64 {
        if is_visible(self.told_lie_ns) { now_ns.saturating_sub(self.lies_since_ns) } else { 0 }
    }

    /// The machine stands still until then, and all its clocks with it.
    pub(crate) fn freeze_until(&mut self, now_ns: u64, until_ns: u64) {
        self.move_to(now_ns);
        self.slipped_ns += until_ns.saturating_sub(self.moved_ns);
        self.moved_ns = self.moved_ns.max(until_ns);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn step(&mut self, now_ns: u64, by_ns: i64) {
        if !self.is_asleep(now_ns) {
            self.move_to(now_ns);
            self.ticks.step(by_ns);
        }
    }

    /// The machine sleeps until then: wall and boot clock run on, the monotonic one stands.
    pub(crate) fn sleep_until(&mut self, now_ns: u64, until_ns: u64) {
        self.move_to(now_ns);
        let slept_ns = until_ns.saturating_sub(self.moved_ns);
        self.ticks.suspend(Duration::from_nanos(slept_ns));
        self.moved_ns += slept_ns;
    }

    /// How much true time passes until the monotonic clock shows `due`.
    pub(crate) fn until_ns(&self, due: Monotonic, now: &Reading) -> u64 {
        let local_ns = i128::from(due.0.saturating_sub(now.monotonic.0));
        let ns = local_ns * 1_000_000_000 / (1_000_000_000 + i128::from(self.drift_ppb));
        u64::try_from(ns).unwrap_or(u64::MAX).saturating_add(1)
    }
}
