//! Limits that bind rarely in life, and often in a simulation.

#[cfg(feature = "simulation")]
use std::cell::Cell;

/// A limit that a simulation may shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Unreleased entries of a shard before the queue is thinned.
    ReleaseQueueEntries,
    /// Closed ticks whose acknowledgement is awaited.
    AwaitedTicks,
    /// Nanoseconds by which one shard's publication may lag the others'.
    PublicationLagNs,
    /// Bytes above which a replication message goes by the bulk stream.
    BulkBytes,
    /// Bytes of entries in one replication message.
    ReplicationBytes,
    /// Replication messages on their way to one replica.
    ReplicationMessages,
    /// Bytes that are synced before a log's synced mark moves.
    SyncedMarkBytes,
    /// Keys whose last change a leader remembers.
    RecentKeys,
    /// Producers that a shard remembers.
    DedupProducers,
}

impl Limit {
    pub const ALL: [Self; 9] = [
        Self::ReleaseQueueEntries,
        Self::AwaitedTicks,
        Self::PublicationLagNs,
        Self::BulkBytes,
        Self::ReplicationBytes,
        Self::ReplicationMessages,
        Self::SyncedMarkBytes,
        Self::RecentKeys,
        Self::DedupProducers,
    ];

    #[cfg(feature = "simulation")]
    fn small(self) -> u64 {
        match self {
            Self::ReleaseQueueEntries | Self::RecentKeys => 4,
            Self::AwaitedTicks | Self::ReplicationMessages | Self::DedupProducers => 2,
            Self::PublicationLagNs => 5_000_000,
            Self::BulkBytes | Self::ReplicationBytes => 600,
            Self::SyncedMarkBytes => 1,
        }
    }
}

#[cfg(feature = "simulation")]
thread_local! {
    static SHRUNK: Cell<u64> = const { Cell::new(0) };
}

/// From now on, these limits are small on this thread, and the others as usual.
#[cfg(feature = "simulation")]
pub fn shrink(limits: &[Limit]) {
    SHRUNK.set(limits.iter().fold(0, |bits, limit| bits | (1 << *limit as u64)));
}

/// The limit in force: `usual`, unless a simulation shrank it.
#[cfg(feature = "simulation")]
pub fn limit(limit: Limit, usual: u64) -> u64 {
    if SHRUNK.get() & (1 << limit as u64) == 0 { usual } else { limit.small().min(usual) }
}

/// The limit in force: `usual`.
#[cfg(not(feature = "simulation"))]
#[inline]
pub const fn limit(_limit: Limit, usual: u64) -> u64 {
    usual
}
