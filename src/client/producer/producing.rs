//! The producer's handle: takes records, waits for memory, flushes and closes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::ProducerOptions;
use super::driver::Driver;
use super::gather::{Gather, Limits, Waiter, weight};
use super::outcome::{AppendFailure, BatchReport, Delivery, ended};
use super::window::Ready;
use crate::client::core::Core;
use crate::client::error::Error;
use crate::client::topic::Topic;
use crate::types::{ProducerId, Record, ShardId, TopicName};

/// Every report of the batches that were open when a flush began.
pub(super) type Flush = oneshot::Sender<Vec<watch::Receiver<Option<BatchReport>>>>;

/// Writes to a topic. Records of one shard are stored in the order sent. Dropping it abandons what is not
/// answered yet: `close` it to know.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = timberline::testing::Cluster::start()?;
/// # let client = cluster.client().await?;
/// # use timberline::client::CreateTopic;
/// # let orders = "orders".parse()?;
/// # client.create_topic(CreateTopic { replicas: 1, shards: 2, ..CreateTopic::named(&orders) }).await?;
/// use timberline::client::ProducerOptions;
/// use timberline::types::Record;
///
/// let producer = client.producer(&orders, ProducerOptions::default()).await?;
/// let order = |text: &'static str| Record { key: Some("ada".into()), value: Some(text.into()), ..Record::default() };
/// // Taken one after the other, under way together.
/// let first = producer.send(order("tea")).await?;
/// let second = producer.send(order("milk")).await?;
/// assert!(first.await?.timestamp < second.await?.timestamp);
/// producer.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct Producer {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Flush>,
    id: ProducerId,
    timeout: std::time::Duration,
}

/// What the handle and the driver share.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) wake: Notify,
    /// Bytes of records that may still be taken.
    pub(super) memory: Semaphore,
}

pub(super) struct State {
    pub(super) gather: Gather,
    /// Full batches on their way to the driver.
    pub(super) closed: Vec<(ShardId, Ready<Waiter>)>,
    pub(super) topic: Arc<Topic>,
    /// Why no more records are taken.
    pub(super) stopped: Option<Error>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Producer {
    pub(in crate::client) async fn start(
        core: Arc<Core>,
        name: &TopicName,
        options: ProducerOptions,
    ) -> Result<Self, Error> {
        options.check()?;
        let topic = core.topic(name).await?;
        let id = options.producer.unwrap_or_else(|| ProducerId(rand::random_range(1..=u64::MAX)));
        let limits = Limits {
            records: options.batch_records,
            bytes: options.batch_bytes,
            linger: options.linger,
            timeout: options.timeout,
        };
        let state = State { gather: Gather::new(limits), closed: Vec::new(), topic, stopped: None };
        let memory = Semaphore::new(options.memory_bytes_max);
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Notify::new(), memory });
        let (commands, flushes) = mpsc::channel(1);
        let timeout = options.timeout;
        tokio::spawn(Driver::new(core, name.clone(), id, options, Arc::clone(&shared)).run(flushes));
        Ok(Self { shared, commands, id, timeout })
    }

    /// The id by which shards recognise this producer's batches.
    pub fn id(&self) -> ProducerId {
        self.id
    }

    /// Takes a record. Waits while `memory_bytes_max` bytes are unanswered; the returned delivery is awaited
    /// separately. An error says that the record was not taken.
    pub async fn send(&self, record: Record) -> Result<Delivery, Error> {
        let bytes = weight(&record);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = timeout_at(Instant::now() + self.timeout, self.shared.memory.acquire_many(permits)).await;
        let Ok(room) = room else {
            let what = "room for another record (memory_bytes_max)".to_owned();
            let last = Some(Box::new(Error::Unreachable {
                address: "the shards' leaders".to_owned(),
                reason: "earlier records are not answered yet".to_owned(),
            }));
            return Err(Error::Timeout { what, after: self.timeout, last });
        };
        let room = room.map_err(|_| Error::Closed)?;
        let mut state = self.shared.lock();
        if let Some(error) = &state.stopped {
            return Err(error.clone());
        }
        let State { gather, closed, topic, .. } = &mut *state;
        let added = gather.add(&topic.router, &record, bytes, Instant::now(), closed)?;
        drop(state);
        // Given back when the record's batch ends.
        room.forget();
        if added.wakes {
            self.shared.wake.notify_one();
        }
        Ok(Delivery { report: added.report, at: added.at })
    }

    /// Closes every batch and waits for the end of all that were open. The first failure among them is returned.
    pub async fn flush(&self) -> Result<(), AppendFailure> {
        let (sender, reports) = oneshot::channel();
        let closed = |()| {
            let error = self.shared.lock().stopped.clone().unwrap_or(Error::Closed);
            AppendFailure { outcome: crate::client::Outcome::Unknown, retryable: false, error }
        };
        self.commands.send(sender).await.map_err(|_| closed(()))?;
        let mut result = Ok(());
        for mut report in reports.await.map_err(|_| closed(()))? {
            result = result.and(ended(&mut report).await.result.map(drop));
        }
        result
    }

    /// Takes no more records, and flushes.
    pub async fn close(self) -> Result<(), AppendFailure> {
        self.shared.lock().stopped.get_or_insert(Error::Closed);
        self.flush().await
    }
}
