//! How many records are left to offer, shared by all that offer them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Records left. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<AtomicU64>);

impl Budget {
    pub(crate) fn of(records: u64) -> Self {
        Self(Arc::new(AtomicU64::new(records)))
    }

    /// More than any run offers.
    pub(super) fn endless() -> Self {
        Self::of(u64::MAX)
    }

    /// How many of the records left go into the next batch; `None` if none are.
    pub(crate) fn take(&self, batch_records: u32) -> Option<u32> {
        let taken = |left: u64| (left > 0).then(|| left - left.min(batch_records.into()));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).ok()?;
        Some(u32::try_from(before).map_or(batch_records, |before| before.min(batch_records)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_to_exactly_what_was_given_and_the_last_one_may_be_smaller() {
        let budget = Budget::of(250);
        let taken: Vec<_> = std::iter::from_fn(|| budget.take(100)).collect();
        assert_eq!(taken, [100, 100, 50]);
        assert_eq!(Budget::endless().take(7), Some(7));
    }
}
