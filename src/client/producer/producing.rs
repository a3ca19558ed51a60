//! The producer's handle: takes records, waits for memory, flushes and closes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::ProducerOptions;
use super::batches::Ready;
use super::conditional::Conditional;
use super::driver::Driver;
use super::gather::{Gather, Limits, Waiter, Wishes, weight};
use super::outcome::{AppendFailure, BatchReport, Delivery, ended};
use crate::client::Outcome;
use crate::client::core::Core;
use crate::client::error::Error;
use crate::client::topic::Topic;
use crate::types::{Condition, ProducerId, Receipt, Record, ShardId, Timestamp, Token, TopicName};

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
    conditional: Arc<Conditional>,
    id: ProducerId,
    timeout: Duration,
}

/// A producer whose appends have terms of their own.
#[derive(Clone, Copy)]
pub struct OnTerms<'a> {
    producer: &'a Producer,
    wishes: Wishes,
}

impl OnTerms<'_> {
    /// As [`Producer::after`].
    #[must_use]
    pub fn after(mut self, token: Token) -> Self {
        self.wishes.after = token.0;
        self
    }

    /// As [`Producer::within`].
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.wishes.limit = limit;
        self
    }

    /// As [`Producer::send`]. Refused with `ErrorCode::Future` if a token lies later than anything that may be stamped by now.
    pub async fn send(&self, record: Record) -> Result<Delivery, Error> {
        self.producer.send_on(record, self.wishes).await
    }

    /// As [`Producer::append_if`].
    pub async fn append_if(
        &self,
        condition: Condition,
        records: &[Record],
    ) -> Result<Receipt, AppendFailure> {
        self.producer.append_on(condition, records, self.wishes).await
    }
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
        let limits =
            Limits { records: options.batch_records, bytes: options.batch_bytes, linger: options.linger };
        let state = State { gather: Gather::new(limits), closed: Vec::new(), topic, stopped: None };
        let memory = Semaphore::new(options.memory_bytes_max);
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Notify::new(), memory });
        let (commands, flushes) = mpsc::channel(1);
        let timeout = options.timeout;
        let conditional = Arc::new(Conditional::new(Arc::clone(&core), name.clone(), options.clone()));
        tokio::spawn(Driver::new(core, name.clone(), id, options, Arc::clone(&shared)).run(flushes));
        Ok(Self { shared, commands, conditional, id, timeout })
    }

    /// The id by which shards recognise this producer's batches.
    pub fn id(&self) -> ProducerId {
        self.id
    }

    /// Takes a record. Waits while `memory_bytes_max` bytes are unanswered; the returned delivery is awaited
    /// separately. An error says that the record was not taken.
    pub async fn send(&self, record: Record) -> Result<Delivery, Error> {
        self.send_on(record, self.wishes()).await
    }

    /// Appends records as one batch, if `condition` holds of the shard at that very place in its log; waits for the end. Of several
    /// writers with one expectation one wins. The keys of records and condition name the shard.
    ///
    /// Such appends go one after the other in each shard, each with its answer before the next one is sent, and in no order with
    /// those of `send`. Dropping the future changes nothing.
    ///
    /// # Errors
    /// `Error::ConditionFailed` says what was found instead; nothing was appended, unless the failure's outcome says that an earlier
    /// attempt may have been. `Error::Unsupported` if the leader's build does not know conditions.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = timberline::testing::Cluster::start()?;
    /// # let client = cluster.client().await?;
    /// # use timberline::client::{ConsumerOptions, CreateTopic, ProducerOptions, Until};
    /// # let stock = "stock".parse()?;
    /// # client.create_topic(CreateTopic { replicas: 1, shards: 2, ..CreateTopic::named(&stock) }).await?;
    /// use timberline::client::Error;
    /// use timberline::types::{Condition, Record};
    ///
    /// // Takes one apple out of the stock, whoever else does so at the same time.
    /// let producer = client.producer(&stock, ProducerOptions::default()).await?;
    /// for _customer in 0..3 {
    ///     loop {
    ///         // What there is, as of a time: the sum of all changes of this key.
    ///         let as_of = client.now().await?.interval.latest;
    ///         let options = ConsumerOptions { until: Until::Closed(as_of), ..ConsumerOptions::default() };
    ///         let mut changes = client.consumer(&stock, options).await?;
    ///         let mut apples = 10;
    ///         while let Some(change) = changes.next().await? {
    ///             apples -= i32::from(change.record.key.as_deref() == Some(b"apples"));
    ///         }
    ///         assert!(apples > 0, "sold out");
    ///         // Taken only if nobody took one since.
    ///         let key = "apples".into();
    ///         let unchanged = Condition::KeyUnchangedSince { key, as_of };
    ///         let sale = Record { key: Some("apples".into()), value: Some("-1".into()), ..Record::default() };
    ///         match producer.append_if(unchanged, &[sale]).await {
    ///             Ok(receipt) => break println!("sold at {}", receipt.first_timestamp),
    ///             Err(failure) if matches!(failure.error, Error::ConditionFailed { .. }) => continue,
    ///             Err(failure) => return Err(failure.into()),
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn append_if(
        &self,
        condition: Condition,
        records: &[Record],
    ) -> Result<Receipt, AppendFailure> {
        self.append_on(condition, records, self.wishes()).await
    }

    /// The same producer, for appends that are stamped later than all that the token's bearer has seen. What is acknowledged in full is
    /// followed by any later append anyway; a receipt of `Wait::Committed` is so only by its token.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = timberline::testing::Cluster::start()?;
    /// # let client = cluster.client().await?;
    /// # use timberline::client::{CreateTopic, ProducerOptions};
    /// # let (orders, bills) = ("orders".parse()?, "bills".parse()?);
    /// # for topic in [&orders, &bills] {
    /// #     client.create_topic(CreateTopic { replicas: 1, ..CreateTopic::named(topic) }).await?;
    /// # }
    /// use timberline::types::{Record, Token, Wait};
    ///
    /// let hasty = ProducerOptions { wait: Wait::Committed, ..ProducerOptions::default() };
    /// let order = client.producer(&orders, hasty).await?.send(Record::default()).await?.await?;
    /// // The order is safe, but its time may not have passed. The bill stands behind it by its token, on whichever node.
    /// let token = Token(order.receipt.last_timestamp());
    /// let producer = client.producer(&bills, ProducerOptions::default()).await?;
    /// let bill = producer.after(token).send(Record::default()).await?.await?;
    /// assert!(order.timestamp < bill.timestamp);
    /// # Ok(())
    /// # }
    /// ```
    pub fn after(&self, token: Token) -> OnTerms<'_> {
        OnTerms { producer: self, wishes: self.wishes() }.after(token)
    }

    /// The same producer, for appends that are tried so long, and not as long as `timeout` of its options says. A batch has records of
    /// one limit only, so appends with many different ones are small.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = timberline::testing::Cluster::start()?;
    /// # let client = cluster.client().await?;
    /// # use timberline::client::{CreateTopic, Outcome, ProducerOptions};
    /// # let bids = "bids".parse()?;
    /// # client.create_topic(CreateTopic { replicas: 1, ..CreateTopic::named(&bids) }).await?;
    /// use std::time::Duration;
    ///
    /// use timberline::types::Record;
    ///
    /// let producer = client.producer(&bids, ProducerOptions::default()).await?;
    /// let bid = producer.within(Duration::from_secs(2)).send(Record::default()).await?;
    /// match bid.await {
    ///     Ok(bid) => println!("stands at {}", bid.timestamp),
    ///     Err(failure) if failure.outcome == Outcome::NotApplied => println!("too late, and never to be seen"),
    ///     Err(failure) => println!("it may stand, or not: {failure}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn within(&self, limit: Duration) -> OnTerms<'_> {
        OnTerms { producer: self, wishes: self.wishes() }.within(limit)
    }

    fn wishes(&self) -> Wishes {
        Wishes { after: Timestamp::ZERO, limit: self.timeout }
    }

    async fn append_on(
        &self,
        condition: Condition,
        records: &[Record],
        wishes: Wishes,
    ) -> Result<Receipt, AppendFailure> {
        let topic = {
            let state = self.shared.lock();
            if let Some(error) = state.stopped.clone() {
                return Err(AppendFailure {
                    error,
                    outcome: Outcome::NotApplied,
                    retryable: false,
                    batch: None,
                });
            }
            Arc::clone(&state.topic)
        };
        self.conditional.append(&topic, condition, records, wishes).await
    }

    async fn send_on(&self, record: Record, wishes: Wishes) -> Result<Delivery, Error> {
        let bytes = weight(&record);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = timeout_at(Instant::now() + wishes.limit, self.shared.memory.acquire_many(permits)).await;
        let Ok(room) = room else {
            let what = "room for another record (memory_bytes_max)".to_owned();
            let last = Some(Box::new(Error::Unreachable {
                address: "the shards' leaders".to_owned(),
                reason: "earlier records are not answered yet".to_owned(),
            }));
            return Err(Error::Timeout { what, after: wishes.limit, last });
        };
        let room = room.map_err(|_| Error::Closed)?;
        let mut state = self.shared.lock();
        if let Some(error) = &state.stopped {
            return Err(error.clone());
        }
        let State { gather, closed, topic, .. } = &mut *state;
        let added = gather.add(&topic.router, &record, bytes, wishes, Instant::now(), closed)?;
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
            AppendFailure { outcome: Outcome::Unknown, retryable: false, batch: None, error }
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
