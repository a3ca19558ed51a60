//! How long to wait before dialling again: doubling, with jitter, so that a returning node is not met by all at once.
//!
//! The jitter comes from a seed that no two pairs of nodes share, so that a simulation can be repeated.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

pub(super) struct Backoff {
    next: Duration,
    random: StdRng,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { next: SHORTEST, random: StdRng::seed_from_u64(seed) }
    }

    pub(super) fn reset(&mut self) {
        self.next = SHORTEST;
    }

    /// The next pause: between half and all of a bound that doubles with every call.
    pub(super) fn pause(&mut self) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(LONGEST);
        bound.mul_f64(self.random.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_start_over() {
        let mut backoff = Backoff::new(1);
        assert!(backoff.pause() <= SHORTEST);
        let longest = (0..100).map(|_| backoff.pause()).max().expect("a hundred");
        assert!(longest <= LONGEST && longest > LONGEST / 2, "{longest:?}");
        backoff.reset();
        assert!(backoff.pause() <= SHORTEST);
    }
}
