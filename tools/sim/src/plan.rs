//! What a seed draws before anything happens: the cluster's shape, its limits, and which faults come how often.
//!
//! Swarm testing (Groce and others, ISSTA 2012): each run turns on only some fault classes, so that rare
//! combinations are not drowned by common ones.

use std::collections::BTreeSet;
use std::fmt;

use timberline::simulation::Limit;
use timberline::types::{Durability, Retention};

use crate::random::Random;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultClass {
    MessageLoss,
    MessageDuplication,
    MessageReordering,
    SlowLink,
    /// One-way and non-transitive: any set of directed links.
    Partition,
    ConnectionReset,
    ProcessKill,
    PowerCut,
    /// The power fails in the midst of a call into the lane.
    PowerCutWithin,
    /// The power fails while a vote is on its way to the disk.
    PowerCutAtVote,
    WholeClusterPowerCut,
    Pause,
    SlowNode,
    LeadershipSwap,
    SyncFailure,
    SyncStall,
    DiskFull,
    BitRot,
    PhantomWrite,
    MisdirectedWrite,
    /// An older copy of a disk takes its place.
    DiskSwappedForOlder,
    /// An empty disk takes its place, for a while.
    DiskSwappedForEmpty,
    /// Replicas are removed from a shard and added again.
    MembershipChange,
    ClockAtItsBound,
    ClockStep,
    ClockSuspend,
    ClockWidening,
    ClockSourceLost,
    ClockLiar,
    ClientTimeout,
    InvalidBatch,
    /// A machine stands still, and all its clocks with it.
    ClockSlip,
}

impl FaultClass {
    pub const ALL: [Self; 32] = [
        Self::MessageLoss,
        Self::MessageDuplication,
        Self::MessageReordering,
        Self::SlowLink,
        Self::Partition,
        Self::ConnectionReset,
        Self::ProcessKill,
        Self::PowerCut,
        Self::PowerCutWithin,
        Self::PowerCutAtVote,
        Self::WholeClusterPowerCut,
        Self::Pause,
        Self::SlowNode,
        Self::LeadershipSwap,
        Self::SyncFailure,
        Self::SyncStall,
        Self::DiskFull,
        Self::BitRot,
        Self::PhantomWrite,
        Self::MisdirectedWrite,
        Self::DiskSwappedForOlder,
        Self::DiskSwappedForEmpty,
        Self::MembershipChange,
        Self::ClockAtItsBound,
        Self::ClockStep,
        Self::ClockSuspend,
        Self::ClockWidening,
        Self::ClockSourceLost,
        Self::ClockLiar,
        Self::ClientTimeout,
        Self::InvalidBatch,
        Self::ClockSlip,
    ];

    /// In how many of a hundred runs it is on.
    fn frequency(self) -> u64 {
        match self {
            Self::ClockLiar => 12,
            Self::BitRot
            | Self::PhantomWrite
            | Self::MisdirectedWrite
            | Self::DiskFull
            | Self::DiskSwappedForOlder
            | Self::DiskSwappedForEmpty
            | Self::ClockSlip => 15,
            Self::SyncFailure | Self::WholeClusterPowerCut | Self::ClockSuspend => 20,
            Self::LeadershipSwap | Self::ProcessKill | Self::PowerCut | Self::ClockAtItsBound => 50,
            _ => 35,
        }
    }

    /// Whether what a quorum answered for from memory survives it. Power cuts of one node do, damage is judged by what is on
    /// disks.
    fn leaves_memory_to_a_quorum(self, replicas: u64) -> bool {
        match self {
            Self::PowerCut => replicas > 1,
            Self::PowerCutWithin
            | Self::PowerCutAtVote
            | Self::WholeClusterPowerCut
            | Self::BitRot
            | Self::PhantomWrite
            | Self::MisdirectedWrite
            | Self::DiskSwappedForOlder
            | Self::DiskSwappedForEmpty => false,
            _ => true,
        }
    }

