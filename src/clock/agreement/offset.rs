//! What one peer's statements prove of true time, and of its midpoint, measured on this node's monotonic clock.
//!
//! Knows nothing of who else states what. Two proofs, neither of which assumes anything of a delay but that it is not
//! negative. With `[e, l]` for an interval that a peer states and `m` for this node's monotonic clock:
//!
//! - A message stamped `[e, l]` when it was sent arrives at `m`: true time is by now at least `e`, so
//!   `true - monotonic >= e - m`.
//! - A question leaves at `m1`, finds the peer at `[e2, l2]`, and is answered at `[e3, l3]`; the answer arrives at `m4`.
//!   True time at `m1` was at most `l2`, at `m4` it is at least `e3`: `e3 - m4 <= true - monotonic <= l2 - m1`. With
//!   midpoints in place of the interval's ends this is `t3 - t4 <= theta <= t2 - t1` (Marzullo 1984; RFC 5905, section 8,
//!   without its assumption that both ways take equally long).
//!
//! The clock that a bound is kept on drifts, so each widens with its age. Of all bounds in a window the tightest counts: a
//! monotonic queue holds, in order, those that can still become it. Invariant: as long as the peer's statements are true,
//! and this node's monotonic clock neither stood still nor jumped, the span contains the truth; if it stood still, the lower
//! end is true all the same.

use std::collections::VecDeque;

use crate::clock::TimeInterval;
use crate::types::{Monotonic, Timestamp};

/// Older bounds no longer count.
const WINDOW_NS: u64 = 16_000_000_000;
/// Bounds kept on each side.
const BOUNDS_MAX: usize = 64;

/// A closed range of nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub low_ns: i64,
    pub high_ns: i64,
}

impl Span {
    /// Of true time minus the monotonic clock, as `interval` has it when that clock shows `at`.
    pub fn of(interval: TimeInterval, at: Monotonic) -> Self {
        Self { low_ns: difference(interval.earliest, at), high_ns: difference(interval.latest, at) }
    }

    pub fn touches(&self, other: &Self) -> bool {
        self.low_ns <= other.high_ns && other.low_ns <= self.high_ns
    }

    /// How far apart the two are; 0 if they touch.
    pub fn gap_ns(&self, other: &Self) -> u64 {
        let gap = self.low_ns.saturating_sub(other.high_ns).max(other.low_ns.saturating_sub(self.high_ns));
        u64::try_from(gap).unwrap_or(0)
    }

    /// The least span that contains both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { low_ns: self.low_ns.min(other.low_ns), high_ns: self.high_ns.max(other.high_ns) }
    }

    /// Moved by `by_ns`.
    #[must_use]
    pub fn shifted(&self, by_ns: i64) -> Self {
        Self { low_ns: self.low_ns.saturating_add(by_ns), high_ns: self.high_ns.saturating_add(by_ns) }
    }

    /// Wider by `by_ns` on both sides.
    #[must_use]
    pub fn widened(&self, by_ns: i64) -> Self {
        Self { low_ns: self.low_ns.saturating_sub(by_ns), high_ns: self.high_ns.saturating_add(by_ns) }
    }
}

/// A question that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When the question left here.
    pub asked: Monotonic,
    /// The peer's interval when the question reached it.
    pub received: TimeInterval,
    /// The peer's interval when its answer left.
    pub answered: TimeInterval,
    pub arrived: Monotonic,
}

/// One side of a span, as it was when proved.
#[derive(Clone, Copy, Debug)]
struct Bound {
    at: Monotonic,
    ns: i64,
    /// From the peer's midpoint to that end of its interval.
    uncertainty_ns: i64,
}

/// What a peer's statements of the last seconds prove together.
#[derive(Clone, Debug)]
pub struct Offsets {
    growth_ppb: u64,
    lows: VecDeque<Bound>,
    highs: VecDeque<Bound>,
}

impl Offsets {
    /// `growth_ppb`: how fast a clock may drift.
    pub fn new(growth_ppb: u64) -> Self {
        Self { growth_ppb, lows: VecDeque::new(), highs: VecDeque::new() }
    }

    /// Takes what a message proves that was stamped `stated` when it left the peer. Whether it contradicts what the peer
    /// stated before: then a clock jumped, and only the new counts.
    pub fn note_message(&mut self, stated: TimeInterval, arrived: Monotonic) -> bool {
        self.note(low_bound(stated, arrived), None, arrived)
    }

    /// Takes what an answer proves; whether that contradicts what was known.
    pub fn note_answer(&mut self, answer: &Answer) -> bool {
        let high = high_bound(answer.received, answer.asked);
        self.note(low_bound(answer.answered, answer.arrived), high, answer.arrived)
    }

