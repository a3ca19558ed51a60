//! What is varied, and over which steps.

use clap::ValueEnum;

use crate::workload::VALUE_BYTES_MAX;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dimension {
    /// Records appended to a new topic: 10,000 to 10,000,000
    Records,
    /// Bytes of a record's value: 16 to 1 MiB
    RecordSize,
    /// Shards: 1 to 5,000
    Shards,
    /// Connections with one producer each, one record at a time: 1 to 1,000
    Producers,
    /// Replicas of each shard: 1 to 5
    Replicas,
}

impl Dimension {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::RecordSize => "record-size",
            Self::Shards => "shards",
            Self::Producers => "producers",
            Self::Replicas => "replicas",
        }
    }

    /// Its steps, and those of a quick look.
    pub(crate) fn steps(self, quick: bool) -> Vec<u64> {
        // The last one of a record's sizes is the most that fits, 1 MiB but for what its encoding adds.
        let largest = VALUE_BYTES_MAX as u64;
        let (whole, few): (&[u64], &[u64]) = match self {
            Self::Records => (&[10_000, 100_000, 1_000_000, 10_000_000], &[1_000, 10_000]),
            Self::RecordSize => (&[16, 256, 4 << 10, 64 << 10, largest], &[16, 4 << 10]),
            Self::Shards => (&[1, 10, 100, 1_000, 5_000], &[1, 10]),
            Self::Producers => (&[1, 10, 100, 1_000], &[1, 10]),
            Self::Replicas => (&[1, 3, 5], &[1, 3]),
        };
        if quick { few.to_vec() } else { whole.to_vec() }
    }

    /// What stands below the axis.
    pub(crate) fn axis(self) -> &'static str {
        match self {
            Self::Records => "records appended to a new topic",
            Self::RecordSize => "a record's value, bytes",
            Self::Shards => "shards",
            Self::Producers => "connections, one producer on each",
            Self::Replicas => "replicas of each shard",
        }
    }

    /// A step in few characters.
    pub(crate) fn label(self, value: u64) -> String {
        let (unit, steps) = match self {
            Self::RecordSize => (1 << 10, [" B", " KiB", " MiB"]),
            _ => (1_000, ["", " k", " M"]),
        };
        // The largest record is a little less than the size it is known by.
        let value = if self == Self::RecordSize && value == VALUE_BYTES_MAX as u64 { 1 << 20 } else { value };
        let at = [unit * unit, unit].iter().position(|least| value >= *least && value % least == 0);
        match at {
            Some(0) => format!("{}{}", value / (unit * unit), steps[2]),
            Some(_) => format!("{}{}", value / unit, steps[1]),
            None => format!("{value}{}", steps[0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_rise_and_a_quick_look_has_few() {
        for dimension in Dimension::value_variants() {
            assert!(dimension.steps(false).is_sorted() && dimension.steps(true).len() == 2, "{dimension:?}");
        }
    }

    #[test]
    fn a_step_is_labelled_with_its_unit() {
        let of = Dimension::RecordSize;
        let sizes: Vec<_> = of.steps(false).into_iter().map(|value| of.label(value)).collect();
        assert_eq!(sizes, ["16 B", "256 B", "4 KiB", "64 KiB", "1 MiB"]);
        assert_eq!(of.label(1_500), "1500 B");
        assert_eq!(Dimension::Records.label(10_000_000), "10 M");
        assert_eq!([1, 5_000].map(|value| Dimension::Shards.label(value)), ["1", "5 k"]);
    }
}
