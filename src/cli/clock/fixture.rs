//! Clocks for tests of what is shown of them.

use crate::client::{ClockInfo, ClockPeerInfo};
use crate::types::{NodeId, Timestamp};

/// A trusted clock of a node, with that uncertainty.
pub(in crate::cli) fn clock(node: u64, uncertainty_ns: u64) -> ClockInfo {
    let midpoint = Timestamp(1_700_000_000_000_000_000);
    ClockInfo {
        node: NodeId(node),
        state: "trusted".to_owned(),
        source: "declared".to_owned(),
        uncertainty_ns,
        age_ns: 0,
        drift_ppb: 0,
        earliest: midpoint.minus_ns(uncertainty_ns),
        latest: midpoint.plus_ns(uncertainty_ns),
        peers: Vec::new(),
        reason: String::new(),
        leap: "unknown".to_owned(),
        refused: Vec::new(),
        eps_max_ns: 10_000_000,
        is_unknown: false,
        last_step: None,
        doubts: Vec::new(),
    }
}

/// What another node knows of `node`.
pub(in crate::cli) fn peer(node: u64, verdict: &str) -> ClockPeerInfo {
    ClockPeerInfo {
        node: NodeId(node),
        offset_low_ns: -50_000,
        offset_high_ns: 50_000,
        rtt_ns: 300_000,
        verdict: verdict.to_owned(),
        uncertainty_ns: 1_000_000,
    }
}