    fn note(&mut self, low: Option<Bound>, high: Option<Bound>, now: Monotonic) -> bool {
        self.keep(low, high);
        let jumped = self.is_contradictory(now);
        if jumped {
            self.lows.clear();
            self.highs.clear();
            self.keep(low, high);
            // It jumped between question and answer.
            if self.is_contradictory(now) {
                self.highs.clear();
            }
        }
        jumped
    }

    fn is_contradictory(&self, now: Monotonic) -> bool {
        self.low_ns(now).zip(self.high_ns(now)).is_some_and(|(low, high)| low > high)
    }

    fn keep(&mut self, low: Option<Bound>, high: Option<Bound>) {
        let growth_ppb = self.growth_ppb;
        if let Some(low) = low {
            keep(&mut self.lows, low, |old, new, age_ns| {
                old.ns.saturating_sub(drift(growth_ppb, age_ns)) > new.ns
            });
        }
        if let Some(high) = high {
            keep(&mut self.highs, high, |old, new, age_ns| {
                old.ns.saturating_add(drift(growth_ppb, age_ns)) < new.ns
            });
        }
    }

    /// This machine may have stood still, and its monotonic clock with it: true time may be later by now than upper ends
    /// say. Lower ends only say less than they could.
    pub fn forget_highs(&mut self) {
        self.highs.clear();
    }

    /// The least that true time can be above the monotonic clock, if the peer is right.
    pub fn low_ns(&self, now: Monotonic) -> Option<i64> {
        let low = self.lows.front()?;
        Some(low.ns.saturating_sub(self.drift_since(low.at, now)))
    }

    fn high_ns(&self, now: Monotonic) -> Option<i64> {
        let high = self.highs.front()?;
        Some(high.ns.saturating_add(self.drift_since(high.at, now)))
    }

    /// Where true time minus the monotonic clock lies, if the peer is right. `None` until it answered a question.
    pub fn span(&self, now: Monotonic) -> Option<Span> {
        Some(Span { low_ns: self.low_ns(now)?, high_ns: self.high_ns(now)? })
    }

    /// Where the peer's midpoint minus the monotonic clock lies. Both clocks drift. A midpoint that moved between the two
    /// proofs, inside a bound that grew meanwhile, was at both ends.
    pub fn midpoint(&self, now: Monotonic) -> Option<Span> {
        let (low, high) = (self.lows.front()?, self.highs.front()?);
        let widened = |bound: &Bound| 2 * self.drift_since(bound.at, now);
        let around = |ns: i64, by_ns: i64| Span { low_ns: ns, high_ns: ns }.widened(by_ns);
        let low = around(low.ns.saturating_add(low.uncertainty_ns), widened(low));
        let high = around(high.ns.saturating_sub(high.uncertainty_ns), widened(high));
        Some(Span { low_ns: low.low_ns.min(high.low_ns), high_ns: high.high_ns.max(low.high_ns) })
    }

    fn drift_since(&self, at: Monotonic, now: Monotonic) -> i64 {
        drift(self.growth_ppb, now.0.saturating_sub(at.0))
    }
}

/// Adds a bound behind those that count for more than it now, and for ever: all widen alike. `beats(old, new, age)` says
/// whether the old one, so much older, is still the tighter one.
fn keep(bounds: &mut VecDeque<Bound>, new: Bound, beats: impl Fn(&Bound, &Bound, u64) -> bool) {
    let age_ns = |old: &Bound| new.at.0.saturating_sub(old.at.0);
    while bounds.back().is_some_and(|old| !beats(old, &new, age_ns(old))) {
        bounds.pop_back();
    }
    while bounds.front().is_some_and(|old| age_ns(old) > WINDOW_NS) || bounds.len() >= BOUNDS_MAX {
        bounds.pop_front();
    }
    bounds.push_back(new);
}

/// How far a clock may drift in that time, in ns, rounded up.
pub(super) fn drift(growth_ppb: u64, elapsed_ns: u64) -> i64 {
    let drifted = u128::from(elapsed_ns) * u128::from(growth_ppb) / 1_000_000_000 + 1;
    i64::try_from(drifted).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

fn low_bound(stated: TimeInterval, at: Monotonic) -> Option<Bound> {
    let uncertainty_ns = i64::try_from(stated.uncertainty_ns()).unwrap_or(i64::MAX);
    let is_bounded = stated.earliest > Timestamp::ZERO;
    is_bounded.then(|| Bound { at, ns: difference(stated.earliest, at), uncertainty_ns })
}

fn high_bound(stated: TimeInterval, at: Monotonic) -> Option<Bound> {
    let uncertainty_ns = i64::try_from(stated.uncertainty_ns()).unwrap_or(i64::MAX);
    let is_bounded = stated.latest < Timestamp::MAX;
    is_bounded.then(|| Bound { at, ns: difference(stated.latest, at), uncertainty_ns })
}

fn difference(time: Timestamp, at: Monotonic) -> i64 {
    let difference = i128::from(time.0) - i128::from(at.0);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}
