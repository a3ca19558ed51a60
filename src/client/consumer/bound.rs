//! Whether a stream without end keeps up: `Level::Bounded` while following.
//!
//! Invariants: staleness is measured against a trusted node's `latest`, never by the client's own clock, so it is never told too low; a
//! reader that has yet to catch up with what was there before it is not stale.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::subscription::News;
use crate::client::core::Core;
use crate::client::error::Error;
use crate::client::fresh::now;
use crate::types::{ShardId, Timestamp};

/// The time is not asked more often.
const PAUSE_LEAST: Duration = Duration::from_millis(1);

/// How old the newest of a stream may be.
pub(super) struct Bound {
    age: Duration,
    has_caught_up: bool,
}

impl Bound {
    pub(super) fn new(age: Duration) -> Self {
        Self { age, has_caught_up: false }
    }

    /// Refuses to go on once the stream has fallen behind: everything up to `closed` had come when the time was `latest`.
    pub(super) fn check(&mut self, latest: Timestamp, closed: Timestamp) -> Result<(), Error> {
        let is_fresh = Duration::from_nanos(latest.ns_since(closed)) <= self.age;
        self.has_caught_up |= is_fresh;
        if is_fresh || !self.has_caught_up {
            return Ok(());
        }
        Err(Error::Stale { closed, latest, age: self.age })
    }
}

/// Asks for the time twice in each age, until nobody wants it, or nobody tells it for as long as a request may take.
pub(super) async fn tell_time(core: Arc<Core>, age: Duration, news: mpsc::Sender<(ShardId, News)>) {
    let pause = (age / 2).max(PAUSE_LEAST);
    loop {
        let told = match now(&core, false).await {
            Ok(now) => News::Time(now.interval.latest),
            Err(error) => News::Failed(error),
        };
        let is_last = matches!(told, News::Failed(_));
        // It is no shard's news.
        if news.send((ShardId::SYSTEM, told)).await.is_err() || is_last {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_that_kept_up_before_falls_behind() {
        let mut bound = Bound::new(Duration::from_nanos(100));
        assert!(bound.check(Timestamp(5000), Timestamp(0)).is_ok(), "it reads what was there before");
        assert!(bound.check(Timestamp(5000), Timestamp(4900)).is_ok());
        assert!(bound.check(Timestamp(5000), Timestamp(6000)).is_ok(), "a clock that lags tells nothing");
        let stale = bound.check(Timestamp(5001), Timestamp(4900));
        assert!(matches!(stale, Err(Error::Stale { .. })), "{stale:?}");
    }
}
