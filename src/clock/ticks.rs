//! The raw clocks underneath: the operating system's four, or ones moved by hand.
//!
//! `CLOCK_REALTIME` gives values, BOOTTIME ages, MONOTONIC timers; the kernel slews REALTIME and MONOTONIC alike, so
//! their difference changes only when REALTIME is stepped. `MONOTONIC_RAW` is slewed by nobody and witnesses
//! that the slewing stays slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Leap;
use crate::timex;

/// How often the clocks are looked at to find how they stand to each other.
const CLOSE_LOOKS: usize = 8;

/// One look at the clocks a reading needs, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawTime {
    pub realtime_ns: u64,
    pub monotonic_ns: u64,
    pub boot_ns: u64,
}

/// Where raw time comes from.
#[derive(Clone, Debug)]
pub(super) enum Ticks {
    Os,
    ByHand(SimulatedTicks),
}

impl Ticks {
    /// Wall and monotonic clock; the boot clock as it was found to stand to the monotonic one. A sleep since then
    /// shows in the wall clock, which runs on.
    pub(super) fn read_fast(&self, boot_minus_monotonic_ns: i64) -> RawTime {
        match self {
            Self::Os => {
                let (realtime_ns, monotonic_ns) = (os_ns(ClockId::Realtime), os_ns(ClockId::Monotonic));
                let boot_ns = monotonic_ns.saturating_add_signed(boot_minus_monotonic_ns);
                RawTime { realtime_ns, monotonic_ns, boot_ns }
            }
            Self::ByHand(ticks) => {
                let raw = ticks.read();
                let boot_ns = raw.monotonic_ns.saturating_add_signed(boot_minus_monotonic_ns);
                RawTime { boot_ns, ..raw }
            }
        }
    }

    /// All three clocks.
    pub(super) fn read(&self) -> RawTime {
        match self {
            Self::Os => RawTime {
                realtime_ns: os_ns(ClockId::Realtime),
                monotonic_ns: os_ns(ClockId::Monotonic),
                boot_ns: os_ns(ClockId::Boottime),
            },
            Self::ByHand(ticks) => ticks.read(),
        }
    }

    /// The clocks as they stand to each other: of several looks the one that took least, because a thread that is
    /// preempted between two clock reads sees a difference that is not there.
    pub(super) fn read_closely(&self) -> (RawTime, Witness) {
        let looks = (0..CLOSE_LOOKS).map(|_| self.look());
        let (_, raw, witness) = looks.min_by_key(|(took_ns, ..)| *took_ns).unwrap_or_default();
        (raw, witness)
    }

    /// The leap second that the operating system is about to make.
    pub(super) fn leap(&self) -> Leap {
        match self {
            Self::Os => timex::read().map_or(Leap::Unknown, |clock| Leap::of(&clock)),
            Self::ByHand(_) => Leap::Unknown,
        }
    }

    fn look(&self) -> (u64, RawTime, Witness) {
        let before = self.read();
        let raw_ns = match self {
            Self::Os => os_ns(ClockId::MonotonicRaw),
            Self::ByHand(ticks) => ticks.0.raw.load(Ordering::Relaxed),
        };
        let took_ns = self.read().monotonic_ns.saturating_sub(before.monotonic_ns);
        (took_ns, before, Witness { monotonic_ns: before.monotonic_ns, raw_ns })
    }
}

/// The slewed and the unslewed clock at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Witness {
    pub(super) monotonic_ns: u64,
    pub(super) raw_ns: u64,
}

fn os_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(now.tv_nsec.cast_unsigned())
}

/// Raw clocks moved by hand: for tests and simulation. Clones are handles to the same clocks.
#[derive(Clone, Debug, Default)]
pub struct SimulatedTicks(Arc<Hands>);

/// What each clock shows, in nanoseconds.
#[derive(Debug, Default)]
struct Hands {
    realtime: AtomicU64,
    monotonic: AtomicU64,
    boot: AtomicU64,
    raw: AtomicU64,
}

impl SimulatedTicks {
    /// Clocks of a machine that booted when its wall clock showed `realtime_ns`.
    pub fn starting_at(realtime_ns: u64) -> Self {
        let ticks = Self::default();
        ticks.0.realtime.store(realtime_ns, Ordering::Relaxed);
        ticks
    }

    /// Time passes, for all clocks alike.
    pub fn advance(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        for clock in [&self.0.realtime, &self.0.monotonic, &self.0.boot, &self.0.raw] {
            clock.fetch_add(ns, Ordering::Relaxed);
        }
    }

    /// Somebody sets the wall clock.
    pub fn step(&self, by_ns: i64) {
        self.0.realtime.fetch_add(by_ns.cast_unsigned(), Ordering::Relaxed);
    }

    /// The machine sleeps: wall and boot clock run on.
    pub fn suspend(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        for clock in [&self.0.realtime, &self.0.boot] {
            clock.fetch_add(ns, Ordering::Relaxed);
        }
    }

    /// The kernel slews wall and monotonic clock by `by_ns` against the unslewed one.
    pub fn slew(&self, by_ns: i64) {
        for clock in [&self.0.realtime, &self.0.monotonic, &self.0.boot] {
            clock.fetch_add(by_ns.cast_unsigned(), Ordering::Relaxed);
        }
    }

    /// What the clocks show.
    pub fn read(&self) -> RawTime {
        RawTime {
            realtime_ns: self.0.realtime.load(Ordering::Relaxed),
            monotonic_ns: self.0.monotonic.load(Ordering::Relaxed),
            boot_ns: self.0.boot.load(Ordering::Relaxed),
        }
    }
}
