//! What became of appends: acknowledged ones are there, failed ones are not, nothing is there twice or unasked.

use std::collections::{BTreeMap, BTreeSet};

use timberline::types::Offset;

use crate::checker::Tally;
use crate::log::Logs;
use crate::{Append, Entry, History, Outcome};

fn by_id(history: &History) -> BTreeMap<u64, &Append> {
    history.appends.iter().map(|append| (append.id, append)).collect()
}

/// Once logs were read, every one of them must hold it: that somebody saw it once is not enough.
pub(crate) fn acknowledged(history: &History, tally: &mut Tally) -> Result<(), String> {
    for log in history.logs.iter().filter(|log| !history.stopped.contains(&log.shard)) {
        let held: BTreeMap<Offset, &Entry> =
            log.entries.iter().map(|entry| (entry.stamp.offset, entry)).collect();
        for append in history.appends.iter().filter(|append| append.shard == log.shard) {
            let Outcome::Acknowledged { stamp, .. } = append.outcome else { continue };
            if stamp.offset < log.kept_from {
                continue;
            }
            tally.0 += 1;
            let found = held.get(&stamp.offset);
            let right = found.is_some_and(|entry| {
                (entry.append, entry.stamp, entry.count) == (append.id, stamp, append.count)
            });
            if !right {
                let node = log.node;
                return Err(format!("{append:?} was acknowledged, but node {node} holds {found:?} there"));
            }
        }
    }
    Ok(())
}

pub(crate) fn phantom(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let appends = by_id(history);
    for (shard, entry) in logs.entries() {
        tally.0 += 1;
        match appends.get(&entry.append) {
            Some(append) if (append.shard, append.count) == (shard, entry.count) => {}
            Some(append) => return Err(format!("shard {shard} holds {entry:?}, but sent was {append:?}")),
            None => return Err(format!("shard {shard} holds {entry:?}, which nobody sent")),
        }
    }
    for shown in &history.shown {
        tally.0 += 1;
        let sent_ns = appends.get(&shown.entry.append).map(|append| append.invoked_ns);
        if sent_ns.is_none_or(|sent_ns| shown.at_ns < sent_ns) {
            return Err(format!("{shown:?} was sent at {sent_ns:?}"));
        }
    }
    Ok(())
}

pub(crate) fn failed(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let failed: BTreeSet<u64> = history
        .appends
        .iter()
        .filter(|append| append.outcome == Outcome::Failed)
        .map(|append| append.id)
        .collect();
    tally.0 += failed.len() as u64;
    match logs.entries().find(|(_, entry)| failed.contains(&entry.append)) {
        Some((shard, entry)) => {
            Err(format!("shard {shard} holds {entry:?}, which its client was told had failed"))
        }
        None => Ok(()),
    }
}

pub(crate) fn duplicate(logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    for (shard, entry) in logs.entries() {
        tally.0 += 1;
        if let Some(first) = seen.insert(entry.append, entry) {
            return Err(format!("shard {shard} holds an append twice: {first:?} and {entry:?}"));
        }
    }
    Ok(())
}
