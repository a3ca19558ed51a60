//! What a coordinator does about what a member says: what it appends, and what it answers once that is folded in.
//!
//! Knows nothing of requests and of appends. The fold that is asked must hold all that was decided before. Invariant: what is
//! answered is what the fold says, so a word that is said twice is answered as truly the second time.

use super::{Change, Commit, Group, Groups, Joining};
use crate::types::{GroupName, MemberId, ShardId, Timestamp};

/// What a member says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    pub member: MemberId,
    /// Of the standing that it follows; 0 to join.
    pub generation: u64,
    /// Everything up to here was read, of what it has owned since `generation` or before.
    pub read: Option<(Timestamp, ShardId)>,
    /// Shards that others want and that it reads no more.
    pub yields: Vec<ShardId>,
    pub leaves: bool,
}

/// What a word of a member's leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is no member yet and is to be one (`Groups::joining`).
    Joins,
    /// This is to be appended first; nothing, if there is nothing.
    Changes(Vec<Change>),
    /// It left already, and this is its last word once more.
    HasLeft,
    /// It was taken for dead, or left: what it says it read counts no more.
    IsStale,
}

/// What a member is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is a member, and holds what the group says (`Group::held_by`).
    Member,
    HasLeft,
    /// Its join came to nothing: others changed the group first.
    IsOvertaken,
    IsStale,
}

impl Beat {
    fn joins(&self) -> bool {
        self.generation == 0
    }

    fn is_of(&self, group: Option<&Group>) -> bool {
        group.is_some_and(|group| group.members.contains_key(&self.member))
    }

    /// What is to be done about it, of a group that stands like that.
    pub fn heard(self, group: Option<&Group>) -> Heard {
        match (self.is_of(group), self.joins()) {
            (false, true) => return Heard::Joins,
            (false, false) if self.leaves && self.read.is_none() => return Heard::HasLeft,
            // What it says it read may not have counted.
            (false, false) => return Heard::IsStale,
            (true, _) => {}
        }
        let Self { member, generation, read, yields, leaves } = self;
        let mut changes = Vec::new();
        if generation != 0 && (read.is_some() || !yields.is_empty()) {
            changes.push(Change::Committed(Commit { member, generation, read, yields }));
        }
        if leaves {
            changes.push(Change::Left { member });
        }
        Heard::Changes(changes)
    }

    /// What it is answered, once all that was appended for it is folded into the group.
    pub fn answered(&self, group: Option<&Group>) -> Standing {
        match (self.is_of(group), self.leaves) {
            (true, _) => Standing::Member,
            (false, true) => Standing::HasLeft,
            (false, false) if self.joins() => Standing::IsOvertaken,
            (false, false) => Standing::IsStale,
        }
    }
}

impl Groups {
    /// What a join appends: a group that is not there yet is founded first.
    pub fn joining(&self, name: &GroupName, joining: Joining) -> Vec<Change> {
        let is_new = self.get(name).is_none();
        let founding = is_new.then(|| Change::Whole { at: self.next(), group: Group::default() });
        founding.into_iter().chain([Change::Joined(joining)]).collect()
    }
}
