//! How much of a topic's past is kept.

use std::time::Duration;

/// When a shard's oldest records may go. Each limit that is set lets them go by itself; with none they stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Once they are older, by their commit timestamps.
    pub age: Option<Duration>,
    /// While the segments behind theirs hold at least as many bytes, in each shard.
    pub bytes: Option<u64>,
}

/// A limit out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRetention {
    #[error(
        "a retention of {found:?} is out of range: give 1 s to 100 years, or leave it out to keep everything"
    )]
    Age { found: Duration },
    #[error(
        "a retention of {found} bytes is too small: give 64 KiB or more, or leave it out to keep everything"
    )]
    Bytes { found: u64 },
}

impl Retention {
    pub const AGE_MIN: Duration = Duration::from_secs(1);
    pub const AGE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    pub const BYTES_MIN: u64 = 64 << 10;

    /// What a user or a peer asks for.
    pub fn checked(age: Option<Duration>, bytes: Option<u64>) -> Result<Self, InvalidRetention> {
        if let Some(found) = age.filter(|age| !(Self::AGE_MIN..=Self::AGE_MAX).contains(age)) {
            return Err(InvalidRetention::Age { found });
        }
        if let Some(found) = bytes.filter(|bytes| *bytes < Self::BYTES_MIN) {
            return Err(InvalidRetention::Bytes { found });
        }
        Ok(Self { age, bytes })
    }

    /// From the wire's numbers, where 0 is no limit.
    pub fn from_numbers(age_ns: u64, bytes: u64) -> Result<Self, InvalidRetention> {
        let age = (age_ns > 0).then_some(Duration::from_nanos(age_ns));
        Self::checked(age, (bytes > 0).then_some(bytes))
    }

    /// Age in nanoseconds and bytes, 0 for no limit.
    pub fn numbers(&self) -> (u64, u64) {
        let age_ns = self.age.map_or(0, |age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
        (age_ns, self.bytes.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_out_of_range_are_refused_and_others_survive_the_wire() {
        for (age_ns, bytes) in [(1, 0), (u64::MAX, 0), (0, 1), (0, (64 << 10) - 1)] {
            assert!(Retention::from_numbers(age_ns, bytes).is_err(), "{age_ns} {bytes}");
        }
        for numbers in [(0, 0), (1_000_000_000, 0), (0, 64 << 10), (7 * 86_400_000_000_000, 10 << 30)] {
            assert_eq!(Retention::from_numbers(numbers.0, numbers.1).unwrap().numbers(), numbers);
        }
    }
}
