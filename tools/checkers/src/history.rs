//! The history: what clients asked and were told, and what the nodes showed of themselves.

use std::collections::{BTreeMap, BTreeSet};

use timberline::types::{Found, NodeId, Offset, OrderMark, ShardId, Term, Timestamp, Wait};

/// Everything that happened in one run, each list in the order of its happening.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub appends: Vec<Append>,
    pub refuted: Vec<Refuted>,
    pub shown: Vec<Shown>,
    pub begun: Vec<Begun>,
    pub closings: Vec<Closing>,
    pub merged: Vec<MergedStream>,
    pub fresh_reads: Vec<FreshRead>,
    pub group_steps: Vec<GroupStep>,
    pub group_reads: Vec<GroupRead>,
    pub marks: Vec<Marked>,
    /// All readers were given what leaders had to mark.
    pub awaited_marks: bool,
    pub untold: Vec<Untold>,
    pub positions: Vec<Positions>,
    pub leaders: Vec<Leading>,
    pub loads: Vec<Load>,
    /// The readable log of every replica that works at the end.
    pub logs: Vec<ReplicaLog>,
    /// Shards of which no quorum works at the end: what they still hold cannot be told.
    pub stopped: BTreeSet<ShardId>,
    /// How long records are kept at least, in true time; `None` if that cannot be told.
    pub kept_ns: Option<u64>,
    /// Nodes whose disks lost, in secret, what nothing on them can prove.
    pub damaged: BTreeSet<NodeId>,
}

/// One batch that a client wanted appended, all its attempts taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Unique in the run; the records' values carry it, so a reader can tell whose they are.
    pub id: u64,
    pub shard: ShardId,
    /// Who appended: batches of one producer in one shard stand in the order of `number`.
    pub producer: u64,
    pub number: u64,
    pub count: u32,
    pub invoked_ns: u64,
    pub terms: Terms,
    pub outcome: Outcome,
}

/// What the client asked beside the append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The key of all its records, if they have one.
    pub key: Option<u64>,
    pub wait: Wait,
    /// It is to be stamped above this.
    pub after: Timestamp,
    pub expects: Option<Expects>,
}

/// What must hold for an append to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// Its first record gets this offset.
    NextOffset(Offset),
    /// No record with its key is stamped above this in its shard.
    KeyUnchangedSince(Timestamp),
}

impl Append {
    /// The last timestamp of a batch with this stamp.
    pub fn last_timestamp(&self, stamp: Stamp) -> Timestamp {
        stamp.timestamp.plus_ns(u64::from(self.count.saturating_sub(1)))
    }

    /// From when on its acknowledgement orders it before everything that is sent anywhere: who waited for commitment alone
    /// has to wait out the batch's time.
    pub fn exposed_ns(&self) -> Option<u64> {
        let Outcome::Acknowledged { at_ns, stamp } = self.outcome else { return None };
        Some(match self.terms.wait {
            Wait::Exposed => at_ns,
            Wait::Committed => at_ns.max(self.last_timestamp(stamp).0 + 1),
        })
    }
}

/// A node refused an append because of its condition, and said what it found instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuted {
    pub shard: ShardId,
    pub at_ns: u64,
    pub found: Found,
}

/// What the client knows of its append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged {
        at_ns: u64,
        stamp: Stamp,
    },
    /// Refused for good by every attempt: it must never be visible.
    Failed,
    /// It may be in the log or not.
    Unknown,
}

/// A batch's place in the log and in time; record i of it has `offset + i` and `timestamp + i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub offset: Offset,
    pub timestamp: Timestamp,
}

/// A batch as it stands in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub stamp: Stamp,
    pub count: u32,
    /// Whose it is, by what its records carry.
    pub append: u64,
    /// A digest of all its bytes.
    pub digest: u64,
}

impl Entry {
    /// The offset after its last record.
    pub fn next_offset(&self) -> Offset {
        Offset(self.stamp.offset.0 + u64::from(self.count))
    }

