//! A stretch of a shard's timestamps whose order against other shards is not guaranteed.
//!
//! Knows nothing of how a wrong clock is found, nor of bytes.

use std::fmt;

use super::{NodeId, Timestamp};

/// What the leader says in the log once a clock's bound turned out to have been false (docs/TIME.md, "Marks"). Within the
/// shard timestamps strictly rise all the same, and nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderMark {
    /// Whose clock was wrong; of [`MarkReason::NoMajority`], the node that could not tell whose.
    pub node: NodeId,
    /// The first timestamp concerned.
    pub from: Timestamp,
    /// The last one.
    pub until: Timestamp,
    /// How far the clock missed what a majority agreed on; 0 if no majority agreed.
    pub off_by_ns: u64,
    pub reason: MarkReason,
}

/// Why a bound does not count as true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkReason {
    /// More than half of the cluster's clocks can be right together, and not with this one.
    Outvoted,
    /// No majority of the clocks can be right together, so that any of them may be wrong.
    NoMajority,
}

impl MarkReason {
    /// As scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outvoted => "outvoted",
            Self::NoMajority => "no_majority",
        }
    }
}

impl OrderMark {
    /// Whether the order of what is stamped `timestamp` is not guaranteed.
    pub fn covers(&self, timestamp: Timestamp) -> bool {
        (self.from..=self.until).contains(&timestamp)
    }

    /// Why, in words.
    pub fn why(&self) -> String {
        let Self { node, off_by_ns, .. } = self;
        match self.reason {
            MarkReason::Outvoted => {
                let (ms, us) = (off_by_ns / 1_000_000, off_by_ns % 1_000_000 / 1_000);
                format!("the clock of node {node} missed the majority by {ms}.{us:03} ms")
            }
            MarkReason::NoMajority => {
                format!("no majority of the nodes' clocks agreed, as node {node} found")
            }
        }
    }
}

impl fmt::Display for OrderMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until, .. } = self;
        write!(f, "order not guaranteed from {from} to {until}: {}", self.why())
    }
}
