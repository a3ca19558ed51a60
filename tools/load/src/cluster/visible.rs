//! A merged consumer beside the load: when could each record be read, in the one order of all shards?
//!
//! Every record carries when it was due (its event time), so nothing is remembered of records under way.

use std::time::Duration;

use timberline::client::{self, Client, Consumer, ConsumerOptions, Start};
use timberline::types::TopicName;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::drive::Window;
use crate::failure::Failure;
use crate::percentiles::Latencies;

/// How long acknowledged records may take to arrive once the load is over.
const ARRIVE_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A consumer that is ready and does not read yet.
pub(crate) struct Follower {
    consumer: Consumer,
}

/// A consumer that reads.
pub(crate) struct Following {
    task: JoinHandle<Result<Seen, Failure>>,
    expected: oneshot::Sender<u64>,
}

/// What a consumer has seen of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    /// From when a record's batch was due until the consumer had it.
    pub(crate) visible: Latencies,
    /// Acknowledged records that did not arrive in time.
    pub(crate) unseen: u64,
}

impl Follower {
    /// Reads what is appended to the topic from now on, and nothing of before.
    pub(crate) async fn start(client: &Client, topic: &TopicName) -> Result<Self, Failure> {
        let now = client.clock(None).await?.latest;
        let options = ConsumerOptions { from: Start::Time(now.next()), ..ConsumerOptions::default() };
        let consumer = client.consumer(topic, options).await?;
        // Whatever is appended once that time has passed for certain is stamped later.
        while client.clock(None).await?.earliest <= now {
            sleep(LOOK_EVERY).await;
        }
        Ok(Self { consumer })
    }

    /// Measures the records that were due in the window.
    pub(crate) fn follow(self, window: Window) -> Following {
        let (expected, told) = oneshot::channel();
        Following { task: tokio::spawn(follow(self.consumer, window, told)), expected }
    }
}

impl Following {
    /// Ends when `acknowledged` records have arrived, or could have.
    pub(crate) async fn finish(self, acknowledged: u64) -> Result<Seen, Failure> {
        // A consumer that has failed says so below.
        let _ = self.expected.send(acknowledged);
        self.task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// Reads until as many records have arrived as are expected, once that is told, or their time is over.
async fn follow(
    mut consumer: Consumer,
    window: Window,
    mut told: oneshot::Receiver<u64>,
) -> Result<Seen, Failure> {
    let (mut visible, mut arrived) = (Latencies::new(), 0_u64);
    let mut end: Option<(u64, Instant)> = None;
    loop {
        if end.is_some_and(|(expected, _)| arrived >= expected) {
            return Ok(Seen { visible, unseen: 0 });
        }
        tokio::select! {
            next = consumer.next() => {
                let now = Instant::now();
                // It reads for ever, so there is always a next one.
                let Some(read) = next? else { return Err(Failure::Client(client::Error::Closed)) };
                arrived += 1;
                let due = read.record.event_time_ns.map(|ns| window.at_ns(ns));
                if let Some(due) = due.filter(|due| window.measures(*due)) {
                    visible.record(now.saturating_duration_since(due));
                }
            }
            // The run was given up if nobody tells.
            expected = &mut told, if end.is_none() => {
                end = Some((expected.unwrap_or_default(), Instant::now() + ARRIVE_MAX));
            }
            () = sleep_until(end.map_or(window.ends, |(_, until)| until)), if end.is_some() => {
                let expected = end.map_or(0, |(expected, _)| expected);
                return Ok(Seen { visible, unseen: expected.saturating_sub(arrived) });
            }
        }
    }
}