    /// What it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageLoss => "message-loss",
            Self::MessageDuplication => "message-duplication",
            Self::MessageReordering => "message-reordering",
            Self::SlowLink => "slow-link",
            Self::Partition => "partition",
            Self::ConnectionReset => "connection-reset",
            Self::ProcessKill => "process-kill",
            Self::PowerCut => "power-cut",
            Self::PowerCutWithin => "power-cut-within",
            Self::PowerCutAtVote => "power-cut-at-vote",
            Self::WholeClusterPowerCut => "whole-cluster-power-cut",
            Self::Pause => "pause",
            Self::SlowNode => "slow-node",
            Self::LeadershipSwap => "leadership-swap",
            Self::SyncFailure => "sync-failure",
            Self::SyncStall => "sync-stall",
            Self::DiskFull => "disk-full",
            Self::BitRot => "bit-rot",
            Self::PhantomWrite => "phantom-write",
            Self::MisdirectedWrite => "misdirected-write",
            Self::DiskSwappedForOlder => "disk-swapped-for-older",
            Self::DiskSwappedForEmpty => "disk-swapped-for-empty",
            Self::MembershipChange => "membership-change",
            Self::ClockAtItsBound => "clock-at-its-bound",
            Self::ClockStep => "clock-step",
            Self::ClockSuspend => "clock-suspend",
            Self::ClockWidening => "clock-widening",
            Self::ClockSourceLost => "clock-source-lost",
            Self::ClockLiar => "clock-liar",
            Self::ClientTimeout => "client-timeout",
            Self::InvalidBatch => "invalid-batch",
            Self::ClockSlip => "clock-slip",
        }
    }
}

/// The plan of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub faults: BTreeSet<FaultClass>,
    pub(crate) nodes: u64,
    pub(crate) shards: u64,
    pub(crate) replicas: u64,
    pub(crate) producers: u64,
    pub(crate) window: u64,
    pub(crate) batch_records_max: u64,
    pub(crate) value_bytes_max: u64,
    pub(crate) think_ns: u64,
    /// How long a batch is tried while faults rage; with none, once.
    pub(crate) patience_ns: u64,
    /// Mean time between two faults.
    pub(crate) fault_every_ns: u64,
    pub(crate) raft_tick_ns: u64,
    pub(crate) closed_tick_ns: u64,
    pub(crate) eps_max_ns: u64,
    pub(crate) eps_ns: u64,
    /// What the bound grows by, and the most that any clock really drifts.
    pub(crate) growth_ppb: u64,
    pub(crate) sample_every_ns: u64,
    pub(crate) probe_every_ns: u64,
    /// How long a fenced node must agree before it is trusted again.
    pub(crate) unfence_after_ns: u64,
    /// Nothing is shown before a majority of clocks have passed it.
    pub(crate) quorum_wait: bool,
    pub(crate) link_ns: u64,
    pub(crate) sync_ns: u64,
    pub(crate) first_segment_bytes: u64,
    pub(crate) segment_bytes_max: u64,
    pub(crate) unanswered_max: u64,
    pub(crate) loss_per_mille: u64,
    pub(crate) duplication_per_mille: u64,
    pub(crate) limits: Vec<Limit>,
    /// A node's output waits for more events, as it does on a busy thread.
    pub(crate) batches_events: bool,
    pub(crate) retention: Retention,
    pub(crate) durability: Durability,
    /// Members of a group read all shards but the first, which is the group's log.
    pub(crate) group_members: u64,
}

/// The first segment's size, and the largest.
const SEGMENT_BYTES: [(u64, u64); 4] =
    [(10 << 10, 10 << 10), (10 << 10, 40 << 10), (16 << 10, 64 << 10), (64 << 10, 64 << 20)];

impl Plan {
    /// Draws the plan of a seed.
    pub fn draw(seed: u64) -> Self {
        Self::draw_without_a_group(seed).with_a_group(seed)
    }

