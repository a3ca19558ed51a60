//! A consumer group: one member reads a shard at a time, commits count while it does, nothing is passed over.
//!
//! The group's log is the witness: of every record in it is known whose commit it was, if it was one, and where the group
//! stood behind it. What members handed out is the other side; the shards' own logs say what there was to hand out.

use std::collections::BTreeMap;

use timberline::types::{Offset, ShardId, Timestamp};

use crate::checker::Tally;
use crate::history::{GroupPlace, GroupStep};
use crate::log::Logs;
use crate::{GroupRead, History};

type Handed = BTreeMap<(u64, ShardId, Timestamp), u64>;

pub(crate) fn groups(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let steps = one_fold(&history.group_steps, tally)?;
    let handed =
        history.group_reads.iter().map(|read| ((read.member, read.shard, read.timestamp), read.at_ns));
    let handed: Handed = handed.collect();
    let mut before: BTreeMap<ShardId, GroupPlace> = BTreeMap::new();
    let mut given: BTreeMap<(ShardId, u64), GroupPlace> = BTreeMap::new();
    for step in steps {
        for (shard, place) in &step.places {
            tally.0 += 1;
            if place.owner.is_some() {
                let since = given.entry((*shard, place.since)).or_insert(*place);
                if since.owner != place.owner {
                    return Err(format!(
                        "shard {shard} has two owners since one generation: {since:?}, {place:?}"
                    ));
                }
            }
            if let Some(before) = before.get(shard).filter(|before| before.next != place.next) {
                moved(step, *shard, *before)?;
                passed(step, *shard, before.next, &handed, logs, tally)?;
            }
        }
        before.clone_from(&step.places);
    }
    repeats(&history.group_reads, &given, tally)
}

/// Every node that folded a record came to the same; one of these each, by offset.
fn one_fold<'a>(steps: &'a [GroupStep], tally: &mut Tally) -> Result<Vec<&'a GroupStep>, String> {
    let mut folded: BTreeMap<Offset, &GroupStep> = BTreeMap::new();
    for step in steps {
        tally.0 += 1;
        let first = folded.entry(step.offset).or_insert(step);
        if (first.commits, &first.places) != (step.commits, &step.places) {
            return Err(format!("two nodes folded one record to different groups: {first:?}, {step:?}"));
        }
    }
    Ok(folded.into_values().collect())
}

/// A position moves forward, by a commit of who owned the shard since the generation that the commit names, or before.
fn moved(step: &GroupStep, shard: ShardId, before: GroupPlace) -> Result<(), String> {
    let next = step.places[&shard].next;
    if next < before.next {
        return Err(format!("the group moves back in shard {shard}, from {before:?}: {step:?}"));
    }
    let counts = step
        .commits
        .is_some_and(|(member, generation)| before.owner == Some(member) && before.since <= generation);
    if counts {
        Ok(())
    } else {
        Err(format!("a commit counted that was fenced: shard {shard}, from {before:?}: {step:?}"))
    }
}

/// All that a commit passes was handed out by the member that commits, before.
fn passed(
    step: &GroupStep,
    shard: ShardId,
    from: Timestamp,
    handed: &Handed,
    logs: &Logs,
    tally: &mut Tally,
) -> Result<(), String> {
    let next = step.places[&shard].next;
    let (member, _) = step.commits.expect("only a commit moves");
    for entry in logs.shard(shard) {
        for nth in 0..u64::from(entry.count) {
            let timestamp = entry.stamp.timestamp.plus_ns(nth);
            if timestamp < from || timestamp >= next {
                continue;
            }
            tally.0 += 1;
            if handed.get(&(member, shard, timestamp)).is_none_or(|at_ns| *at_ns > step.at_ns) {
                return Err(format!("{timestamp} of {entry:?} in shard {shard} is passed over by {step:?}"));
            }
        }
    }
    Ok(())
}

/// What is handed out lies behind what was committed when its reader was given the shard, and comes once while that holds it.
fn repeats(
    reads: &[GroupRead],
    given: &BTreeMap<(ShardId, u64), GroupPlace>,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut last: BTreeMap<(u64, ShardId), Timestamp> = BTreeMap::new();
    for read in reads {
        tally.0 += 1;
        let mut places = given.range((read.shard, 0)..=(read.shard, read.generation));
        let owned = places.rfind(|(_, place)| place.owner == Some(read.member));
        let Some(((_, since), place)) = owned else {
            return Err(format!("{read:?} is of a shard that its reader was never given"));
        };
        if place.next > read.timestamp {
            return Err(format!("{read:?} was committed before: {place:?}"));
        }
        if last.insert((*since, read.shard), read.timestamp) >= Some(read.timestamp) {
            return Err(format!("{read:?} is not behind what the same member read before"));
        }
    }
    Ok(())
}
