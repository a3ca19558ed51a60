//! All groups of one log, and what a fold needs that does not begin at its beginning.
//!
//! A log of groups is trimmed from its front, so each group's state is written into it again from time to time
//! (`Change::Whole`). Such a record was made of the fold at one offset and stands at a later one: it counts if in between
//! nothing was said of the group, and no group deleted, and only for folds that have seen what came in between. Invariant:
//! from the first whole record of a group on, a fold that began later comes to the same as one that began at the beginning.

use std::collections::BTreeMap;

use super::{Change, Group, GroupRecord};
use crate::types::{GroupName, Offset};

/// The groups of one log, as of `next`.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// Where the fold began.
    start: Offset,
    next: Offset,
    written_bytes: u64,
    /// No deletion, of whichever group, stands at or behind this.
    deleted: Offset,
    entries: BTreeMap<GroupName, Entry>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    /// No record of the group stands at or behind this.
    touched: Offset,
    /// What was written before its last whole record.
    whole_at_bytes: u64,
    /// `None` until its first whole record, for a fold that began later.
    group: Option<Group>,
}

impl Groups {
    /// A fold that begins at `start`, where the log begins that is left.
    pub fn from(start: Offset) -> Self {
        Self { start, next: start, deleted: start, ..Self::default() }
    }

    /// The offset of the first record that is not folded in.
    pub fn next(&self) -> Offset {
        self.next
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Shards of all groups.
    pub fn places(&self) -> usize {
        self.iter().map(|(_, group)| group.places.len()).sum()
    }

    pub fn get(&self, name: &GroupName) -> Option<&Group> {
        self.entries.get(name)?.group.as_ref()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&GroupName, &Group)> {
        self.entries.iter().filter_map(|(name, entry)| Some((name, entry.group.as_ref()?)))
    }

    /// Groups of which nothing was written whole within the last `bytes` of the log.
    pub fn not_whole_for(&self, bytes: u64) -> impl Iterator<Item = (&GroupName, &Group)> {
        let written = self.written_bytes;
        let is_stale = move |entry: &Entry| written - entry.whole_at_bytes >= bytes;
        let stale = self.entries.iter().filter(move |(_, entry)| is_stale(entry));
        stale.filter_map(|(name, entry)| Some((name, entry.group.as_ref()?)))
    }

    #[cfg(test)]
    pub(super) fn was_just_made_whole(&self, name: &GroupName) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.whole_at_bytes == self.written_bytes)
    }

    /// Steps over what stands before `next` and is no record of a group.
    pub fn skip_to(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// Folds the record at `offset`, of so many bytes.
    pub fn fold(&mut self, offset: Offset, bytes: u64, record: GroupRecord) {
        assert!(offset >= self.next, "records are folded in order: {offset} after {}", self.next);
        self.next = offset.plus(1);
        self.written_bytes += bytes;
        let GroupRecord { group: name, change } = record;
        match change {
            Change::Whole { at, group } => self.make_whole(name, (at, offset), group),
            Change::Deleted => self.delete(&name),
            change => {
                let entry = self.entries.entry(name).or_default();
                entry.touched = self.next;
                if let Some(group) = &mut entry.group {
                    group.fold(change);
                }
            }
        }
    }

    fn make_whole(&mut self, name: GroupName, (at, offset): (Offset, Offset), whole: Group) {
        // Of a group that was deleted nothing is kept, so a deletion stands for all groups.
        let touched = self.entries.get(&name).map_or(self.start, |entry| entry.touched).max(self.deleted);
        if at < touched || at > offset {
            return;
        }
        let whole_at_bytes = self.written_bytes;
        self.entries.insert(name, Entry { touched: self.next, whole_at_bytes, group: Some(whole) });
    }

    fn delete(&mut self, name: &GroupName) {
        self.deleted = self.next;
        let group = self.entries.get(name).and_then(|entry| entry.group.as_ref());
        if group.is_none_or(|group| group.members.is_empty()) {
            self.entries.remove(name);
        }
    }
}
