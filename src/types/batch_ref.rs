//! What names a batch to whoever asks later what became of it.

use std::fmt;
use std::str::FromStr;

use super::{BatchId, ProducerId, ShardId};

/// A batch in its shard, as text `shard-producer-epoch-sequence`, in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchRef {
    pub shard: ShardId,
    pub batch: BatchId,
}

/// Text that names no batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names no batch: a batch is `shard-producer-epoch-sequence`, four numbers as `produce` prints them"
)]
pub struct InvalidBatchRef {
    pub text: String,
}

impl fmt::Display for BatchRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchId { producer, epoch, sequence } = self.batch;
        write!(f, "{}-{producer}-{epoch}-{sequence}", self.shard)
    }
}

impl FromStr for BatchRef {
    type Err = InvalidBatchRef;
    fn from_str(text: &str) -> Result<Self, InvalidBatchRef> {
        let parsed = || {
            let mut numbers = text.split('-').map(|part| {
                let is_plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
                is_plain.then(|| part.parse::<u64>().ok()).flatten()
            });
            let mut next = || numbers.next().flatten();
            let (shard, producer, epoch, sequence) = (next()?, next()?, next()?, next()?);
            let batch =
                BatchId { producer: ProducerId(producer), epoch: u32::try_from(epoch).ok()?, sequence };
            let is_named = batch.producer != ProducerId(0) && numbers.next().is_none();
            is_named.then_some(Self { shard: ShardId(shard), batch })
        };
        parsed().ok_or_else(|| InvalidBatchRef { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batchs_name_survives_its_text() {
        for (producer, epoch, sequence) in [(1, 0, 0), (u64::MAX, u32::MAX, u64::MAX)] {
            let batch = BatchId { producer: ProducerId(producer), epoch, sequence };
            let named = BatchRef { shard: ShardId(3), batch };
            assert_eq!(named.to_string().parse(), Ok(named));
        }
    }

    #[test]
    fn text_that_is_not_four_numbers_is_refused() {
        for bad in ["", "1-2-3", "1-2-3-4-5", "1-0-3-4", "1-2-4294967296-4", "1-2--4", "+1-2-3-4", "1 -2-3-4"]
        {
            assert!(bad.parse::<BatchRef>().is_err(), "{bad:?}");
        }
    }
}
