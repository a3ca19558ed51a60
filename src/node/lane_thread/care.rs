//! What becomes of damage, and what is held against this node's clock, told to logs and metrics.
//!
//! Knows nothing of repairs or votes themselves.

use crate::clock::Fault;
use crate::lane::{CareNote, ClockNote};
use crate::node::metrics::Metrics;

/// Counts notes and writes them down.
pub(super) fn tell_all(metrics: &Metrics, notes: Vec<CareNote>) {
    for note in notes {
        tell(metrics, note);
    }
}

/// Counts a fault of the clock's own source when its kind is another than the one last told, and writes it down.
pub(super) fn tell_of_source(metrics: &Metrics, told: &mut Option<&'static str>, fault: Option<Fault>) {
    let kind = fault.map(|fault| fault.kind());
    if kind == *told {
        return;
    }
    *told = kind;
    match fault {
        None => tracing::info!("this node's time source is good again"),
        Some(fault) => {
            metrics.clocks.count(&fault);
            tracing::error!(%fault, "this node's clock is fenced by its own source; `timberline clock status` says more");
        }
    }
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
