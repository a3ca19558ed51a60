//! How long to wait before dialling again: doubling, with jitter, so that a returning node is not met by all at once.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: SHORTEST }
    }

    pub(super) fn reset(&mut self) {
        self.next = SHORTEST;
    }

    /// The next pause: between half and all of a bound that doubles with every call.
    pub(super) fn pause(&mut self) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(LONGEST);
        bound.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_start_over() {
        let mut backoff = Backoff::new();
        assert!(backoff.pause() <= SHORTEST);
        let longest = (0..100).map(|_| backoff.pause()).max().expect("a hundred");
        assert!(longest <= LONGEST && longest > LONGEST / 2, "{longest:?}");
        backoff.reset();
        assert!(backoff.pause() <= SHORTEST);
    }
}
