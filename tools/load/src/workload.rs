//! What is offered: how many producers with how much in flight, of which records, for how long.
//!
//! The presets are the four workloads that Timberline is measured by beside other logs (docs/BENCHMARKS.md).

use std::num::NonZeroU64;
use std::time::Duration;

use clap::ValueEnum;
use timberline::codec::{BODY_BYTES_MAX, RECORD_BYTES_MAX};

/// A named workload: 1 KiB records, closed loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// One producer, one record at a time: the latency of an append
    W1,
    /// 64 producers over 8 connections, one record at a time each: group commit
    W2,
    /// 4 producers over 4 connections, batches of 100, 8 in flight each: throughput
    W3,
    /// Replay from the first record
    W4,
}

/// Producers, batches in flight of each, records of a batch, connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) producers: usize,
    pub(crate) in_flight: usize,
    pub(crate) batch_records: u32,
    pub(crate) connections: usize,
}

impl Preset {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::W2 => "w2",
            Self::W3 => "w3",
            Self::W4 => "w4",
        }
    }

    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::W1 => Shape { producers: 1, in_flight: 1, batch_records: 1, connections: 1 },
            Self::W2 => Shape { producers: 64, in_flight: 1, batch_records: 1, connections: 8 },
            Self::W3 => Shape { producers: 4, in_flight: 8, batch_records: 100, connections: 4 },
            // What the replay reads is written before, and not measured.
            Self::W4 => Shape { producers: 4, in_flight: 8, batch_records: 100, connections: 1 },
        }
    }
}

/// What is offered, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As much as is answered.
    Closed,
    /// So many records in all, as fast as they are answered; the duration is the most that may take.
    Count { records: u64 },
    /// So many records a second, answered or not, over so many appends at most under way.
    Open { records_per_second: NonZeroU64, outstanding_max: usize },
    /// Nothing but reading, of so many records again and again.
    Replay { records: u64 },
}

/// A whole workload.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// A preset's, unless anything differs from it: `custom`.
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) mode: Mode,
    pub(crate) record_bytes: usize,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
}

impl Workload {
    /// What is wrong with it, and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Shape { producers, in_flight, batch_records, connections } = self.shape;
        let counts = [
            ("--producers", producers as u64),
            ("--in-flight", in_flight as u64),
            ("--batch", batch_records.into()),
            ("--connections", connections as u64),
        ];
        if let Some((flag, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("{flag} is 0: give it 1 or more"));
        }
        if connections > producers {
            return Err(format!(
                "--connections {connections} are more than the {producers} producers: give at most one each"
            ));
        }
        if self.record_bytes == 0 || self.record_bytes > VALUE_BYTES_MAX {
            return Err(format!("--record-size {}: give 1 byte to {VALUE_BYTES_MAX}", self.record_bytes));
        }
        let batch_bytes = batch_records as usize * (self.record_bytes + RECORD_OVERHEAD_BYTES);
        if batch_bytes > BODY_BYTES_MAX {
            return Err(format!(
                "a batch of {batch_records} records of {} bytes is over {BODY_BYTES_MAX} bytes, the limit of a batch: make \
                 --batch or --record-size smaller",
                self.record_bytes
            ));
        }
        if self.duration.is_zero() {
            return Err("--duration is 0: give it 5s, for example".to_owned());
        }
        Ok(())
    }
}

/// What the encoding of a record without key adds to its value, at most.
const RECORD_OVERHEAD_BYTES: usize = 32;
/// The largest value that fits a record.
pub(crate) const VALUE_BYTES_MAX: usize = RECORD_BYTES_MAX - RECORD_OVERHEAD_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(shape: Shape, record_bytes: usize) -> Workload {
        let (warmup, duration) = (Duration::ZERO, Duration::from_secs(1));
        Workload { name: "custom", shape, mode: Mode::Closed, record_bytes, warmup, duration }
    }

    #[test]
    fn every_preset_is_sound() {
        for preset in Preset::value_variants() {
            assert_eq!(workload(preset.shape(), 1024).check(), Ok(()), "{preset:?}");
        }
    }

    #[test]
    fn what_cannot_be_offered_is_refused_with_the_flag_to_change() {
        let shape = Preset::W3.shape();
        for (shape, record_bytes, says) in [
            (Shape { producers: 0, ..shape }, 1024, "--producers"),
            (Shape { in_flight: 0, ..shape }, 1024, "--in-flight"),
            (Shape { batch_records: 0, ..shape }, 1024, "--batch"),
            (Shape { connections: 5, ..shape }, 1024, "--connections"),
            (Shape { batch_records: 5_000, ..shape }, 1024, "the limit of a batch"),
            (shape, 0, "--record-size"),
            (shape, 2 << 20, "--record-size"),
        ] {
            let refused = workload(shape, record_bytes).check().unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
