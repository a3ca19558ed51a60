//! Whether the node at the other end of a connection still answers.
//!
//! Many streams of one connection may fall silent at once, for want of news or because their node is gone. Whoever wonders asks
//! here: one question goes out for all of them, and its verdict serves everybody for a moment. Knows nothing of what is asked.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long a verdict serves.
const VERDICT_HOLDS: Duration = Duration::from_millis(200);

/// The last verdict on one connection's node, and when it fell.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Pulse {
    /// Whether the node answers `question` within `patience`, or was just found to.
    pub(super) async fn is_felt<T>(
        &self,
        patience: Duration,
        question: impl Future<Output = Option<T>>,
    ) -> bool {
        let mut last = self.last.lock().await;
        if let Some((_, verdict)) = last.filter(|(at, _)| at.elapsed() < VERDICT_HOLDS) {
            return verdict;
        }
        let verdict = timeout(patience, question).await.is_ok_and(|answer| answer.is_some());
        *last = Some((Instant::now(), verdict));
        verdict
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    #[tokio::test(start_paused = true)]
    async fn one_question_serves_all_who_wonder_at_once() {
        let (pulse, asked) = (Pulse::default(), AtomicU32::new(0));
        let began = Instant::now();
        let wonder = || {
            pulse.is_felt(PATIENCE, async {
                asked.fetch_add(1, Ordering::Relaxed);
                pending::<Option<()>>().await
            })
        };
        assert_eq!(tokio::join!(wonder(), wonder(), wonder()), (false, false, false));
        assert_eq!((asked.load(Ordering::Relaxed), began.elapsed()), (1, PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_is_not_believed_for_long() {
        let pulse = Pulse::default();
        assert!(pulse.is_felt(PATIENCE, ready(Some(()))).await);
        assert!(pulse.is_felt(PATIENCE, ready(None::<()>)).await, "just found to answer");
        tokio::time::advance(VERDICT_HOLDS).await;
        assert!(!pulse.is_felt(PATIENCE, ready(None::<()>)).await);
    }
}
