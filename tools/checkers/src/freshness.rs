//! Reads by consistency level: each contains everything up to one timestamp, and that reaches as far as its level demands.

use std::collections::BTreeMap;

use timberline::types::{Offset, ShardId};

use crate::checker::Tally;
use crate::log::Logs;
use crate::{Append, Demand, Entry, FreshRead, History, Outcome};

pub(crate) fn fresh(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let mut shards: BTreeMap<ShardId, Vec<Entry>> = BTreeMap::new();
    for (shard, entry) in logs.entries() {
        shards.entry(shard).or_default().push(*entry);
    }
    for read in &history.fresh_reads {
        for (shard, entries) in &shards {
            tally.0 += 1;
            whole(read, *shard, entries)?;
        }
        demanded(read, &history.appends, tally)?;
    }
    Ok(())
}

/// Where a read ended in a shard; at its beginning if it never came to it.
fn end_in(read: &FreshRead, shard: ShardId) -> Offset {
    read.ends.get(&shard).copied().unwrap_or_default()
}

/// Nothing stamped up to the read's mark stands behind its end.
fn whole(read: &FreshRead, shard: ShardId, entries: &[Entry]) -> Result<(), String> {
    let end = end_in(read, shard);
    let at = entries.partition_point(|entry| entry.next_offset() <= end);
    let Some(left_out) = entries.get(at) else { return Ok(()) };
    let inside = end.0.saturating_sub(left_out.stamp.offset.0);
    if left_out.stamp.timestamp.plus_ns(inside) <= read.mark {
        return Err(format!(
            "{read:?} ended in shard {shard} before {left_out:?}, which is stamped up to its mark"
        ));
    }
    Ok(())
}

fn demanded(read: &FreshRead, appends: &[Append], tally: &mut Tally) -> Result<(), String> {
    if let Demand::Told { token } = read.demand
        && read.mark < token
    {
        return Err(format!("{read:?} ends before what its token saw"));
    }
    for append in appends {
        let Outcome::Acknowledged { at_ns, stamp } = append.outcome else { continue };
        let exposed_ns = append.exposed_ns().expect("it is acknowledged");
        let is_demanded = match read.demand {
            Demand::Everything => exposed_ns < read.invoked_ns,
            Demand::Own { producer } => append.producer == producer && at_ns < read.invoked_ns,
            Demand::OlderThan { age_ns } => exposed_ns < read.invoked_ns.saturating_sub(age_ns),
            Demand::Told { .. } => false,
        };
        if is_demanded {
            tally.0 += 1;
            if stamp.offset.0 + u64::from(append.count) > end_in(read, append.shard).0 {
                return Err(format!("{read:?} lacks {append:?}"));
            }
        }
    }
    Ok(())
}
