//! What a clock says: not a time but an interval that contains it.

use std::fmt;

use crate::types::{Monotonic, NodeId, Timestamp};

/// `[earliest, latest]`, which contains true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeInterval {
    pub earliest: Timestamp,
    pub latest: Timestamp,
}

impl TimeInterval {
    /// What can be said without a clock.
    pub const UNKNOWN: Self = Self { earliest: Timestamp::ZERO, latest: Timestamp::MAX };

    /// The interval of `uncertainty_ns` on both sides of `midpoint`.
    pub fn around(midpoint: Timestamp, uncertainty_ns: u64) -> Self {
        Self { earliest: midpoint.minus_ns(uncertainty_ns), latest: midpoint.plus_ns(uncertainty_ns) }
    }

    /// Half the interval's width.
    pub fn uncertainty_ns(&self) -> u64 {
        self.latest.ns_since(self.earliest) / 2
    }
}

/// Why a clock must not be used to assign, expose or promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The source has given no sample yet, or says itself that it is not synchronised.
    Unsynchronised,
    /// The uncertainty is above `eps_max`.
    TooWide { uncertainty_ns: u64, eps_max_ns: u64 },
    /// The wall clock jumped against the monotonic clock by this much.
    Stepped { by_ns: i64 },
    /// The machine slept: the boot clock ran on by this much while the monotonic clock stood.
    Suspended { for_ns: u64 },
    /// The hypervisor says that the machine was moved, restored or otherwise torn out of time.
    Disrupted { marker: u64 },
    /// The injection file or the source could not be read.
    Unreadable,
    /// A majority of the cluster's clocks can be right together, and this one misses it by that much.
    Outvoted { by_ns: u64 },
    /// All clocks that can be heard were, more than half of them, and no majority can be right together.
    NoMajority,
    /// A peer stated a time that much later than this clock holds possible; a vote is to tell which of the two is wrong.
    Contradicted { by: NodeId, by_ns: u64 },
}

impl Fault {
    /// One word, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unsynchronised => "unsynchronised",
            Self::TooWide { .. } => "too-wide",
            Self::Stepped { .. } => "stepped",
            Self::Suspended { .. } => "suspended",
            Self::Disrupted { .. } => "disrupted",
            Self::Unreadable => "unreadable",
            Self::Outvoted { .. } => "outvoted",
            Self::NoMajority => "no-majority",
            Self::Contradicted { .. } => "contradicted",
        }
    }

    /// It is not told yet whether this clock is at fault: it exposes nothing, and nothing else follows.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Contradicted { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsynchronised => f.write_str("the time source is not synchronised"),
            Self::TooWide { uncertainty_ns, eps_max_ns } => write!(
                f,
                "the clock's uncertainty of {uncertainty_ns} ns is above clock.eps_max of {eps_max_ns} ns"
            ),
            Self::Stepped { by_ns } => write!(f, "the wall clock stepped by {by_ns} ns"),
            Self::Suspended { for_ns } => write!(f, "the machine was suspended for {for_ns} ns"),
            Self::Disrupted { marker } => {
                write!(f, "the hypervisor says that this machine's clock was disrupted (marker {marker})")
            }
            Self::Unreadable => f.write_str("the time source cannot be read"),
            Self::Outvoted { by_ns } => {
                write!(f, "the clock misses the majority of the cluster's clocks by {by_ns} ns")
            }
            Self::NoMajority => f.write_str("no majority of the cluster's clocks can be right together"),
            Self::Contradicted { by, by_ns } => write!(
                f,
                "node {by} stated a time {by_ns} ns later than this clock holds possible, and it is not told yet which of \
                 the two is wrong"
            ),
        }
    }
}

/// One look at a node's clock: everything a core needs to know of time, as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub interval: TimeInterval,
    pub monotonic: Monotonic,
    /// What is stamped below this is past and may be exposed: `interval.earliest`, or less where a quorum's clocks must have
    /// passed it, too.
    pub past: Timestamp,
    /// `None` if the clock is trusted.
    pub fault: Option<Fault>,
}

impl Reading {
    /// A reading of one clock by itself.
    pub fn new(interval: TimeInterval, monotonic: Monotonic, fault: Option<Fault>) -> Self {
        Self { interval, monotonic, past: interval.earliest, fault }
    }

    pub fn is_trusted(&self) -> bool {
        self.fault.is_none()
    }
}

/// How far `ppb` has run between two moments, backwards too.
pub(super) fn drift(ppb: i64, at_ns: u64, since_ns: u64) -> i64 {
    let magnitude_ns = part(at_ns.abs_diff(since_ns), ppb.unsigned_abs());
    let magnitude_ns = i64::try_from(magnitude_ns).unwrap_or(i64::MAX);
    if (at_ns < since_ns) == (ppb < 0) { magnitude_ns } else { -magnitude_ns }
}

/// So many parts per billion of a time, or the most there is. Products that fit into 64 bits, all but absurd ones, are spared
/// a division of 128, which would be a third of a look at the clock.
pub(super) fn part(elapsed_ns: u64, ppb: u64) -> u64 {
    const WHOLE: u64 = 1_000_000_000;
    elapsed_ns.checked_mul(ppb).map_or_else(
        || u64::try_from(u128::from(elapsed_ns) * u128::from(ppb) / u128::from(WHOLE)).unwrap_or(u64::MAX),
        |product| product / WHOLE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_time_is_the_same_in_64_and_in_128_bits_and_ends_at_the_most_there_is() {
        assert_eq!(part(2_000_000_000, 50_000), 100_000);
        assert_eq!(part(u64::MAX, 0), 0);
        assert_eq!(part(u64::MAX, 1_000_000_000), u64::MAX);
        assert_eq!(part(u64::MAX, 2_000_000_000), u64::MAX);
        let edge = u64::MAX / 50_000;
        for elapsed_ns in [edge - 1, edge, edge + 1, edge + 20_000_000] {
            let exact = u128::from(elapsed_ns) * 50_000 / 1_000_000_000;
            assert_eq!(u128::from(part(elapsed_ns, 50_000)), exact);
        }
    }

    #[test]
    fn a_drift_runs_both_ways_from_its_moment() {
        for (ppb, at_ns, drifted_ns) in [
            (1_000, 3_000_000_000, 2_000),
            (-1_000, 3_000_000_000, -2_000),
            (1_000, 0, -1_000),
            (-1_000, 0, 1_000),
            (0, 3_000_000_000, 0),
            (i64::MIN, u64::MAX, -i64::MAX),
        ] {
            assert_eq!(drift(ppb, at_ns, 1_000_000_000), drifted_ns, "{ppb} {at_ns}");
        }
    }
}
