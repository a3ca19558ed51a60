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
    /// `None` if the clock is trusted.
    pub fault: Option<Fault>,
}

impl Reading {
    pub fn is_trusted(&self) -> bool {
        self.fault.is_none()
    }
}

/// How far `ppb` has run between two moments, backwards too.
pub(super) fn drift(ppb: i64, at_ns: u64, since_ns: u64) -> i64 {
    let elapsed = i128::from(at_ns) - i128::from(since_ns);
    let drifted = elapsed * i128::from(ppb) / 1_000_000_000;
    i64::try_from(drifted).unwrap_or(if drifted < 0 { i64::MIN } else { i64::MAX })
}
