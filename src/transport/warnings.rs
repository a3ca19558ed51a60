//! Keeps one misbehaving peer from filling the log.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// How often the same complaint is repeated.
const REPEAT_AFTER: Duration = Duration::from_secs(10);
/// How often complaints are made at all, if each differs from the one before.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// Decides whether a complaint is worth a line: a new one is, the same one only now and then.
#[derive(Default)]
pub(super) struct Warnings {
    last: Mutex<Option<(Instant, String)>>,
}

impl Warnings {
    pub(super) fn is_due(&self, complaint: &str) -> bool {
        let mut last = self.last.lock().expect("no panic under the lock");
        let is_due = last.as_ref().is_none_or(|(at, before)| {
            at.elapsed() >= if before == complaint { REPEAT_AFTER } else { AT_MOST_EVERY }
        });
        if is_due {
            *last = Some((Instant::now(), complaint.to_owned()));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_complaint_is_made_once() {
        let warnings = Warnings::default();
        assert!(warnings.is_due("expired"));
        assert!(!(0..1000).any(|_| warnings.is_due("expired")));
    }
}
