//! One step of a dimension as something to run: a cluster, topics, a workload.

use std::time::Duration;

use super::dimension::Dimension;
use crate::workload::{Mode, Preset, Shape, Workload};

/// What is the same in every step, unless it is what grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) record_bytes: usize,
    /// In place of what a dimension would take.
    pub(crate) batch_records: Option<u32>,
    pub(crate) in_flight: Option<usize>,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// How long appending a number of records may take.
    pub(crate) patience: Duration,
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) value: u64,
    pub(crate) nodes: u64,
    pub(crate) replicas: u32,
    pub(crate) topics: u32,
    pub(crate) shards_per_topic: u32,
    pub(crate) workload: Workload,
}

/// The most that a topic may have.
const TOPIC_SHARDS_MAX: u64 = 4_096;
/// What a batch may hold where records grow: one of the largest fits it, and hundred of the usual ones.
const BATCH_BYTES: u64 = 128 << 10;
/// A node takes so many replicas by default; beyond that it is told to take more.
const REPLICAS_PER_NODE: u64 = 5_000;
/// Replicas of the cluster's own topics.
const REPLICAS_OF_ITS_OWN: u64 = 64;
/// Of a cluster, unless replicas grow.
const NODES: u64 = 3;
/// More on one machine would measure the machine.
const NODES_MAX: u64 = 9;

impl Step {
    /// The step at `value`. `Err` says what cannot be.
    pub(crate) fn new(dimension: Dimension, value: u64, largest: u64, base: &Base) -> Result<Self, String> {
        let preset = Preset::W3.shape();
        let (mut shape, mut record_bytes, mut mode) = (preset, base.record_bytes, Mode::Closed);
        let (mut shards, mut replicas, mut nodes, mut warmup, mut duration) =
            (1, 3, NODES, base.warmup, base.duration);
        match dimension {
            Dimension::Records => {
                mode = Mode::Count { records: value };
                (warmup, duration) = (Duration::ZERO, base.patience);
            }
            Dimension::RecordSize => {
                record_bytes = value as usize;
                shape.batch_records = (BATCH_BYTES / value.max(1)).clamp(1, 100) as u32;
            }
            Dimension::Shards => shards = value,
            Dimension::Producers => {
                let each = value as usize;
                shape = Shape { producers: each, connections: each, ..Preset::W2.shape() };
            }
            Dimension::Replicas => (replicas, nodes) = (value, largest.max(NODES)),
        }
        shape.batch_records = base.batch_records.unwrap_or(shape.batch_records);
        shape.in_flight = base.in_flight.unwrap_or(shape.in_flight);
        let workload = Workload { name: "growth", shape, mode, record_bytes, warmup, duration };
        let topics = shards.div_ceil(TOPIC_SHARDS_MAX);
        let is_possible =
            shards > 0 && replicas > 0 && nodes <= NODES_MAX && topics <= shape.producers as u64;
        if !is_possible {
            return Err(format!("{} cannot be {value}", dimension.name()));
        }
        workload.check()?;
        Ok(Self {
            value,
            nodes,
            replicas: replicas as u32,
            topics: topics as u32,
            shards_per_topic: shards.div_ceil(topics) as u32,
            workload,
        })
    }

    /// What the nodes must be told to take it.
    pub(crate) fn settings(&self) -> Vec<String> {
        let replicas = u64::from(self.topics * self.shards_per_topic) + REPLICAS_OF_ITS_OWN;
        // Twice as many: a topic whose creation is asked for again, the first answer being late, is counted once more.
        let needed = (replicas > REPLICAS_PER_NODE).then(|| format!("limits.shards={}", 2 * replicas));
        needed.into_iter().collect()
    }

    /// What it leaves on the disk, about; `None` if that depends on how fast this machine is.
    pub(crate) fn disk_bytes(&self) -> Option<u64> {
        match self.workload.mode {
            Mode::Count { records } => {
                Some(records * self.workload.record_bytes as u64 * u64::from(self.replicas) * 5 / 4)
            }
            Mode::Closed | Mode::Open { .. } | Mode::Replay { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    const BASE: Base = Base {
        record_bytes: 1024,
        batch_records: None,
        in_flight: None,
        warmup: Duration::from_secs(1),
        duration: Duration::from_secs(5),
        patience: Duration::from_mins(10),
    };

    fn step(dimension: Dimension, value: u64) -> Step {
        Step::new(dimension, value, value, &BASE).unwrap()
    }

    #[test]
    fn every_step_can_be_run() {
        for dimension in Dimension::value_variants() {
            for value in [dimension.steps(false), dimension.steps(true)].concat() {
                let step = step(*dimension, value);
                assert!(u64::from(step.replicas) <= step.nodes, "{step:?}");
            }
        }
    }

    #[test]
    fn shards_beyond_what_one_topic_may_have_are_spread_over_several_and_nodes_told_to_take_them() {
        let many = step(Dimension::Shards, 5_000);
        assert_eq!((many.topics, many.shards_per_topic), (2, 2_500));
        assert_eq!(many.settings(), ["limits.shards=10128"]);
        assert!(step(Dimension::Shards, 1_000).settings().is_empty());
    }

    #[test]
    fn all_replicas_are_compared_on_equally_many_nodes() {
        let nodes = |value| Step::new(Dimension::Replicas, value, 5, &BASE).unwrap().nodes;
        assert_eq!([1, 3, 5].map(nodes), [5; 3]);
    }

    #[test]
    fn larger_records_go_in_smaller_batches_and_what_is_asked_for_wins() {
        let batch = |value| step(Dimension::RecordSize, value).workload.shape.batch_records;
        assert_eq!([16, 256, 4 << 10, 64 << 10].map(batch), [100, 100, 32, 2]);
        let asked = Base { batch_records: Some(3), in_flight: Some(2), ..BASE };
        let shape = Step::new(Dimension::RecordSize, 16, 16, &asked).unwrap().workload.shape;
        assert_eq!((shape.batch_records, shape.in_flight), (3, 2));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (dimension, value) in
            [(Dimension::Shards, 0), (Dimension::Replicas, 10), (Dimension::RecordSize, 2 << 20)]
        {
            assert!(Step::new(dimension, value, value, &BASE).is_err(), "{dimension:?} {value}");
        }
    }
}
