//! Where a reader stands in the total order: sixteen bytes that resume every shard at once.

use std::fmt;
use std::str::FromStr;

use crate::types::{ShardId, Timestamp};

/// The place of the last record read. Everything at or before `(timestamp, shard)` was read, nothing after it.
///
/// ```
/// use timberline::client::Cursor;
/// use timberline::types::Timestamp;
///
/// let cursor = Cursor::after(Timestamp(1_700_000_000_000_000_000));
/// assert_eq!(cursor.to_string().parse(), Ok(cursor));
/// assert!(Cursor::BEGIN < cursor && Cursor::BEGIN.to_bytes() < cursor.to_bytes());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    pub timestamp: Timestamp,
    pub shard: ShardId,
}

/// Text that is not a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a cursor: a cursor is 32 hexadecimal digits, as `consume` prints it")]
pub struct InvalidCursor {
    pub text: String,
}

impl Cursor {
    /// Before every record.
    pub const BEGIN: Self = Self { timestamp: Timestamp::ZERO, shard: ShardId(u64::MAX) };

    /// Right after everything stamped at or before `timestamp`, whichever the shard.
    pub fn after(timestamp: Timestamp) -> Self {
        Self { timestamp, shard: ShardId(u64::MAX) }
    }

    /// The first timestamp of `shard` that was not read.
    pub fn start_of(self, shard: ShardId) -> Timestamp {
        if shard <= self.shard { self.timestamp.next() } else { self.timestamp }
    }

    /// Timestamp, then shard, each big-endian: cursors sort as bytes as they sort as values.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.timestamp.0) << 64 | u128::from(self.shard.0)).to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let value = u128::from_be_bytes(bytes);
        Self { timestamp: Timestamp((value >> 64) as u64), shard: ShardId(value as u64) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.to_bytes()))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        let value = value.ok_or_else(|| InvalidCursor { text: text.to_owned() })?;
        Ok(Self::from_bytes(value.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_not_32_hex_digits_is_refused() {
        for bad in ["", "12", &"g".repeat(32), &format!("+{}", "0".repeat(31)), &"0".repeat(33)] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_survives_its_text_and_its_bytes(timestamp: u64, shard: u64) {
            let cursor = Cursor { timestamp: Timestamp(timestamp), shard: ShardId(shard) };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
            prop_assert_eq!(Cursor::from_bytes(cursor.to_bytes()), cursor);
        }

        #[test]
        fn a_shard_resumes_at_its_first_place_after_the_cursor(t in 0_u64..9, s in 0_u64..4, shard in 0_u64..4) {
            let cursor = Cursor { timestamp: Timestamp(t), shard: ShardId(s) };
            let start = cursor.start_of(ShardId(shard)).0;
            prop_assert!((start, shard) > (t, s));
            prop_assert!(start == 0 || (start - 1, shard) <= (t, s));
        }
    }
}
