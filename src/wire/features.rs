//! What a node can do beyond the first version of the protocol, by name. A node's hello lists what it knows.
//!
//! A node skips fields that it does not know, so what would be wrong if it were skipped is sent only to a node that names the feature.

use super::{AppendBody, RequestBody};

/// Appends that are taken only if a condition holds: `AppendBody` fields 12 to 14.
pub const CONDITIONAL_APPEND: &str = "conditional-append";
/// Receipts at commitment, before the timestamp has passed: `AppendBody` field 10.
pub const WAIT_COMMITTED: &str = "wait-committed";
/// Appends stamped above a given timestamp: `AppendBody` field 11.
pub const APPEND_AFTER: &str = "append-after";
/// Fences by which a run goes on: `FenceProducerBody` field 6.
pub const FENCE_SAME_RUN: &str = "fence-same-run";

/// What this build's nodes can do.
pub const FEATURES: [&str; 4] = [CONDITIONAL_APPEND, WAIT_COMMITTED, APPEND_AFTER, FENCE_SAME_RUN];

impl RequestBody {
    /// The features without which a node would take this request for another one.
    pub fn features(&self) -> impl Iterator<Item = &'static str> {
        let append = match self {
            Self::Append(append) => Some(append.features()),
            _ => None,
        };
        let same_run = matches!(self, Self::FenceProducer(fence) if fence.same_run);
        append.into_iter().flatten().chain(same_run.then_some(FENCE_SAME_RUN))
    }
}

impl AppendBody {
    fn features(&self) -> impl Iterator<Item = &'static str> {
        let asked = [
            (CONDITIONAL_APPEND, self.next_offset.is_some() || self.key.is_some()),
            (WAIT_COMMITTED, self.wait != 0),
            (APPEND_AFTER, self.after_ns != 0),
        ];
        asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(feature, _)| feature)
    }
}
