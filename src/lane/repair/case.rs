//! One repair, step by step: survey, fetch, build.
//!
//! Knows nothing of logs or lanes: it says what to do next and is told what came of it. Invariant: every question has a
//! deadline, every round of peers an end, every failure a rest.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::codec::Frame;
use crate::lane::ShardSpec;
use crate::log::{FileTask, RepairPlan, Salvage};
use crate::types::{Index, Monotonic, NodeId};
use crate::wire::{FetchFrames, FetchedFrames};

/// Frames and bytes of one question.
pub(in crate::lane) const FETCH_FRAMES_MAX: u64 = 256;
pub(in crate::lane) const FETCH_BYTES_MAX: u64 = 1 << 20;
/// How long an answer may take before the next peer is asked.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How often each peer is asked without any progress.
const ROUNDS_MAX: usize = 2;
/// The first rest after a failure; each next one is twice as long, up to the longest.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_DOUBLINGS_MAX: u32 = 5;

/// What a repair wants done.
pub(super) enum Step {
    Run(FileTask),
    Ask(NodeId, FetchFrames),
    /// It rests, and why.
    Rest(String),
    Nothing,
}

enum Stage {
    Resting { until: Monotonic },
    Surveying,
    Fetching { salvage: Box<Salvage>, asked: Option<Asked> },
    Building { fetched: u64 },
}

#[derive(Clone, Copy)]
struct Asked {
    node: NodeId,
    token: u64,
    lost: (Index, Index),
    at: Monotonic,
}

/// One repair.
pub(super) struct Case {
    pub(super) plan: RepairPlan,
    pub(super) spec: ShardSpec,
    /// The replica is stopped until its log is repaired; then committed frames are handed out from here on.
    pub(super) stopped: Option<Index>,
    peers: Vec<NodeId>,
    stage: Stage,
    /// Peers asked so far, for whose turn it is.
    turns: usize,
    /// Questions without any progress.
    vain: usize,
    rests: u32,
    /// What a peer must know to be committed, where nothing else proves it.
    by_commitment: Option<Index>,
    /// Something behind what was refetched may have been answered for.
    pub(super) forgets: bool,
    /// Peers that have what is lost no more.
    trimmed: BTreeSet<NodeId>,
    reason: String,
}

impl Case {
    pub(super) fn new(plan: RepairPlan, spec: ShardSpec, me: NodeId, stopped: Option<Index>) -> Self {
        let nodes = spec.replicas.iter().map(|placed| placed.node);
        let peers = nodes.filter(|node| *node != me).collect();
        let stage = Stage::Resting { until: Monotonic(0) };
        Self {
            plan,
            spec,
            stopped,
            peers,
            stage,
            turns: 0,
            vain: 0,
            rests: 0,
            by_commitment: None,
            forgets: false,
            trimmed: BTreeSet::new(),
            reason: String::new(),
        }
    }

    pub(super) fn is_resting(&self) -> bool {
        matches!(self.stage, Stage::Resting { .. })
    }

    /// How many frames peers gave for the segment that is built now.
    pub(super) fn fetched(&self) -> u64 {
        if let Stage::Building { fetched } = self.stage { fetched } else { 0 }
    }

    /// Looks at the time. A rest ends only if `may_begin`.
    pub(super) fn tick(&mut self, now: Monotonic, token: u64, may_begin: bool) -> Step {
        match &self.stage {
            Stage::Resting { until } if may_begin && now >= *until => {
                self.stage = Stage::Surveying;
                (self.vain, self.by_commitment, self.forgets) = (0, None, false);
                self.trimmed.clear();
                Step::Run(FileTask::Survey(self.plan.clone()))
            }
            Stage::Fetching { asked: Some(asked), .. } if now.since(asked.at) >= ANSWER_WITHIN => {
                self.vain += 1;
                self.go_on(now, token)
            }
            _ => Step::Nothing,
        }
    }

    /// What the file tells.
    pub(super) fn surveyed(&mut self, salvage: Option<Box<Salvage>>, now: Monotonic, token: u64) -> Step {
        let Some(salvage) = salvage else {
            return self.rest("the file does not tell which frames it lost".to_owned(), now);
        };
        self.stage = Stage::Fetching { salvage, asked: None };
        self.go_on(now, token)
    }

    /// Whether that answer is to this repair's question.
    pub(super) fn waits_for(&self, from: NodeId, token: u64) -> bool {
        matches!(&self.stage, Stage::Fetching { asked: Some(asked), .. } if (asked.node, asked.token) == (from, token))
    }

