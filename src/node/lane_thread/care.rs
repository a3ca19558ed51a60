//! What becomes of damage and full disks, and of clocks that are doubted and marked for it, told to logs and metrics.
//!
//! Knows nothing of repairs or votes themselves.

use crate::clock::Fault;
use crate::lane::{CareNote, ClockNote};
use crate::node::metrics::Metrics;
use crate::types::{OrderMark, ShardId};

/// Counts notes and writes them down.
pub(super) fn tell_all(metrics: &Metrics, notes: Vec<CareNote>) {
    for note in notes {
        tell(metrics, note);
    }
}

/// Counts a fault of the clock's own source when its kind is another than that of the one before. The log hears of it from
/// `ClockLog`.
pub(super) fn count_source_fault(
    metrics: &Metrics,
    counted: &mut Option<&'static str>,
    fault: Option<Fault>,
) {
    let kind = fault.map(|fault| fault.kind());
    if let Some(fault) = fault.filter(|_| kind != *counted) {
        metrics.clocks.count(&fault);
    }
    *counted = kind;
}

/// Counts the fault, if there is one, and writes the evidence down.
pub(super) fn tell_of_clock(metrics: &Metrics, note: &ClockNote) {
    let ClockNote::Held { fault, evidence } = note else {
        tracing::info!("nothing is held against this node's clock any more");
        return;
    };
    metrics.clocks.count(fault);
    if fault.is_open() {
        tracing::warn!(evidence, "this node's clock is contradicted: nothing is exposed until a vote");
    } else {
        tracing::error!(evidence, "this node's clock is fenced: it assigns and exposes nothing");
    }
}

/// Counts an order mark that this node wrote, and says so.
pub(super) fn tell_of_mark(metrics: &Metrics, shard: ShardId, mark: &OrderMark) {
    metrics.clocks.marked(mark);
    tracing::warn!(shard = shard.0, %mark, "an order mark is written");
}

/// Says that a replica's disk has become full, or has room again.
pub(super) fn tell_of_room(shard: ShardId, is_full: bool) {
    if is_full {
        tracing::error!(shard = shard.0, "the disk is full: appends are refused until there is room");
    } else {
        tracing::info!(shard = shard.0, "the disk has room again: appends go on");
    }
}

fn tell(metrics: &Metrics, note: CareNote) {
    let damage = &metrics.damage;
    match note {
        CareNote::Damaged { shard, reason } => {
            damage.segments_damaged.inc();
            tracing::error!(shard = shard.0, reason, "a segment is damaged: it is repaired from peers");
        }
        CareNote::Repaired { shard, file, fetched, last } => {
            damage.segments_repaired.inc();
            damage.frames_refetched.inc_by(fetched);
            let file = file.display();
            tracing::warn!(shard = shard.0, %file, fetched, last = last.0, "a segment is repaired");
        }
        CareNote::RepairRests { shard, reason } => {
            tracing::error!(shard = shard.0, reason, "a repair did not succeed yet");
        }
        CareNote::Recalled { shard, fetched } => {
            tracing::warn!(shard = shard.0, fetched, "this replica has again what its memory may have lost");
        }
        CareNote::Scrubbed { bytes } => drop(damage.scrubbed_bytes.inc_by(bytes)),
        CareNote::ScrubPassed { segments } => {
            damage.scrub_passes.inc();
            tracing::debug!(segments, "all sealed segments were proved once");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_source_that_lasts_is_counted_once_and_one_that_comes_back_again() {
        let (metrics, mut counted) = (Metrics::new(), None);
        let wide = |uncertainty_ns| Some(Fault::TooWide { uncertainty_ns, eps_max_ns: 1 });
        for fault in [None, wide(2), wide(3), Some(Fault::Unreadable), None, wide(2)] {
            count_source_fault(&metrics, &mut counted, fault);
        }
        let text = metrics.encode();
        assert!(text.contains("clock_faults_total{kind=\"too-wide\"} 2"), "{text}");
        assert!(text.contains("clock_faults_total{kind=\"unreadable\"} 1"), "{text}");
    }
}
