//! Where logs begin: nothing is trimmed before its time, and whoever reads everything begins at the first record kept.

use std::collections::BTreeMap;

use timberline::types::{Offset, ShardId};

use crate::checker::Tally;
use crate::log::Logs;
use crate::{Begun, Entry, History};

/// A record may be trimmed only once it is older, in true time, than the topic keeps it.
pub(crate) fn retention(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let Some(kept_ns) = history.kept_ns else { return Ok(()) };
    let mut judged: BTreeMap<ShardId, Offset> = BTreeMap::new();
    for now in &history.positions {
        tally.0 += 1;
        let farthest = judged.entry(now.shard).or_default();
        if now.trimmed <= *farthest {
            continue;
        }
        *farthest = now.trimmed;
        let gone = logs.shard(now.shard).take_while(|entry| entry.next_offset() <= now.trimmed).last();
        let early = gone.filter(|entry| entry.last_timestamp().plus_ns(kept_ns).0 > now.at_ns);
        if let Some(entry) = early {
            return Err(format!("{entry:?} is to be kept for {kept_ns} ns, but was trimmed away in {now:?}"));
        }
    }
    Ok(())
}

/// The first entry that a reader of everything was given begins where the log began for it.
pub(crate) fn begins(history: &History, tally: &mut Tally) -> Result<(), String> {
    let mut begun: BTreeMap<_, &Begun> =
        history.begun.iter().map(|begun| ((begun.reader, begun.shard), begun)).collect();
    for shown in &history.shown {
        tally.0 += 1;
        let Some(begun) = begun.remove(&(shown.reader, shown.shard)) else { continue };
        let Entry { stamp, .. } = shown.entry;
        if stamp.offset != begun.kept_from {
            return Err(format!("{shown:?} is the first of {begun:?}"));
        }
    }
    Ok(())
}
