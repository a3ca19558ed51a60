//! What can happen to a group: the values of its records.
//!
//! Knows nothing of bytes.

use std::collections::BTreeMap;

use super::Group;
use crate::types::{GroupName, MemberId, Offset, ShardId, Timestamp, TopicName};

/// One change of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    pub group: GroupName,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Joined(Joining),
    /// A member left, or is dead for all that the coordinator knows.
    Left {
        member: MemberId,
    },
    Committed(Commit),
    /// What `member` was asked to yield by `generation` and did not goes to those who want it.
    Taken {
        member: MemberId,
        generation: u64,
    },
    /// Every shard is read from here on. Changes nothing while there are members.
    Reset {
        to: Timestamp,
    },
    /// Forgets a group. Changes nothing while there are members.
    Deleted,
    /// The group as it was before the record at `at`: what a fold needs that begins later. Counts unless a record in between
    /// changed it. A group begins with one that is empty.
    Whole {
        at: Offset,
        group: Group,
    },
}

impl Change {
    /// What happens, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Joined(_) => "joined",
            Self::Left { .. } => "left",
            Self::Committed(_) => "committed",
            Self::Taken { .. } => "taken",
            Self::Reset { .. } => "reset",
            Self::Deleted => "deleted",
            Self::Whole { .. } => "whole",
        }
    }
}

/// A member joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joining {
    pub member: MemberId,
    /// What people know it by.
    pub name: String,
    pub session_timeout_ms: u32,
    /// What the group reads: each topic's shards.
    pub topics: BTreeMap<TopicName, Vec<ShardId>>,
    /// Where shards are begun that the group has no position in.
    pub from: Timestamp,
}

/// A member has read everything up to a place in the order, of what it owns since `generation` or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub member: MemberId,
    pub generation: u64,
    /// The place of the last record read, if there is one.
    pub read: Option<(Timestamp, ShardId)>,
    /// Shards that others want and that it reads no more.
    pub yields: Vec<ShardId>,
}

impl Commit {
    /// The first timestamp of `shard` behind what was read.
    pub(super) fn next_in(&self, shard: ShardId) -> Option<Timestamp> {
        let (timestamp, last) = self.read?;
        Some(if shard <= last { timestamp.next() } else { timestamp })
    }
}
