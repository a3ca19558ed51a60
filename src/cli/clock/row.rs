//! A node's clock as scripts read it. The field names are a contract.

use serde::Serialize;

use crate::cli::moment::show_ns;
use crate::cli::output::Row;
use crate::client::{ClockAnswer, ClockDoubtInfo, ClockInfo, ClockPeerInfo, ClockRefusalInfo};
use crate::types::{NodeId, Timestamp};

/// The state of a node that does not answer.
const UNREACHABLE: &str = "unreachable";

#[derive(Default, Serialize)]
pub(super) struct ClockRow {
    pub(super) node: u64,
    pub(super) state: String,
    source: String,
    uncertainty_ns: u64,
    eps_max_ns: u64,
    age_ns: u64,
    drift_ppb: u64,
    earliest_ns: u64,
    latest_ns: u64,
    /// Whether the interval is one that the source stands for.
    knows_time: bool,
    leap: String,
    last_step: Option<StepRow>,
    pub(super) peers: Vec<PeerRow>,
    pub(super) refused: Vec<RefusalRow>,
    pub(super) reason: String,
    pub(super) doubts: Vec<DoubtRow>,
}

/// A clock that the node knows to be wrong, or to have been a while ago, and which timestamps that concerns.
#[derive(Serialize)]
pub(super) struct DoubtRow {
    node: u64,
    pub(super) from_timestamp_ns: u64,
    until_timestamp_ns: u64,
    off_by_ns: u64,
    reason: String,
    pub(super) is_open: bool,
    #[serde(skip)]
    pub(super) why: String,
}

/// The jump of a clock that was noticed last.
#[derive(Serialize)]
struct StepRow {
    at_ns: u64,
    what: String,
}

/// A source that is not used.
#[derive(Serialize)]
pub(super) struct RefusalRow {
    pub(super) source: String,
    pub(super) reason: String,
}

/// A peer's clock as one node knows it. The offset is the peer's midpoint minus the node's.
#[derive(Serialize)]
pub(super) struct PeerRow {
    pub(super) node: u64,
    pub(super) offset_low_ns: i64,
    pub(super) offset_high_ns: i64,
    pub(super) rtt_ns: u64,
    pub(super) verdict: String,
    pub(super) uncertainty_ns: u64,
}

impl ClockRow {
    pub(super) fn of(answer: &ClockAnswer) -> Self {
        match &answer.clock {
            Ok(clock) => Self::answered(clock),
            Err(error) => Self::unreachable(answer.node, error.to_string()),
        }
    }

    pub(super) fn answered(clock: &ClockInfo) -> Self {
        let peer = |peer: &ClockPeerInfo| PeerRow {
            node: peer.node.0,
            offset_low_ns: peer.offset_low_ns,
            offset_high_ns: peer.offset_high_ns,
            rtt_ns: peer.rtt_ns,
            verdict: peer.verdict.clone(),
            uncertainty_ns: peer.uncertainty_ns,
        };
        let refusal = |refusal: &ClockRefusalInfo| RefusalRow {
            source: refusal.source.clone(),
            reason: refusal.reason.clone(),
        };
        let doubt = |doubt: &ClockDoubtInfo| DoubtRow {
            node: doubt.node.0,
            from_timestamp_ns: doubt.from.0,
            until_timestamp_ns: doubt.until.0,
            off_by_ns: doubt.off_by_ns,
            reason: doubt.reason.clone(),
            is_open: doubt.is_open,
            why: doubt.why.clone(),
        };
        let step = |(what, at): &(String, Timestamp)| StepRow { at_ns: at.0, what: what.clone() };
        Self {
            node: clock.node.0,
            state: clock.state.clone(),
            source: clock.source.clone(),
            uncertainty_ns: clock.uncertainty_ns,
            eps_max_ns: clock.eps_max_ns,
            age_ns: clock.age_ns,
            drift_ppb: clock.drift_ppb,
            earliest_ns: clock.earliest.0,
            latest_ns: clock.latest.0,
            knows_time: !clock.is_unknown,
            leap: clock.leap.clone(),
            last_step: clock.last_step.as_ref().map(step),
            peers: clock.peers.iter().map(peer).collect(),
            refused: clock.refused.iter().map(refusal).collect(),
            reason: clock.reason.clone(),
            doubts: clock.doubts.iter().map(doubt).collect(),
        }
    }

    pub(super) fn unreachable(node: NodeId, reason: String) -> Self {
        Self { node: node.0, state: UNREACHABLE.to_owned(), reason, ..Self::default() }
    }

    pub(super) fn is_reached(&self) -> bool {
        self.state != UNREACHABLE
    }

    pub(super) fn last_step(&self) -> Option<(&str, Timestamp)> {
        self.last_step.as_ref().map(|step| (step.what.as_str(), Timestamp(step.at_ns)))
    }
}

impl Row for ClockRow {
    fn titles() -> Vec<&'static str> {
        vec![
            "NODE",
            "STATE",
            "SOURCE",
            "UNCERTAINTY",
            "AT MOST",
            "AGE",
            "DRIFT",
            "LEAP",
            "EARLIEST",
            "LATEST",
            "DOUBTS",
        ]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        let node = self.node.to_string();
        if !self.is_reached() {
            return vec![vec![node, self.state.clone()]];
        }
        let show = |ns| crate::cli::moment::show(Timestamp(ns));
        // The fallback interval of a source that does not know the time would look like a claim.
        let known = |text: String| if self.knows_time { text } else { "-".to_owned() };
        vec![vec![
            node,
            self.state.clone(),
            self.source.clone(),
            known(show_ns(self.uncertainty_ns)),
            show_ns(self.eps_max_ns),
            known(show_ns(self.age_ns)),
            format!("{} ppb", self.drift_ppb),
            self.leap.clone(),
            known(show(self.earliest_ns)),
            known(show(self.latest_ns)),
            self.doubts.iter().filter(|doubt| doubt.is_open).count().to_string(),
        ]]
    }
    fn raw(&self) -> String {
        self.state.clone()
    }
}
