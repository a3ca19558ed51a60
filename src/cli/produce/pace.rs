//! Records at a steady rate.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Spaces records evenly, and catches up after a delay of up to a second.
pub(in crate::cli) struct Pace {
    interval: Duration,
    next: Instant,
}

const CATCH_UP_MAX: Duration = Duration::from_secs(1);

impl Pace {
    pub(in crate::cli) fn new(per_second: NonZeroU64) -> Self {
        Self { interval: Duration::from_nanos(1_000_000_000 / per_second.get()), next: Instant::now() }
    }

    pub(in crate::cli) async fn wait(&mut self) {
        let now = Instant::now();
        self.next = self.next.max(now.checked_sub(CATCH_UP_MAX).unwrap_or(now));
        if self.next > now {
            sleep_until(self.next).await;
        }
        self.next += self.interval;
    }
}
