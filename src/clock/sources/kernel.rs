//! The kernel's `maxerror`, if the operator attests which daemon writes it.
//!
//! The kernel itself knows nothing: it repeats what the daemon wrote last, grown by 500 ppm, in steps of a second. Some
//! daemons write 0, which is no bound. Invariant: after a jump nothing is believed before a daemon has written again,
//! which shows in a `maxerror` that falls.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::clock::source::{Leap, Sample, SourceError, TimeSource};
use crate::clock::ticks::RawTime;
use crate::timex::{self, KernelClock};

/// The kernel's word changes once a second.
const ASK_EVERY_NS: u64 = 1_000_000_000;
const DAEMONS: &str = "chronyd, ntpd or ntpd-rs";

#[derive(Debug)]
enum Trust {
    Holds,
    /// A jump was seen while `maxerror` stood there, or is yet to be looked at.
    AwaitsWriter {
        maxerror_us: Option<i64>,
    },
}

impl Trust {
    /// Whether what the kernel says now was written since the jump.
    fn look(&mut self, maxerror_us: i64) -> bool {
        if let Self::AwaitsWriter { maxerror_us: before } = self {
            if before.is_none_or(|before| maxerror_us >= before) {
                *before = Some(maxerror_us);
                return false;
            }
            *self = Self::Holds;
        }
        true
    }
}

#[derive(Debug)]
struct State {
    trust: Trust,
    asked_at_boot_ns: Option<u64>,
    answer: Result<Sample, SourceError>,
    number: u64,
}

/// The bound that an attested daemon left with the kernel.
pub struct Kernel {
    /// The daemon that the operator attests.
    writer: Option<String>,
    growth_ppb: u64,
    ask: Ask,
    state: Mutex<State>,
}

type Ask = Box<dyn Fn() -> io::Result<KernelClock> + Send + Sync>;

impl Kernel {
    /// `writer` is the daemon that writes `maxerror`, by the operator's word. `growth_ppb` is how fast a clock is taken to
    /// drift at most.
    pub fn new(writer: Option<String>, growth_ppb: u64) -> Self {
        Self::asking(writer, growth_ppb, Box::new(timex::read))
    }

    pub(super) fn asking(writer: Option<String>, growth_ppb: u64, ask: Ask) -> Self {
        let answer = Err(SourceError::unsynchronised("the kernel was not asked yet".to_owned()));
        let state = State { trust: Trust::Holds, asked_at_boot_ns: None, answer, number: 0 };
        Self { writer, growth_ppb, ask, state: Mutex::new(state) }
    }

    fn judge(&self, state: &mut State, now: RawTime) -> Result<Sample, SourceError> {
        let Some(writer) = &self.writer else {
            return Err(SourceError::unsynchronised(format!(
                "the kernel's maxerror is not believed: nobody attests who writes it; if it is {DAEMONS}, say so in \
                 clock.kernel_attested"
            )));
        };
        let clock = (self.ask)().map_err(|error| {
            SourceError::unreadable(format!(
                "adjtimex cannot be called: {error}; allow it in the sandbox of this process"
            ))
        })?;
        let is_written = state.trust.look(clock.maxerror_us);
        refuse(&clock, writer).map_err(SourceError::unsynchronised)?;
        if !is_written {
            return Err(SourceError::unsynchronised(format!(
                "{writer} has not written the kernel's maxerror since the clock jumped; it does so with its next update"
            )));
        }
        state.number += 1;
        // The kernel adds at the end of each second: what grew in the one under way, a nanosecond for each part per billion,
        // is not in it, nor what a microsecond rounds off.
        let unfinished_ns = self.growth_ppb.saturating_add(1_000);
        let parts_ns =
            [clock.maxerror_us.unsigned_abs().saturating_mul(1_000), clock.offset_ns.unsigned_abs()];
        let bound_ns = parts_ns.into_iter().fold(unfinished_ns, u64::saturating_add);
        let sample = Sample::measured(state.number, now.boot_ns, bound_ns, self.growth_ppb);
        Ok(Sample { leap: Leap::of(&clock), ..sample })
    }
}

fn refuse(clock: &KernelClock, writer: &str) -> Result<(), String> {
    if clock.is_unsynchronised {
        return Err(format!(
            "adjtimex says STA_UNSYNC: {writer} is not synchronised or not running, or the clock was set by hand since it \
             wrote; see its status"
        ));
    }
    if clock.maxerror_us <= 0 {
        return Err(format!(
            "adjtimex gives maxerror = {}, which no {writer} writes: systemd-timesyncd and linuxptp do, and know no bound; run \
             {DAEMONS} alone, or use another clock.source",
            clock.maxerror_us
        ));
    }
    Ok(())
}

impl TimeSource for Kernel {
    fn name(&self) -> String {
        "kernel".to_owned()
    }

    fn sample(&self, now: RawTime) -> Result<Sample, SourceError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |asked: u64| now.boot_ns.saturating_sub(asked) < ASK_EVERY_NS;
        if !state.asked_at_boot_ns.is_some_and(recent) {
            state.asked_at_boot_ns = Some(now.boot_ns);
            state.answer = self.judge(&mut state, now);
        }
        state.answer.clone()
    }

    fn disturbed(&self, _now: RawTime) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.trust = Trust::AwaitsWriter { maxerror_us: None };
        state.asked_at_boot_ns = None;
    }
}
