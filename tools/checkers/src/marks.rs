//! What a wrong clock left at a wrong time is marked: consumers were told that its order is not guaranteed.
//!
//! A clock whose bound is false stamps records below the time at which they were sent, or shows them before their time has
//! passed. Let A be acknowledged, or seen, before B was sent. If neither is such a one, `ts(A) < ended(A) < began(B) <= ts(B)`; so of
//! each pair that stands the other way round one is. The law is therefore one of single records: each that was stamped or shown
//! at a wrong time lies in the range of an order mark of its shard. Pairs are only counted, so that a law that never bites is
//! noticed. Knows nothing of clocks: when one was wrong and nobody could tell, the history says (`Untold`), and what came
//! into being then is excused. Nothing is judged before somebody waited for the marks.

use std::collections::BTreeMap;

use timberline::types::{ShardId, Timestamp, TimestampRanges};

use crate::checker::Tally;
use crate::log::Logs;
use crate::order::{Span, by_timestamp, spans};
use crate::{Entry, History};

/// What is marked, by shard.
struct Ranges(BTreeMap<ShardId, TimestampRanges>);

impl Ranges {
    fn of(history: &History) -> Self {
        let mut ranges: BTreeMap<ShardId, TimestampRanges> = BTreeMap::new();
        for marked in &history.marks {
            ranges.entry(marked.shard).or_default().add(marked.mark.from, marked.mark.until);
        }
        Self(ranges)
    }

    /// The first and the last record's timestamp of those that no mark covers.
    fn bare(&self, shard: ShardId, entry: &Entry) -> Option<(Timestamp, Timestamp)> {
        let (mut first, mut last) = (entry.stamp.timestamp, entry.last_timestamp());
        let around = |timestamp| self.0.get(&shard).and_then(|ranges| ranges.around(timestamp));
        if let Some((_, until)) = around(first) {
            first = until.next();
        }
        if let Some((from, _)) = around(last) {
            last = from.minus_ns(1);
        }
        (first <= last).then_some((first, last))
    }
}

pub(crate) fn marked(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    if !history.awaited_marks {
        return Ok(());
    }
    let (spans, ranges) = (spans(history), Ranges::of(history));
    for (shard, entry) in logs.entries() {
        tally.0 += 1;
        let Some(span) = spans.get(&entry.append) else { continue };
        let Some((first, last)) = ranges.bare(shard, entry) else { continue };
        let is_early = first.0 < span.began_ns;
        let is_shown_early = span.ended_ns <= last.0;
        if (is_early || is_shown_early) && !is_excused(history, shard, span) {
            let how =
                if is_early { "stamped before it was sent" } else { "shown before its time had passed" };
            let Span { began_ns, ended_ns, .. } = *span;
            return Err(format!(
                "shard {shard}: {entry:?}, sent at {began_ns} ns and seen at {ended_ns} ns, was {how}, and no mark covers {first} to {last}"
            ));
        }
    }
    Ok(())
}

/// Whether a clock may have been wrong unnoticed between the batch's being sent and its being seen.
fn is_excused(history: &History, shard: ShardId, span: &Span) -> bool {
    history.untold.iter().any(|untold| {
        untold.shard == shard && untold.from_ns <= span.ended_ns && span.began_ns <= untold.until_ns
    })
}

/// How many pairs of batches, neither of them excused, stand in another order than that in which they were seen and sent.
pub fn disordered_pairs(history: &History) -> u64 {
    let (logs, spans) = (Logs::of(history), spans(history));
    // The starts of all that stands earlier, sorted: they nearly come that way.
    let mut began: Vec<u64> = Vec::new();
    let mut pairs = 0;
    for (_, span) in by_timestamp(&logs, &spans).filter(|(shard, span)| !is_excused(history, *shard, span)) {
        pairs += (began.len() - began.partition_point(|began_ns| *began_ns <= span.ended_ns)) as u64;
        began.insert(began.partition_point(|began_ns| *began_ns <= span.began_ns), span.began_ns);
    }
    pairs
}
