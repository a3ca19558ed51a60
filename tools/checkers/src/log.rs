//! The one log of every shard, put together from all that was ever seen of it.
//!
//! Invariant: entries stand by offset; where two sightings disagree, the first stands and the conflict is kept.

use std::collections::{BTreeMap, BTreeSet};

use timberline::types::{Offset, ShardId};

use crate::checker::Tally;
use crate::{Entry, History};

/// Every shard's entries by their first offset.
pub(crate) struct Logs {
    shards: BTreeMap<ShardId, BTreeMap<Offset, Entry>>,
    conflict: Option<String>,
    sightings: u64,
    /// Shards whose logs were read from their start: nothing can be missing but by a fault.
    whole: BTreeSet<ShardId>,
}

impl Logs {
    pub(crate) fn of(history: &History) -> Self {
        let mut logs = Self { shards: BTreeMap::new(), conflict: None, sightings: 0, whole: BTreeSet::new() };
        let read = history.logs.iter().map(|log| log.shard);
        logs.whole = read.filter(|shard| !history.stopped.contains(shard)).collect();
        for log in &history.logs {
            for entry in &log.entries {
                logs.see(log.shard, *entry, &format!("in the log of node {}", log.node));
            }
        }
        for shown in &history.shown {
            logs.see(shown.shard, shown.entry, &format!("by reader {} on node {}", shown.reader, shown.node));
        }
        logs
    }

    fn see(&mut self, shard: ShardId, entry: Entry, place: &str) {
        self.sightings += 1;
        let entries = self.shards.entry(shard).or_default();
        // Of the entries that begin below its end, the last is the one that may overlap it.
        let near = entries.range(..entry.next_offset()).next_back().map(|(_, near)| *near);
        match near {
            Some(near) if near == entry => {}
            Some(near) if near.next_offset() > entry.stamp.offset => {
                let conflict = format!("shard {shard}: {near:?}, but {place} {entry:?}");
                self.conflict.get_or_insert(conflict);
            }
            _ => {
                entries.insert(entry.stamp.offset, entry);
            }
        }
    }

    /// No two sightings disagree, and no log has a hole.
    pub(crate) fn agreement(&self, history: &History, tally: &mut Tally) -> Result<(), String> {
        tally.0 += self.sightings;
        if let Some(conflict) = &self.conflict {
            return Err(conflict.clone());
        }
        for log in &history.logs {
            let mut next = Offset(0);
            for entry in &log.entries {
                if entry.stamp.offset != next {
                    return Err(format!(
                        "shard {}: node {} lacks {next} before {entry:?}",
                        log.shard, log.node
                    ));
                }
                next = entry.next_offset();
            }
        }
        for (shard, entries) in self.shards.iter().filter(|(shard, _)| self.whole.contains(shard)) {
            for (before, after) in entries.values().zip(entries.values().skip(1)) {
                if before.next_offset() != after.stamp.offset {
                    return Err(format!(
                        "shard {shard}: nothing was ever seen between {before:?} and {after:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// All entries, shard by shard in the order of offsets.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (ShardId, &Entry)> {
        self.shards.iter().flat_map(|(shard, entries)| entries.values().map(move |entry| (*shard, entry)))
    }

    /// One shard's entries in the order of offsets.
    pub(crate) fn shard(&self, shard: ShardId) -> impl DoubleEndedIterator<Item = &Entry> {
        self.shards.get(&shard).into_iter().flat_map(|entries| entries.values())
    }
}
