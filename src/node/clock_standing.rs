//! A node's clock in one word and one sentence: what its own source and the other clocks come to together.
//!
//! Knows nothing of who is told.

use crate::clock::{AgreementStatus, ClockState, ClockStatus};
use crate::shard::Refusal;

/// Every word for a clock's state, best first.
pub(super) const STATES: [&str; 3] = ["trusted", "suspended", "fenced"];

/// One of [`STATES`], and the reason with its evidence; empty if nothing is wrong.
pub(super) fn standing(own: &ClockStatus, agreement: &AgreementStatus) -> (&'static str, String) {
    let [trusted, suspended, fenced] = STATES;
    match (own.state, &agreement.fault) {
        (ClockState::Untrusted(_), _) => (fenced, own.reason.clone().unwrap_or_default()),
        (ClockState::Trusted, Some((fault, evidence))) if fault.is_open() => (suspended, evidence.clone()),
        (ClockState::Trusted, Some((_, evidence))) => (fenced, evidence.clone()),
        (ClockState::Trusted, None) if !agreement.is_heard => (trusted, Refusal::Unheard.to_string()),
        (ClockState::Trusted, None) => (trusted, String::new()),
    }
}
