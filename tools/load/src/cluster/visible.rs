//! A merged consumer beside the load: when could each record be read, in the one order of all shards?
//!
//! Every record carries when it was due (its event time), so nothing is remembered of records under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use timberline::client::{Client, Consumer, ConsumerOptions, Start};
use timberline::types::TopicName;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::drive::Window;
use crate::failure::Failure;
use crate::percentiles::Latencies;

/// How long acknowledged records may take to arrive once the load is over.
const ARRIVE_MAX: Duration = Duration::from_secs(5);

/// A consumer that is ready and does not read yet.
pub(crate) struct Follower {
    consumer: Consumer,
}

/// A consumer that reads.
pub(crate) struct Following {
    task: JoinHandle<Result<Latencies, Failure>>,
    /// Records that must have arrived before it ends.
    expected: Arc<AtomicU64>,
}

impl Follower {
    /// Reads a topic of this run's own from now on.
    pub(crate) async fn start(client: &Client, topic: &TopicName) -> Result<Self, Failure> {
        let options = ConsumerOptions { from: Start::End, ..ConsumerOptions::default() };
        Ok(Self { consumer: client.consumer(topic, options).await? })
    }

    /// Measures the records that were due in the window.
    pub(crate) fn follow(self, window: Window) -> Following {
        let expected = Arc::new(AtomicU64::new(u64::MAX));
        let task = tokio::spawn(follow(self.consumer, window, Arc::clone(&expected)));
        Following { task, expected }
    }
}

impl Following {
    /// Ends when `acknowledged` records have arrived: the histogram, and how many did not in time.
    pub(crate) async fn finish(self, acknowledged: u64) -> Result<Latencies, Failure> {
        self.expected.store(acknowledged, Ordering::Relaxed);
        self.task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// Reads until as many records have arrived as are expected, or nothing arrives any more.
async fn follow(
    mut consumer: Consumer,
    window: Window,
    expected: Arc<AtomicU64>,
) -> Result<Latencies, Failure> {
    let (mut visible, mut arrived) = (Latencies::new(), 0_u64);
    let mut last_arrival = Instant::now();
    while arrived < expected.load(Ordering::Relaxed) {
        // The expected number comes late: it is looked at again and again.
        let Ok(next) = timeout(Duration::from_millis(50), consumer.next()).await else {
            let is_over = expected.load(Ordering::Relaxed) != u64::MAX;
            if is_over && last_arrival.elapsed() > ARRIVE_MAX {
                break;
            }
            continue;
        };
        let Some(read) = next? else { break };
        last_arrival = Instant::now();
        arrived += 1;
        let due = read.record.event_time_ns.map(|ns| window.at_ns(ns));
        if let Some(due) = due.filter(|due| window.measures(*due)) {
            visible.record(last_arrival.saturating_duration_since(due));
        }
    }
    Ok(visible)
}
