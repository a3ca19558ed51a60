//! What a producer learns of its batches and records.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use tokio::sync::watch;

use crate::client::{Error, Outcome};
use crate::types::{BatchRef, Offset, Receipt, ShardId, Timestamp};

/// A batch that was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error} (outcome: {})", outcome.as_str())]
pub struct AppendFailure {
    pub error: Error,
    pub outcome: Outcome,
    /// Whether sending the same records again may succeed. With an unknown outcome that may store them twice.
    pub retryable: bool,
    /// What names the batch to `Client::fate`; `None` if it was never sent. Boxed, for failures are rare and results many.
    pub batch: Option<Box<BatchRef>>,
}

/// The end of one batch.
#[derive(Clone, Debug)]
pub struct BatchReport {
    pub shard: ShardId,
    pub record_count: u32,
    pub result: Result<Receipt, AppendFailure>,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub offset: Offset,
    pub timestamp: Timestamp,
    /// Its batch's receipt.
    pub receipt: Receipt,
}

/// A record under way; await it to learn its end. Dropping it changes nothing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = timberline::testing::Cluster::start()?;
/// # let client = cluster.client().await?;
/// # use timberline::client::CreateTopic;
/// # let orders = "orders".parse()?;
/// # client.create_topic(CreateTopic { replicas: 1, shards: 2, ..CreateTopic::named(&orders) }).await?;
/// # use timberline::{client::ProducerOptions, types::Record};
/// # let producer = client.producer(&orders, ProducerOptions::default()).await?;
/// use timberline::client::Outcome;
///
/// match producer.send(Record::default()).await?.await {
///     Ok(delivered) => println!("stored at {} within {} ns", delivered.timestamp, delivered.receipt.uncertainty_ns),
///     Err(failure) if failure.outcome == Outcome::NotApplied => println!("not stored: {failure}"),
///     Err(failure) => println!("stored or not, nobody knows: {failure}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Delivery {
    pub(super) report: watch::Receiver<Option<BatchReport>>,
    pub(super) at: u32,
}

impl Delivery {
    /// Waits for the end of the record's batch.
    pub async fn wait(mut self) -> Result<Delivered, AppendFailure> {
        let receipt = ended(&mut self.report).await.result?;
        let at = u64::from(self.at);
        Ok(Delivered {
            offset: receipt.first_offset.plus(at),
            timestamp: receipt.first_timestamp.plus_ns(at),
            receipt,
        })
    }
}

impl IntoFuture for Delivery {
    type Output = Result<Delivered, AppendFailure>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}

/// Waits for a batch's end. A producer dropped before leaves it unknown.
pub(super) async fn ended(report: &mut watch::Receiver<Option<BatchReport>>) -> BatchReport {
    let dropped = BatchReport {
        shard: ShardId(u64::MAX),
        record_count: 0,
        result: Err(AppendFailure {
            error: Error::Closed,
            outcome: Outcome::Unknown,
            retryable: false,
            batch: None,
        }),
    };
    match report.wait_for(Option::is_some).await {
        Ok(report) => report.clone().unwrap_or(dropped),
        Err(_) => dropped,
    }
}