    pub fn last_timestamp(&self) -> Timestamp {
        self.stamp.timestamp.plus_ns(u64::from(self.count.saturating_sub(1)))
    }
}

/// A reader was given an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// One unbroken subscription: its entries follow each other without a gap.
    pub reader: u64,
    pub node: NodeId,
    pub shard: ShardId,
    /// When the node showed it.
    pub at_ns: u64,
    pub entry: Entry,
}

/// A reader of everything was told where the log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub reader: u64,
    pub node: NodeId,
    pub shard: ShardId,
    /// The first record that the node's log kept.
    pub kept_from: Offset,
}

/// A reader was told that all records stamped at or below `closed` lie before `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    pub node: NodeId,
    pub shard: ShardId,
    pub at_ns: u64,
    pub closed: Timestamp,
    pub next: Offset,
}

/// What one merged reader was given, from one cursor on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedStream {
    pub reader: u64,
    /// The stream starts at the first record not below this.
    pub from: Timestamp,
    /// Where the logs of shards began that were trimmed when it began; the others began at 0.
    pub kept_from: BTreeMap<ShardId, Offset>,
    pub records: Vec<MergedRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MergedRecord {
    pub timestamp: Timestamp,
    pub shard: ShardId,
    pub offset: Offset,
    pub append: u64,
}

/// A read by consistency level that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshRead {
    pub client: u64,
    pub demand: Demand,
    pub invoked_ns: u64,
    /// Everything stamped up to here was to be part of it.
    pub mark: Timestamp,
    /// Of each shard the first record that was not.
    pub ends: BTreeMap<ShardId, Offset>,
}

/// What a read's level says that it contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Linearizable: whatever was acknowledged before it was sent.
    Everything,
    /// Session: of that, what this producer sent.
    Own { producer: u64 },
    /// Causal: whatever is stamped up to there.
    Told { token: Timestamp },
    /// Bounded: whatever was acknowledged so long before it was sent.
    OlderThan { age_ns: u64 },
}

/// A node folded a record of a consumer group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStep {
    pub node: NodeId,
    /// Where the record stands in the group's log.
    pub offset: Offset,
    pub at_ns: u64,
    /// Whose commit it is, and of which generation, if it is one.
    pub commits: Option<(u64, u64)>,
    /// Where the group stands behind it.
    pub places: BTreeMap<ShardId, GroupPlace>,
}

/// Where a group stands in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    pub owner: Option<u64>,
    /// The generation in which the owner was given it.
    pub since: u64,
    /// The first timestamp that was not read.
    pub next: Timestamp,
}

/// A member of a group handed out a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRead {
    /// A member that joins anew is another one.
    pub member: u64,
    /// Of the standing by which it reads.
    pub generation: u64,
    pub shard: ShardId,
    pub timestamp: Timestamp,
    pub at_ns: u64,
}

/// A reader was given an order mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    pub node: NodeId,
    pub shard: ShardId,
    pub at_ns: u64,
    pub mark: OrderMark,
}

/// A stretch of the observer's time in which a clock was wrong, and nobody who could mark it in this shard's log knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold {
    pub shard: ShardId,
    pub from_ns: u64,
    pub until_ns: u64,
}

/// A replica's positions at one moment; offsets are "first not yet".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    pub node: NodeId,
    /// Rises with every restart of the node.
    pub life: u64,
    /// When they were seen, in true time.
    pub at_ns: u64,
    pub shard: ShardId,
    pub trimmed: Offset,
    pub released: Offset,
    pub committed: Offset,
    pub appended: Offset,
    pub synced: Offset,
    pub closed: Timestamp,
}

/// A node took up the leadership of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leading {
    pub shard: ShardId,
    pub term: Term,
    pub node: NodeId,
}

/// Something bounded, as full as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub what: &'static str,
    pub found: u64,
    pub max: u64,
}

/// A replica's readable log, from the first record that it keeps on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLog {
    pub node: NodeId,
    pub shard: ShardId,
    pub kept_from: Offset,
    pub entries: Vec<Entry>,
}
