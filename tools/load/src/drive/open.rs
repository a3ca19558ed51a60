//! The open loop: appends are sent when they are due, whatever became of those before.
//!
//! A fixed number of tasks send them, the most that can be under way. While all of them wait for answers, appends become due and
//! are late; their latency counts from when they were due all the same, for nothing but their number is kept of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::offer::{Append, Offer};
use super::window::Window;
use crate::schedule::Schedule;

/// An open loop under way.
pub(super) struct OpenLoop {
    pub(super) tasks: JoinSet<()>,
    window: Window,
    schedule: Schedule,
    /// The append to be sent next.
    next: Arc<AtomicU64>,
}

impl OpenLoop {
    /// Starts the loop's tasks. Each takes a permit of `released` for each append: somebody gives one when an append is
    /// due, and one more for each task at the end.
    pub(super) fn start<A: Append>(
        offer: &Offer<A>,
        outstanding_max: usize,
        schedule: Schedule,
        released: &Arc<Semaphore>,
    ) -> Self {
        let (mut tasks, next) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
        for producer in offer.producers.iter().cycle().take(outstanding_max) {
            let (offer, producer) = (offer.clone(), Arc::clone(producer));
            let (next, released) = (Arc::clone(&next), Arc::clone(released));
            tasks.spawn(async move {
                let all = schedule.due_before(offer.window.ends - offer.window.began);
                while let Ok(permit) = released.acquire().await {
                    permit.forget();
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= all {
                        return;
                    }
                    let due = offer.window.began + schedule.due(n);
                    offer.append(&*producer, offer.batch_records, due).await;
                }
            });
        }
        Self { tasks, window: offer.window, schedule, next }
    }

    /// When each append was due that was never sent. Ask when no task runs any more.
    pub(super) fn never_sent(&self) -> impl Iterator<Item = Instant> + use<> {
        let (window, schedule) = (self.window, self.schedule);
        let first = self.next.load(Ordering::Relaxed);
        let all = schedule.due_before(window.ends - window.began);
        (first..all).map(move |n| window.began + schedule.due(n))
    }
}
