//! Which run of a named producer this is.
//!
//! The batches of a run are numbered from the first on, so two runs under one id must not share an epoch: the shards would take the
//! second for a repetition of the first. Invariant: a run begins after its epoch does, so the next one's is higher.

use std::time::Duration;

/// Epochs are tenths of a second since 2026: 32 bits last for thirteen years.
const EPOCH_MS: i64 = 100;
const FIRST_EPOCH_S: i64 = 1_767_225_600;

/// Waits until an epoch begins; that is the run's.
pub(super) async fn begin() -> u32 {
    let since_ms = jiff::Timestamp::now().as_millisecond() - 1_000 * FIRST_EPOCH_S;
    let left_ms = EPOCH_MS - since_ms.rem_euclid(EPOCH_MS);
    tokio::time::sleep(Duration::from_millis(left_ms.unsigned_abs())).await;
    u32::try_from((since_ms + left_ms) / EPOCH_MS).unwrap_or_default()
}
