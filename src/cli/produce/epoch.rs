//! Which run of a named producer this is.
//!
//! The batches of a run are numbered from the first on, so two runs under one id must not share an epoch: the shards would take the
//! second for a repetition of the first. Invariant: a run begins after its epoch does, so the next one's is higher.

use std::time::Duration;

use crate::cli::failure::Failure;

/// Epochs are tenths of a second since 2026: 32 bits last for thirteen years.
const EPOCH_MS: i64 = 100;
const FIRST_EPOCH_S: i64 = 1_767_225_600;

/// Waits until an epoch begins; that is the run's. Fails if this machine's clock is out of all bounds.
pub(super) async fn begin() -> Result<u32, Failure> {
    let now = jiff::Timestamp::now();
    let (epoch, left) = next(now.as_millisecond()).ok_or_else(|| {
        Failure::usage(format!(
            "--producer-id tells its runs apart by the time, and this machine's clock says {now}: set it, or leave --producer-id out"
        ))
    })?;
    tokio::time::sleep(left).await;
    Ok(epoch)
}

/// The epoch that begins next, and in how long; `None` outside the years that epochs count.
fn next(unix_ms: i64) -> Option<(u32, Duration)> {
    let since_ms = unix_ms.checked_sub(1_000 * FIRST_EPOCH_S)?;
    let left_ms = EPOCH_MS - since_ms.rem_euclid(EPOCH_MS);
    let epoch = u32::try_from(since_ms.checked_add(left_ms)? / EPOCH_MS).ok()?;
    Some((epoch, Duration::from_millis(left_ms.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_run_has_a_higher_epoch_and_no_run_shares_one_by_a_clock_out_of_bounds() {
        let first_ms = 1_000 * FIRST_EPOCH_S;
        let mut before = None;
        for begun_ms in [0, 99, 100, 12_345, 1_000_000_000] {
            let (epoch, left) = next(first_ms + begun_ms).expect("in bounds");
            let begins_ms = begun_ms + i64::try_from(left.as_millis()).expect("short");
            assert_eq!(begins_ms, EPOCH_MS * i64::from(epoch), "it begins when the wait ends");
            assert!(before.is_none_or(|before_ms| begins_ms >= before_ms));
            before = Some(begins_ms);
        }
        assert_eq!([next(0), next(i64::MIN), next(i64::MAX)], [None; 3]);
    }
}