    fn draw_without_a_group(seed: u64) -> Self {
        let random = &mut Random::new(seed ^ 0x706c_616e);
        let mut drawn = |class: FaultClass| match class {
            // Apart, so that the other runs stay what they were.
            FaultClass::ClockSlip => Random::new(seed ^ 0x736c_6970).below(100),
            _ => random.below(100),
        };
        let mut faults: BTreeSet<FaultClass> =
            FaultClass::ALL.into_iter().filter(|class| drawn(*class) < class.frequency()).collect();
        let (nodes, replicas) =
            random.pick(&[(3, 3), (3, 3), (3, 3), (3, 3), (3, 3), (4, 3), (5, 5), (1, 1)]);
        let durability = durability(seed);
        if durability == Durability::Memory {
            faults.retain(|class| class.leaves_memory_to_a_quorum(replicas));
        }
        let eps_max_ns = random.pick(&[2, 10, 10, 50]) * MS;
        let (first_segment_bytes, segment_bytes_max) = random.pick(&SEGMENT_BYTES);
        let growth_ppb = random.pick(&[50_000, 50_000, 500_000, 2_000_000]);
        // Between two samples the bound stays below what the cluster works with.
        let sample_ns_max = eps_max_ns / 4 * 1_000_000 / growth_ppb * 1000;
        Self {
            faults,
            nodes,
            replicas,
            shards: random.between(2, 3),
            producers: random.between(3, 6),
            window: random.pick(&[1, 1, 2, 4, 8]),
            batch_records_max: random.pick(&[1, 3, 3, 10]),
            value_bytes_max: random.pick(&[8, 100, 100, 1500]),
            think_ns: random.between(20, 90) * MS,
            patience_ns: random.pick(&[0, 1, 8, 8]) * SECOND,
            fault_every_ns: random.pick(&[200, 500, 1000, 2000]) * MS,
            raft_tick_ns: random.pick(&[5, 10, 30, 50]) * MS,
            closed_tick_ns: random.pick(&[10, 20, 20, 50]) * MS,
            eps_max_ns,
            eps_ns: random.between(eps_max_ns / 20, eps_max_ns * 7 / 10),
            growth_ppb,
            sample_every_ns: (random.pick(&[200, 1000, 2000]) * MS).min(sample_ns_max),
            probe_every_ns: probe_every(seed),
            unfence_after_ns: 3 * SECOND,
            quorum_wait: quorum_wait(seed),
            link_ns: random.pick(&[50, 200, 1000, 5000]) * 1000,
            sync_ns: random.pick(&[100, 500, 2000, 10_000]) * 1000,
            first_segment_bytes,
            segment_bytes_max,
            unanswered_max: random.pick(&[4, 64, 512]),
            loss_per_mille: random.pick(&[5, 30, 100]),
            duplication_per_mille: random.pick(&[5, 30, 100]),
            limits: limits(random, seed),
            batches_events: random.chance(400),
            retention: retention(random),
            durability,
            group_members: 0,
        }
    }

    /// A group in one run of three, of those that keep their records; its log is a shard more. Drawn apart, too.
    fn with_a_group(self, seed: u64) -> Self {
        let random = &mut Random::new(seed ^ 0x67_726f_7570);
        if self.retention != Retention::default() || random.below(3) > 0 {
            return self;
        }
        Self { group_members: random.between(2, 4), shards: self.shards + 1, ..self }
    }

    /// A seed's cluster of so many nodes, each with a replica of every shard, to which nothing happens by chance.
    pub(crate) fn without_faults(seed: u64, nodes: u64) -> Self {
        Self {
            faults: BTreeSet::new(),
            nodes,
            replicas: nodes,
            limits: Vec::new(),
            retention: Retention::default(),
            durability: Durability::Disk,
            group_members: 0,
            patience_ns: 8 * SECOND,
            ..Self::draw(seed)
        }
    }

