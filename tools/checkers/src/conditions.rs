//! What was asked of appends beside taking them: a condition that was granted held at the batch's very place in its shard.
//!
//! Looks at batches that stand in a log, whatever their clients were told. What refusals may tell is `time`'s.

use std::collections::BTreeMap;

use timberline::types::ShardId;

use crate::checker::Tally;
use crate::log::Logs;
use crate::{Append, Entry, Expects, History};

pub(crate) fn granted(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let appends: BTreeMap<u64, &Append> = history.appends.iter().map(|append| (append.id, append)).collect();
    // By shard and key, the last batch that stands before the present one.
    let mut newest: BTreeMap<(ShardId, u64), &Entry> = BTreeMap::new();
    for (shard, entry) in logs.entries() {
        tally.0 += 1;
        let Some(append) = appends.get(&entry.append) else { continue };
        let before = append.terms.key.and_then(|key| newest.insert((shard, key), entry));
        if entry.stamp.timestamp <= append.terms.after {
            return Err(format!("shard {shard}: {entry:?} is not stamped above what {append:?} asked for"));
        }
        match append.terms.expects {
            Some(Expects::NextOffset(offset)) if offset != entry.stamp.offset => {
                return Err(format!("shard {shard}: {entry:?} stands elsewhere than {append:?} expected"));
            }
            Some(Expects::KeyUnchangedSince(as_of)) => {
                let changed = before.filter(|before| before.last_timestamp() > as_of);
                if let Some(changed) = changed {
                    return Err(format!(
                        "shard {shard}: {changed:?} changed the key that {append:?} took for unchanged"
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}
