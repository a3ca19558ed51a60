//! What the log is told of the node's clock: when it is trusted, by which source, and why not.
//!
//! Knows nothing of how a clock works. Invariant: a state that lasts is told once.

use std::collections::BTreeSet;

use crate::clock::{ClockState, ClockStatus};

/// The last that was told.
#[derive(Debug, Default)]
pub(crate) struct ClockLog {
    told: Option<Told>,
}

#[derive(Debug, PartialEq, Eq)]
struct Told {
    source: String,
    is_trusted: bool,
    refused: BTreeSet<String>,
}

/// Something worth a line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Source { from: String, to: String },
    Refused { source: String, reason: String },
    Trusted,
    Untrusted { reason: String },
}

impl ClockLog {
    /// Tells what is other than at the last look.
    pub(crate) fn look(&mut self, status: &ClockStatus) {
        for line in self.lines(status) {
            match line {
                Line::Source { from, to } => tracing::warn!(from, to, "the clock has another source"),
                Line::Refused { source, reason } => {
                    tracing::info!(source, reason, "a source of time is not used");
                }
                Line::Trusted => {
                    let (source, uncertainty_ns) = (&status.source, status.uncertainty_ns);
                    tracing::info!(source, uncertainty_ns, "the clock is trusted");
                }
                Line::Untrusted { reason } => tracing::warn!(reason, "the clock is not trusted"),
            }
        }
    }

    fn lines(&mut self, status: &ClockStatus) -> Vec<Line> {
        let refused = status.refused.iter().map(|refusal| refusal.source.clone()).collect();
        let is_trusted = status.state == ClockState::Trusted;
        let now = Told { source: status.source.clone(), is_trusted, refused };
        // A source that measures needs a moment at the start: that it has no sample yet is not worth a warning.
        let unless_it_lasts =
            Told { source: status.source.clone(), is_trusted: true, refused: BTreeSet::new() };
        let Some(told) = self.told.take() else {
            self.told = Some(unless_it_lasts);
            return Vec::new();
        };
        self.told = Some(now);
        let mut lines = Vec::new();
        if told.source != status.source {
            lines.push(Line::Source { from: told.source, to: status.source.clone() });
        }
        for refusal in status.refused.iter().filter(|refusal| !told.refused.contains(&refusal.source)) {
            lines.push(Line::Refused { source: refusal.source.clone(), reason: refusal.reason.clone() });
        }
        if told.is_trusted != is_trusted {
            let reason = status.reason.clone().unwrap_or_default();
            lines.push(if is_trusted { Line::Trusted } else { Line::Untrusted { reason } });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Fault, Leap, Refusal};

    fn status(source: &str, fault: Option<Fault>, refused: &[&str]) -> ClockStatus {
        let refusal = |source: &&str| Refusal { source: (*source).to_owned(), reason: "gone".to_owned() };
        ClockStatus {
            state: fault.map_or(ClockState::Trusted, ClockState::Untrusted),
            source: source.to_owned(),
            uncertainty_ns: 1,
            eps_max_ns: 2,
            age_ns: 3,
            growth_ppb: 4,
            last_step: None,
            leap: Leap::Unknown,
            refused: refused.iter().map(refusal).collect(),
            reason: fault.map(|fault| fault.to_string()),
        }
    }

    #[test]
    fn each_change_is_told_once_and_the_first_moment_is_no_change() {
        let mut log = ClockLog::default();
        let lost = status("auto", Some(Fault::Unsynchronised), &["clockbound", "chrony"]);
        assert_eq!(log.lines(&lost), []);
        let told = log.lines(&lost);
        assert_eq!(told.len(), 3);
        assert!(matches!(&told[2], Line::Untrusted { reason } if reason.contains("not synchronised")));
        assert_eq!(log.lines(&lost), []);
        let found = status("chrony", None, &["clockbound"]);
        let source = Line::Source { from: "auto".to_owned(), to: "chrony".to_owned() };
        assert_eq!(log.lines(&found), [source, Line::Trusted]);
        assert_eq!(log.lines(&found), []);
        let refused = Line::Refused { source: "vmclock".to_owned(), reason: "gone".to_owned() };
        assert_eq!(log.lines(&status("chrony", None, &["clockbound", "vmclock"])), [refused]);
    }

    #[test]
    fn a_clock_that_is_well_from_the_start_is_told_of_never() {
        let mut log = ClockLog::default();
        for _ in 0..3 {
            assert_eq!(log.lines(&status("declared", None, &[])), []);
        }
    }
}
