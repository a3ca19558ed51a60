//! The closed loop: every producer keeps so many batches in flight, and sends the next when one is answered.
//!
//! Ends with the window, or with the records it was given. Finds the most that is taken. Its latencies are those of a patient user: a stall holds back what would have met it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::budget::Budget;
use super::offer::{Append, Offer};

/// After a failed append: a cluster that refuses at once is not asked as fast as it can refuse.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Starts the loop's tasks; they end by themselves after the window's end, or when nothing is left of `budget`.
pub(super) fn start<A: Append>(offer: &Offer<A>, in_flight: usize, budget: &Budget) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for producer in offer.producers.iter() {
        for _ in 0..in_flight {
            tasks.spawn(offer_one_by_one(offer.clone(), Arc::clone(producer), budget.clone()));
        }
    }
    tasks
}

async fn offer_one_by_one<A: Append>(offer: Offer<A>, producer: Arc<A>, budget: Budget) {
    while Instant::now() < offer.window.ends {
        let Some(records) = budget.take(offer.batch_records) else { return };
        if !offer.append(&*producer, records, Instant::now()).await {
            sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}
