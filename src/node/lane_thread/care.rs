//! What becomes of damage, told to logs and metrics.
//!
//! Knows nothing of repairs themselves.

use crate::lane::CareNote;
use crate::node::metrics::Metrics;

/// Counts a note and writes it down.
pub(super) fn tell(metrics: &Metrics, note: CareNote) {
    match note {
        CareNote::Damaged { shard, reason } => {
            metrics.segments_damaged.inc();
            tracing::error!(shard = shard.0, reason, "a segment is damaged: it is repaired from peers");
        }
        CareNote::Repaired { shard, file, fetched, last } => {
            metrics.segments_repaired.inc();
            metrics.frames_refetched.inc_by(fetched);
            let file = file.display();
            tracing::warn!(shard = shard.0, %file, fetched, last = last.0, "a segment is repaired");
        }
        CareNote::RepairRests { shard, reason } => {
            tracing::error!(shard = shard.0, reason, "a repair did not succeed yet");
        }
        CareNote::Recalled { shard, fetched } => {
            tracing::warn!(shard = shard.0, fetched, "this replica has again what its memory may have lost");
        }
        CareNote::Scrubbed { bytes } => drop(metrics.scrubbed_bytes.inc_by(bytes)),
        CareNote::ScrubPassed { segments } => {
            metrics.scrub_passes.inc();
            tracing::debug!(segments, "all sealed segments were proved once");
        }
    }
}