    /// How long records are kept at least, whatever happens; `None` if only sizes tell.
    pub(crate) fn kept_ns(&self) -> Option<u64> {
        match self.retention {
            Retention { age: None, bytes: None } => Some(u64::MAX),
            Retention { bytes: Some(_), .. } => None,
            Retention { age: Some(_), .. } => Some(self.retention.numbers().0),
        }
    }

    /// Whether a group reads.
    pub fn has_group(&self) -> bool {
        self.group_members > 0
    }

    pub(crate) fn has(&self, class: FaultClass) -> bool {
        self.faults.contains(&class)
    }
}

/// In one run of eight a quorum's memory is enough. Drawn apart, so that the other runs stay what they were.
fn durability(seed: u64) -> Durability {
    let chance = Random::new(seed ^ 0x6d_656d).below(8);
    if chance == 0 { Durability::Memory } else { Durability::Disk }
}

/// How often clocks are compared. Drawn apart, too.
fn probe_every(seed: u64) -> u64 {
    Random::new(seed ^ 0x70_726f_6265).pick(&[20, 100, 100]) * MS
}

/// Whether a majority's clocks are waited for, in one run of four. Drawn apart, too.
fn quorum_wait(seed: u64) -> bool {
    Random::new(seed ^ 0x7175_6f72).below(4) == 0
}

/// The limits that are small.
fn limits(random: &mut Random, seed: u64) -> Vec<Limit> {
    let mut is_small = |limit: &Limit| match limit {
        // Apart, so that the other runs stay what they were.
        Limit::DedupProducers => Random::new(seed ^ 0x70_726f_6475).chance(250),
        _ => random.chance(250),
    };
    Limit::ALL.into_iter().filter(|limit| is_small(limit)).collect()
}

/// What topics keep: in half of the runs so little that trims are common.
fn retention(random: &mut Random) -> Retention {
    let age = random.pick(&[0, 0, 0, 2, 5, 15]);
    let bytes = random.pick(&[0, 0, 0, 0, 64 << 10]);
    Retention::from_numbers(age * SECOND, bytes).expect("it is in range")
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(|class| class.name()).collect();
        let limits: Vec<_> = self.limits.iter().map(|limit| format!("{limit:?}")).collect();
        let ms = |ns: u64| format!("{}.{:03} ms", ns / MS, ns % MS / 1000);
        writeln!(
            f,
            "{} nodes, {} shards x {} replicas, {} producers with a window of {}, batches of up to {} records of up to {} bytes",
            self.nodes,
            self.shards,
            self.replicas,
            self.producers,
            self.window,
            self.batch_records_max,
            self.value_bytes_max
        )?;
        writeln!(
            f,
            "raft tick {}, closed tick {}, eps {} of {}, growth {} ppb, link {}, sync {}, segments {}..{} bytes, {} unanswered",
            ms(self.raft_tick_ns),
            ms(self.closed_tick_ns),
            ms(self.eps_ns),
            ms(self.eps_max_ns),
            self.growth_ppb,
            ms(self.link_ns),
            ms(self.sync_ns),
            self.first_segment_bytes,
            self.segment_bytes_max,
            self.unanswered_max
        )?;
        writeln!(f, "a fault every {}: {}", ms(self.fault_every_ns), faults.join(", "))?;
        writeln!(
            f,
            "of a thousand messages {} are lost and {} doubled, if those classes are on; a batch is tried for {}",
            self.loss_per_mille,
            self.duplication_per_mille,
            ms(self.patience_ns)
        )?;
        let (kept_ns, kept_bytes) = self.retention.numbers();
        let durability = self.durability;
        writeln!(
            f,
            "records are kept for {} or {kept_bytes} bytes (0: for ever); durability {durability}",
            ms(kept_ns)
        )?;
        write!(
            f,
            "small limits: {}; events batched: {}; a quorum's clocks waited for: {}; members of a group: {}",
            limits.join(", "),
            self.batches_events,
            self.quorum_wait,
            self.group_members
        )
    }
}