    /// A peer's answer, and the frames in it, in order.
    pub(super) fn take(
        &mut self,
        from: NodeId,
        answer: &FetchedFrames,
        frames: Vec<Frame>,
        (now, next_token): (Monotonic, u64),
    ) -> Step {
        let Stage::Fetching { salvage, asked: Some(asked) } = &mut self.stage else { return Step::Nothing };
        if answer.first > asked.lost.1.0 {
            self.trimmed.insert(from);
        }
        if let (Some(wanted), Some(last)) = (self.by_commitment, frames.last())
            && last.header.index == wanted
            && answer.committed >= wanted.0
        {
            salvage.begin_from_committed(last);
            (self.by_commitment, self.forgets) = (None, true);
        }
        let waits = self.by_commitment.is_some();
        let taken =
            frames.into_iter().rev().take_while(|frame| !waits && salvage.take(frame.clone())).count();
        self.vain = if taken > 0 { 0 } else { self.vain + 1 };
        self.turns -= usize::from(taken > 0);
        self.go_on(now, next_token)
    }

    /// Builds if all is there, else asks the peer whose turn it is.
    fn go_on(&mut self, now: Monotonic, token: u64) -> Step {
        let Stage::Fetching { salvage, asked } = &mut self.stage else { return Step::Nothing };
        if salvage.is_whole() {
            let fetched = salvage.fetched();
            let stage = std::mem::replace(&mut self.stage, Stage::Building { fetched });
            let Stage::Fetching { salvage, .. } = stage else { return Step::Nothing };
            return Step::Run(FileTask::Build(self.plan.clone(), salvage));
        }
        let in_vain = self.vain >= ROUNDS_MAX * self.peers.len() || salvage.is_contradicted();
        if in_vain && self.by_commitment.is_none() {
            self.by_commitment = salvage.fall_back();
            self.vain = 0;
        }
        if (in_vain && self.by_commitment.is_none()) || self.vain >= ROUNDS_MAX * self.peers.len() {
            let (from, to) = salvage.lost();
            let is_gone = !self.peers.is_empty() && self.trimmed.len() == self.peers.len();
            if is_gone && self.stopped.is_some() && self.plan.is_active() {
                // All of this log up to there is behind the others' start: its replica begins where they do.
                salvage.end_before_loss();
                self.forgets = true;
                return self.go_on(now, token);
            }
            let reason = if is_gone {
                format!("all peers have trimmed frames {from}..={to} of it away")
            } else {
                format!("no peer has frames {from}..={to} of it")
            };
            return self.rest(reason, now);
        }
        let node = self.peers[self.turns % self.peers.len()];
        self.turns += 1;
        let lost = salvage.lost();
        let (from, to) = (lost.0.0.max((lost.1.0 + 1).saturating_sub(FETCH_FRAMES_MAX)), lost.1.0);
        *asked = Some(Asked { node, token, lost, at: now });
        let shard = self.spec.shard.0;
        let max_bytes = FETCH_BYTES_MAX;
        Step::Ask(node, FetchFrames { shard, token, from, to, max_bytes, oldest_first: false })
    }

    /// Something failed: it is all tried again later.
    pub(super) fn rest(&mut self, reason: String, now: Monotonic) -> Step {
        let rest = REST_MIN * 2_u32.pow(self.rests.min(REST_DOUBLINGS_MAX));
        self.rests += 1;
        self.stage = Stage::Resting { until: now.plus(rest) };
        self.reason = reason;
        Step::Rest(self.describe())
    }

    /// For operators.
    pub(super) fn describe(&self) -> String {
        let file = self.plan.path();
        let file = file.display();
        match &self.stage {
            Stage::Resting { .. } if self.reason.is_empty() => {
                format!("repairing: {file} waits for its turn")
            }
            Stage::Resting { .. } => {
                let reason = &self.reason;
                format!(
                    "repairing: {file} is damaged and cannot be repaired yet: {reason}; it is tried again and again. \
                     Bring back a node that has them, or add this replica again under a new replica id"
                )
            }
            Stage::Surveying => format!("repairing: looking for what {file} lost"),
            Stage::Fetching { asked: Some(Asked { node, lost: (from, to), .. }), .. } => {
                format!("repairing: frames {from}..={to} of {file}, asked node {node}")
            }
            Stage::Fetching { .. } => format!("repairing: {file} lost frames"),
            Stage::Building { .. } => format!("repairing: writing {file} anew"),
        }
    }
}
