//! What to read, in which order, from where, until when.

use std::time::Duration;

use super::Cursor;
use crate::clock::Level;
use crate::routing::KeyRange;
use crate::types::{NodeId, ShardId, Timestamp};

/// Where reading starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first record.
    #[default]
    Begin,
    /// After everything sent up to now; what is sent once the consumer stands is read.
    End,
    /// At the first record stamped at or after this.
    Time(Timestamp),
    /// Right after the cursor's record.
    Cursor(Cursor),
}

/// Where reading ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// Never.
    #[default]
    Forever,
    /// As of this time: after the last record stamped at or before it, once every shard is closed there. The same on every replica,
    /// for ever.
    Closed(Timestamp),
    /// After everything that the read must contain by its `consistency`.
    ToEnd,
}

/// What happens to a reader that wants records which retention has removed, because it begins before them or has fallen so
/// far behind. One that begins at the first record wants what is kept, and is never concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTrimmed {
    /// Reading fails with `Error::Trimmed`.
    #[default]
    Fail,
    /// Reading goes on with the earliest record kept; `Item::Skipped` says what is missing.
    Earliest,
}

/// In which order records come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By `(timestamp, shard)`, over all shards of all topics: the same on every replica, for ever.
    #[default]
    Merged,
    /// One shard's records.
    Shard(ShardId),
    /// Every shard in its own order, as records arrive, without waiting for other shards.
    EachShard,
}

/// How to read.
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
/// # for key in ["ada", "bob", "eve"] {
/// #     producer.send(Record { key: Some(key.into()), ..Record::default() }).await?;
/// # }
/// # producer.flush().await?;
/// use timberline::client::{ConsumerOptions, KeyRange, Until};
///
/// let some = ConsumerOptions {
///     until: Until::ToEnd,
///     keys: Some(KeyRange::new("b", Some("f".into()))?),
///     ..ConsumerOptions::default()
/// };
/// let mut consumer = client.consumer(&orders, some).await?;
/// let mut keys = Vec::new();
/// while let Some(read) = consumer.next().await? {
///     keys.extend(read.record.key);
/// }
/// keys.sort();
/// assert_eq!(keys, ["bob", "eve"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    pub from: Start,
    pub until: Until,
    pub order: Order,
    /// What a read to the end contains at least; `None` there is `Level::Linearizable`. A read without end may be `Level::Bounded`: once
    /// it has caught up it fails with `Error::Stale` rather than fall further behind than the age, which is looked at twice in each
    /// age. Other reads have no level.
    pub consistency: Option<Level>,
    /// Only records with a key in this range. Of a topic partitioned by key ranges, only the shards that overlap it are read.
    /// A hashed topic's shards all send all they have, and what is not wanted is dropped here; but for a single key, one shard
    /// is read. Records without a key lie in no range. Closed timestamps speak of the range, marks of all that is read.
    pub keys: Option<KeyRange>,
    /// Read from this node's replicas alone, and never from others. Else each shard is read from the replica that is nearest by
    /// the round trip to its node, and from another one once that fails.
    pub node: Option<NodeId>,
    pub on_trimmed: OnTrimmed,
    /// Bytes of records held for all shards together; each shard has an equal part.
    pub buffer_bytes_max: usize,
    /// How long a shard may bring nothing new, not even that time has passed, before reading fails.
    pub timeout: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            from: Start::Begin,
            until: Until::Forever,
            order: Order::Merged,
            consistency: None,
            keys: None,
            node: None,
            on_trimmed: OnTrimmed::Fail,
            buffer_bytes_max: 64 << 20,
            timeout: Duration::from_secs(30),
        }
    }
}

impl ConsumerOptions {
    /// How far a read without end may fall behind, if it says so.
    pub(super) fn bound_while_following(&self) -> Option<Duration> {
        match (self.until, self.consistency) {
            (Until::Forever, Some(Level::Bounded(age))) => Some(age),
            _ => None,
        }
    }
}
