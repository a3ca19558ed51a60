//! Attempts side by side: whichever ends first comes first, and those that are dropped end.
//!
//! Knows nothing of what is attempted. Each attempt notes when it has reached its node: from then on what it asked for may be
//! done, whether it is waited for or not.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep;

/// An attempt that has not reached its node for so long gets another beside it: the delay that RFC 8305 recommends (section 8).
const REACH_WITHIN: Duration = Duration::from_millis(250);
/// One that has reached its node, and is not answered for so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Attempts at once.
const BESIDE_MAX: usize = 4;

/// Whether an attempt has reached its node.
#[derive(Clone, Default)]
pub(super) struct Reached(Arc<AtomicBool>);

type Attempt<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Attempts under way, the newest last.
pub(super) struct Beside<'a, T> {
    under_way: Vec<(Reached, Attempt<'a, T>)>,
}

impl Reached {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<'a, T> Beside<'a, T> {
    pub(super) fn new() -> Self {
        Self { under_way: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.under_way.len() < BESIDE_MAX
    }

    /// Whether any has reached its node.
    pub(super) fn any_reached(&self) -> bool {
        self.under_way.iter().any(|(reached, _)| reached.is_noted())
    }

    pub(super) fn begin(&mut self, reached: Reached, attempt: impl Future<Output = T> + Send + 'a) {
        self.under_way.push((reached, Box::pin(attempt)));
    }

    /// What the next one that ends comes to; waits for ever if there is none.
    pub(super) async fn next(&mut self) -> T {
        poll_fn(|context| {
            for at in 0..self.under_way.len() {
                if let Poll::Ready(ended) = self.under_way[at].1.as_mut().poll(context) {
                    drop(self.under_way.remove(at));
                    return Poll::Ready(ended);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The same, or `None` once the newest has been waited for long enough to begin another beside it.
    pub(super) async fn next_soon(&mut self) -> Option<T> {
        let newest = self.under_way.last().map(|(reached, _)| reached.clone()).unwrap_or_default();
        let late = async {
            sleep(REACH_WITHIN).await;
            if newest.is_noted() {
                sleep(ANSWER_WITHIN.saturating_sub(REACH_WITHIN)).await;
            }
        };
        tokio::select! {
            biased;
            ended = self.next() => Some(ended),
            () = late => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::timeout;

    use super::*;

    /// An attempt that ends after so much of the stopped clock's time.
    async fn after(ms: u64, what: u64) -> u64 {
        timeout(Duration::from_millis(ms), pending()).await.unwrap_or(what)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_to_end_comes_first_and_another_is_due_while_the_newest_is_silent() {
        let began = tokio::time::Instant::now();
        let elapsed_ms = || began.elapsed().as_millis();
        let mut beside = Beside::new();
        let answers = Reached::default();
        beside.begin(Reached::default(), after(5000, 1));
        assert_eq!((beside.next_soon().await, elapsed_ms()), (None, 250), "it has not reached its node");
        answers.note();
        beside.begin(answers, after(2000, 2));
        assert_eq!((beside.next_soon().await, elapsed_ms()), (None, 1250), "it has, and does not answer");
        beside.begin(Reached::default(), after(10, 3));
        assert_eq!(beside.next_soon().await, Some(3));
        assert!(beside.any_reached() && elapsed_ms() == 1260);
        assert_eq!((beside.next().await, beside.next().await), (2, 1));
        assert!(beside.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_under_way_at_once() {
        let mut beside = Beside::new();
        while beside.has_room() {
            beside.begin(Reached::default(), after(10, 0));
        }
        assert_eq!(beside.under_way.len(), BESIDE_MAX);
        beside.next().await;
        assert!(beside.has_room());
    }
}
