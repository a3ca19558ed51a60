//! What runs amounted to.

use std::collections::BTreeMap;

use crate::FaultClass;

/// Sums over runs.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub seeds: u64,
    pub simulated_ns: u64,
    pub events: u64,
    pub appends: u64,
    pub acknowledged: u64,
    pub failed: u64,
    pub unknown: u64,
    /// Frames that readers were given.
    pub reads: u64,
    /// Records that merged readers were given.
    pub merged: u64,
    /// Reads by consistency level that ended.
    pub fresh_reads: u64,
    /// Records that members of groups handed out, and commits that were folded.
    pub group_reads: u64,
    pub group_commits: u64,
    pub checks: u64,
    /// Pairs of batches that a wrong clock put into the wrong order, and order marks that readers were given.
    pub disordered: u64,
    pub marks: u64,
    /// Starts of logs that were seen, manifests sent, and readers told that what they wanted is gone.
    pub trims: u64,
    pub manifests: u64,
    pub told_trimmed: u64,
    /// Terms that began.
    pub elections: u64,
    /// Shards of which so many replicas stopped that no quorum works.
    pub stopped_shards: u64,
    /// Replicas that stopped for good, by the fault that did it.
    pub stopped_replicas: u64,
    /// Damaged segments that were written anew from peers.
    pub repairs: u64,
    /// Replicas that had forgotten what they held in memory, and have it again.
    pub recollections: u64,
    pub faults: BTreeMap<FaultClass, u64>,
}

impl Totals {
    pub(crate) fn count(&mut self, class: FaultClass) {
        *self.faults.entry(class).or_default() += 1;
    }

    /// Adds another run's, or many runs', sums.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.simulated_ns += other.simulated_ns;
        self.events += other.events;
        self.appends += other.appends;
        self.acknowledged += other.acknowledged;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.reads += other.reads;
        self.merged += other.merged;
        self.fresh_reads += other.fresh_reads;
        self.group_reads += other.group_reads;
        self.group_commits += other.group_commits;
        self.checks += other.checks;
        self.disordered += other.disordered;
        self.marks += other.marks;
        self.trims += other.trims;
        self.manifests += other.manifests;
        self.told_trimmed += other.told_trimmed;
        self.elections += other.elections;
        self.stopped_shards += other.stopped_shards;
        self.stopped_replicas += other.stopped_replicas;
        self.repairs += other.repairs;
        self.recollections += other.recollections;
        for (class, count) in &other.faults {
            *self.faults.entry(*class).or_default() += count;
        }
    }
}
