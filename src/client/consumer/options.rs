//! What to read, in which order, from where, until when.

use std::time::Duration;

use super::Cursor;
use crate::clock::Level;
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

/// In which order records come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By `(timestamp, shard)`, over all shards: the same on every replica, for ever.
    #[default]
    Merged,
    /// One shard's records.
    Shard(ShardId),
    /// Every shard in its own order, as records arrive, without waiting for other shards.
    EachShard,
}

/// How to read.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    pub from: Start,
    pub until: Until,
    pub order: Order,
    /// What a read to the end contains at least; `None` there is `Level::Linearizable`. A read without end may be `Level::Bounded`: once
    /// it has caught up it fails with `Error::Stale` rather than fall further behind than the age, which is looked at twice in each
    /// age. Other reads have no level.
    pub consistency: Option<Level>,
    /// Read from this node's replicas alone, and never from others.
    pub node: Option<NodeId>,
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
            node: None,
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
