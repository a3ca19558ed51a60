//! A reader sees a shard's log as it is: entry after entry, none left out.

use std::collections::BTreeMap;

use crate::checker::Tally;
use crate::{Entry, History};

pub(crate) fn contiguous(history: &History, tally: &mut Tally) -> Result<(), String> {
    let mut last: BTreeMap<_, Entry> = BTreeMap::new();
    for shown in &history.shown {
        tally.0 += 1;
        let before = last.insert((shown.reader, shown.shard), shown.entry);
        if let Some(before) = before.filter(|before| before.next_offset() != shown.entry.stamp.offset) {
            return Err(format!("{shown:?} does not follow {before:?}"));
        }
    }
    Ok(())
}
