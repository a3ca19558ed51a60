//! Order: of a producer's batches, of a shard, of everything.
//!
//! Real time is checked by one sweep (the witness order is known, so linearizability needs no search; Gibbons and
//! Korach 1997): in the order claimed, keep the latest start seen so far; whoever ended before it stands too late.

use std::collections::BTreeMap;

use timberline::types::{ShardId, Timestamp};

use crate::checker::Tally;
use crate::log::Logs;
use crate::{Append, History, Outcome};

/// From when to when a batch may have come into being, as clients saw it.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    append: u64,
    pub(crate) began_ns: u64,
    /// Acknowledged or seen by anybody, whichever was first.
    pub(crate) ended_ns: u64,
}

/// When batches came into being as far as their shards' order goes: whoever has a receipt of any kind is behind them.
fn placed(history: &History) -> BTreeMap<u64, Span> {
    spans_ended_by(history, |append| match append.outcome {
        Outcome::Acknowledged { at_ns, .. } => Some(at_ns),
        Outcome::Failed | Outcome::Unknown => None,
    })
}

/// When batches came into being as far as the order of everything goes.
pub(crate) fn spans(history: &History) -> BTreeMap<u64, Span> {
    spans_ended_by(history, Append::exposed_ns)
}

fn spans_ended_by(
    history: &History,
    acknowledged_ns: impl Fn(&Append) -> Option<u64>,
) -> BTreeMap<u64, Span> {
    let mut spans: BTreeMap<u64, Span> = history
        .appends
        .iter()
        .map(|append| {
            let ended_ns = acknowledged_ns(append).unwrap_or(u64::MAX);
            (append.id, Span { append: append.id, began_ns: append.invoked_ns, ended_ns })
        })
        .collect();
    for shown in &history.shown {
        if let Some(span) = spans.get_mut(&shown.entry.append) {
            span.ended_ns = span.ended_ns.min(shown.at_ns);
        }
    }
    spans
}

/// Fails if a span ended before one began that stands earlier.
fn follows_real_time(claimed: impl Iterator<Item = Span>, tally: &mut Tally) -> Result<(), String> {
    let mut latest: Option<Span> = None;
    for span in claimed {
        tally.0 += 1;
        if let Some(latest) = latest.filter(|latest| span.ended_ns < latest.began_ns) {
            return Err(format!(
                "append {} ended at {} ns, yet stands behind append {}, which was sent at {} ns",
                span.append, span.ended_ns, latest.append, latest.began_ns
            ));
        }
        if latest.is_none_or(|latest| latest.began_ns < span.began_ns) {
            latest = Some(span);
        }
    }
    Ok(())
}

pub(crate) fn producers(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let numbers: BTreeMap<u64, (u64, u64)> =
        history.appends.iter().map(|append| (append.id, (append.producer, append.number))).collect();
    let mut last = BTreeMap::new();
    for (shard, entry) in logs.entries() {
        tally.0 += 1;
        let Some((producer, number)) = numbers.get(&entry.append).copied() else { continue };
        if let Some(before) = last.insert((shard, producer), number).filter(|before| *before >= number) {
            return Err(format!(
                "shard {shard}, producer {producer}: {number} stands behind {before}, {entry:?}"
            ));
        }
    }
    Ok(())
}

pub(crate) fn shards(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    let spans = placed(history);
    let mut shards: Vec<_> = logs.entries().map(|(shard, _)| shard).collect();
    shards.dedup();
    for shard in shards {
        let claimed = logs.shard(shard).filter_map(|entry| spans.get(&entry.append).copied());
        follows_real_time(claimed, tally).map_err(|what| format!("shard {shard}: {what}"))?;
        for (before, after) in logs.shard(shard).zip(logs.shard(shard).skip(1)) {
            tally.0 += 1;
            if before.last_timestamp() >= after.stamp.timestamp {
                return Err(format!("shard {shard}: timestamps do not rise from {before:?} to {after:?}"));
            }
        }
    }
    Ok(())
}

pub(crate) fn everything(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    follows_real_time(by_timestamp(logs, &spans(history)).map(|(_, span)| span), tally)
}

/// All batches' spans in the order that their timestamps claim.
pub(crate) fn by_timestamp(
    logs: &Logs,
    spans: &BTreeMap<u64, Span>,
) -> impl Iterator<Item = (ShardId, Span)> + use<> {
    let mut claimed: Vec<(Timestamp, ShardId, Span)> = logs
        .entries()
        .filter_map(|(shard, entry)| Some((entry.stamp.timestamp, shard, *spans.get(&entry.append)?)))
        .collect();
    claimed.sort_by_key(|(timestamp, shard, _)| (*timestamp, *shard));
    claimed.into_iter().map(|(_, shard, span)| (shard, span))
}
