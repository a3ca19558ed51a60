//! How long to wait before the next attempt: doubling, and jittered so that clients do not march in step.

use std::time::Duration;

/// Waits that double from `least` to `most`. Each is drawn evenly from the upper half of its step, so two
/// clients that failed together come back apart.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    step: Duration,
}

impl Backoff {
    pub(super) fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, step: least }
    }

    /// Between attempts at a request: 10 ms to 200 ms, a fraction of an election.
    pub(super) fn of_requests() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_millis(200))
    }

    pub(super) fn next_wait(&mut self) -> Duration {
        let wait = self.step.mul_f64(rand::random_range(0.5..=1.0));
        self.step = (self.step * 2).min(self.most);
        wait
    }

    /// Whether nothing failed since the last success.
    pub(super) fn is_reset(&self) -> bool {
        self.step == self.least
    }

    /// An attempt succeeded: the next failure starts from the least wait.
    pub(super) fn reset(&mut self) {
        self.step = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_start_over_after_a_success() {
        let (least, most) = (Duration::from_millis(10), Duration::from_millis(80));
        let mut backoff = Backoff::new(least, most);
        for step in [10, 20, 40, 80, 80] {
            let (wait, step) = (backoff.next_wait(), Duration::from_millis(step));
            assert!(wait >= step / 2 && wait <= step, "{wait:?} is not within the upper half of {step:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= least);
    }
}
