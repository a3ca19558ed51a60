//! What nodes tell of themselves: positions, leaderships, loads.

use std::collections::BTreeMap;

use crate::checker::Tally;
use crate::{History, Positions};

pub(crate) fn positions(history: &History, tally: &mut Tally) -> Result<(), String> {
    let mut last: BTreeMap<_, Positions> = BTreeMap::new();
    for now in &history.positions {
        tally.0 += 1;
        let ordered = now.trimmed <= now.released
            && now.released <= now.committed
            && now.committed <= now.appended
            && now.synced <= now.appended;
        if !ordered {
            return Err(format!("out of order: {now:?}"));
        }
        let before = last.insert((now.node, now.life, now.shard), *now);
        let back = before.filter(|before| {
            now.trimmed < before.trimmed
                || now.released < before.released
                || now.committed < before.committed
                || now.closed < before.closed
        });
        if let Some(before) = back {
            return Err(format!("went back from {before:?} to {now:?}"));
        }
    }
    Ok(())
}

/// The part of a log that is both synced here and committed may neither be truncated nor lost.
pub(crate) fn durable(history: &History, tally: &mut Tally) -> Result<(), String> {
    let mut durable: BTreeMap<_, Positions> = BTreeMap::new();
    for now in history.positions.iter().filter(|now| !history.damaged.contains(&now.node)) {
        tally.0 += 1;
        let end = |positions: &Positions| positions.synced.min(positions.committed);
        let best = durable.entry((now.node, now.shard)).or_insert(*now);
        if now.appended < end(best) {
            return Err(format!("lost what was durable: first {best:?}, later {now:?}"));
        }
        if end(best) < end(now) {
            *best = *now;
        }
    }
    Ok(())
}

pub(crate) fn leaders(history: &History, tally: &mut Tally) -> Result<(), String> {
    let mut leaders = BTreeMap::new();
    for leading in &history.leaders {
        tally.0 += 1;
        let first = *leaders.entry((leading.shard, leading.term)).or_insert(leading.node);
        if first != leading.node {
            return Err(format!("{leading:?}, but node {first} led in that term"));
        }
    }
    Ok(())
}

pub(crate) fn bounds(history: &History, tally: &mut Tally) -> Result<(), String> {
    for load in &history.loads {
        tally.0 += 1;
        if load.found > load.max {
            return Err(format!("{}: {}, the limit is {}", load.what, load.found, load.max));
        }
    }
    Ok(())
}
