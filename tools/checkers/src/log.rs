//! The one log of every shard, put together from all that was ever seen of it.
//!
//! Invariant: entries stand by offset; where two sightings disagree, the first stands and the conflict is kept.

use std::collections::BTreeMap;

use timberline::types::{Offset, ShardId};

use crate::checker::Tally;
use crate::{Entry, History};

/// Every shard's entries by their first offset.
pub(crate) struct Logs {
    shards: BTreeMap<ShardId, BTreeMap<Offset, Entry>>,
    conflict: Option<String>,
    sightings: u64,
    /// Shards whose logs were read, and from where on: nothing can be missing behind it but by a fault.
    whole: BTreeMap<ShardId, Offset>,
}

impl Logs {
    pub(crate) fn of(history: &History) -> Self {
        let mut logs = Self { shards: BTreeMap::new(), conflict: None, sightings: 0, whole: BTreeMap::new() };
        for log in history.logs.iter().filter(|log| !history.stopped.contains(&log.shard)) {
            let kept_from = logs.whole.entry(log.shard).or_insert(log.kept_from);
            *kept_from = log.kept_from.min(*kept_from);
        }
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
            let mut next = log.kept_from;
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
        for (shard, entries) in &self.shards {
            let Some(kept_from) = self.whole.get(shard) else { continue };
            let kept = || entries.range(*kept_from..).map(|(_, entry)| entry);
            for (before, after) in kept().zip(kept().skip(1)) {
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
