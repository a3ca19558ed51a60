//! Closed means closed: behind the place a reader was told of, nothing is stamped at or below the closed time, for
//! ever, whoever leads.

use timberline::types::ShardId;

use crate::checker::Tally;
use crate::log::Logs;
use crate::{Closing, History};

pub(crate) fn closed(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let mut closings: Vec<&Closing> = history.closings.iter().collect();
    closings.sort_by_key(|closing| (closing.shard, closing.next));
    let mut entries = Vec::new();
    let mut shard: Option<ShardId> = None;
    let mut at = 0;
    for closing in closings {
        tally.0 += 1;
        if shard != Some(closing.shard) {
            shard = Some(closing.shard);
            entries = logs.shard(closing.shard).copied().collect();
            at = 0;
        }
        // Timestamps rise with offsets, so the first record behind the place is the one to look at. It may stand
        // inside an entry, if the reader stopped there.
        while entries.get(at).is_some_and(|entry| entry.next_offset() <= closing.next) {
            at += 1;
        }
        let Some(entry) = entries.get(at) else { continue };
        let inside = closing.next.0.saturating_sub(entry.stamp.offset.0);
        if entry.stamp.timestamp.plus_ns(inside) <= closing.closed {
            return Err(format!("{closing:?} was told, yet there stands {entry:?}"));
        }
    }
    Ok(())
}
