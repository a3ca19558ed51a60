//! A merged reader's stream is a contiguous slice of the one order of everything, by (timestamp, shard).

use timberline::types::Offset;

use crate::checker::Tally;
use crate::log::Logs;
use crate::{History, MergedRecord};

pub(crate) fn slices(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let mut all: Vec<MergedRecord> = logs
        .entries()
        .flat_map(|(shard, entry)| {
            (0..u64::from(entry.count)).map(move |i| MergedRecord {
                timestamp: entry.stamp.timestamp.plus_ns(i),
                shard,
                offset: Offset(entry.stamp.offset.0 + i),
                append: entry.append,
            })
        })
        .collect();
    all.sort_unstable();
    for stream in &history.merged {
        let start = all.partition_point(|record| record.timestamp < stream.from);
        let kept = |record: &&MergedRecord| {
            stream.kept_from.get(&record.shard).is_none_or(|kept_from| record.offset >= *kept_from)
        };
        let expected = all[start..].iter().filter(kept).map(Some).chain(std::iter::repeat(None));
        for (found, expected) in stream.records.iter().zip(expected) {
            tally.0 += 1;
            if Some(found) != expected {
                return Err(format!(
                    "merged reader {} from {}: {found:?}, but next is {expected:?}",
                    stream.reader, stream.from
                ));
            }
        }
    }
    Ok(())
}
