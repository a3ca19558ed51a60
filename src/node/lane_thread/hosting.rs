//! Follows the system topic: folds what it says, and makes, opens and removes this node's replicas.
//!
//! A system frame is folded once it is committed *and* this node's trusted clock is past it. Then the view shows
//! nothing early (TIME rule 2), and a new shard's first timestamp lies above its creation record on every
//! node whose clock is right (C9). A shard is created, then registered, then opened: see `folder::Registry`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Progress;
use super::handle::Ready;
use crate::clock::Reading;
use crate::codec::{Frame, FrameKind, decode_records};
use crate::lane::{Lane, OpenReport, Placement, ReplicaStatus, ShardSpec};
use crate::node::folder::{Fate, Registry};
use crate::node::metadata::{Folded, Shard, Topic, View};
use crate::types::{Monotonic, NodeId, Offset, ShardId, Timestamp, TopicId};

/// Shards opened before the lane turns to its events again: they share one set of syncs.
const OPENED_PER_STEP: usize = 128;
/// Shards made or removed, each with syncs of its own, are as much work as so many opened.
const MADE_WEIGHT: usize = 16;
const FRAMES_PER_STEP: usize = 256;
/// A new shard's preferred leader stands for election this often until the others have made it too.
const CAMPAIGN_EVERY: Duration = Duration::from_millis(50);
const CAMPAIGNS_MAX: u32 = 40;
/// How often a frame that the clock has not passed is looked at again.
const FRAME_WAIT: Duration = Duration::from_millis(1);

enum Work {
    Host(ShardSpec),
    Remove(ShardId),
}

/// The state of following.
pub(super) struct Hosting {
    node: NodeId,
    registry: Registry,
    view: View,
    /// Committed, not yet past on this node's clock.
    committed: VecDeque<Frame>,
    /// What is to be done, each with the offset after the record that asks for it.
    work: VecDeque<(Work, Offset)>,
    lost: BTreeMap<ShardId, (TopicId, String)>,
    campaigns: Vec<(ShardId, u32)>,
    next_campaign: Monotonic,
    /// The system topic's committed end when this node started.
    goal: Offset,
    progress: watch::Sender<Progress>,
}

/// A shard of a topic as a lane wants it.
fn spec_of(topic: &Topic, shard: &Shard) -> ShardSpec {
    let placed = shard.replicas.iter().map(|r| Placement { replica: r.replica, node: r.node });
    ShardSpec {
        shard: shard.id,
        topic: topic.id,
        durability: topic.durability,
        retention: topic.retention,
        replicas: placed.collect(),
        follow_committed: false,
    }
}

impl Hosting {
    pub(super) fn new(node: NodeId, registry: Registry, progress: watch::Sender<Progress>) -> Self {
        Self {
            node,
            registry,
            view: View::default(),
            committed: VecDeque::new(),
            work: VecDeque::new(),
            lost: BTreeMap::new(),
            campaigns: Vec::new(),
            next_campaign: Monotonic(0),
            goal: Offset(0),
            progress,
        }
    }

    /// Makes the system shard's replica if this folder never had it, and opens it.
    pub(super) fn open_system(
        &mut self,
        lane: &mut Lane,
        spec: ShardSpec,
        now: &Reading,
    ) -> Result<(), String> {
        let shard = spec.shard;
        self.host(lane, vec![spec], now);
        if let Some((_, reason)) = self.lost.get(&shard) {
            return Err(reason.clone());
        }
        match lane.status(shard, now) {
            Some(ReplicaStatus { failure: None, committed, .. }) => {
                self.goal = committed;
                Ok(())
            }
            // The node is up and not ready until its peers have given back what is lost.
            Some(ReplicaStatus { failure: Some(_), .. }) if lane.repair(shard).is_some() => Ok(()),
            Some(ReplicaStatus { failure: Some(reason), .. }) => Err(reason),
            None => Err("it is not open".to_owned()),
        }
    }

    /// Takes committed frames of the system topic, in order.
    pub(super) fn take(&mut self, frames: impl IntoIterator<Item = Frame>) {
        self.committed.extend(frames);
    }

    /// Does a bounded part of what there is to do.
    pub(super) fn step(&mut self, lane: &mut Lane, now: &Reading) {
        let folded = self.fold_passed(now);
        let worked = self.do_work(lane, now);
        self.campaign(lane, now);
        if folded || worked {
            self.publish(folded);
        }
    }

    /// When `step` has something to do again without a new frame.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        if !self.work.is_empty() {
            return Some(Duration::ZERO);
        }
        let frames = (!self.committed.is_empty()).then_some(FRAME_WAIT);
        let campaigns = (!self.campaigns.is_empty()).then_some(CAMPAIGN_EVERY);
        [frames, campaigns].into_iter().flatten().min()
    }

    /// On a clock that is not trusted nothing new is folded, but what was committed before this start is: a
    /// fenced node still opens its replicas.
    fn may_fold(&self, frame: &Frame, now: &Reading) -> bool {
        if now.is_trusted() {
            frame.header.last_timestamp() < now.interval.earliest
        } else {
            frame.header.next_offset() <= self.goal
        }
    }

    fn fold_passed(&mut self, now: &Reading) -> bool {
        let mut folded = 0;
        while folded < FRAMES_PER_STEP {
            if !self.committed.front().is_some_and(|frame| self.may_fold(frame, now)) {
                break;
            }
            let frame = self.committed.pop_front().expect("it was just seen");
            self.fold(&frame);
            folded += 1;
        }
        folded > 0
    }

    fn fold(&mut self, frame: &Frame) {
        let header = &frame.header;
        if header.kind == FrameKind::Data {
            match decode_records(&frame.body, header.compression, header.record_count) {
                Ok(records) => {
                    for (stamped, record) in (header.first_timestamp.0..).map(Timestamp).zip(records) {
                        let value = record.value.unwrap_or_default();
                        let folded = self.view.fold(&value, stamped);
                        self.follow(folded, header.next_offset());
                    }
                }
                // Every node reads the same bytes and leaves them out alike.
                Err(error) => {
                    tracing::error!(index = header.index.0, %error, "a system record cannot be read and is left out");
                }
            }
        }
        self.view.advance(header.index, header.next_offset());
    }

    fn follow(&mut self, folded: Folded, offset: Offset) {
        match folded {
            Folded::TopicCreated(topic) => {
                tracing::info!(topic = %topic.name, shards = topic.shards.len(), "topic created");
                let here = topic.shards.iter().filter(|shard| shard.is_on(self.node));
                self.work.extend(here.map(|shard| (Work::Host(spec_of(&topic, shard)), offset)));
            }
            Folded::TopicDeleted(topic) => {
                tracing::info!(topic = %topic.name, "topic deleted");
                let here = topic.shards.iter().filter(|shard| shard.is_on(self.node));
                self.work.extend(here.map(|shard| (Work::Remove(shard.id), offset)));
            }
            Folded::NodeRegistered(node) => tracing::info!(node = node.0, "node registered"),
            Folded::Ignored(reason) => tracing::warn!(%reason, "a system record changed nothing"),
        }
    }

    fn do_work(&mut self, lane: &mut Lane, now: &Reading) -> bool {
        let (mut hosts, mut spent) = (Vec::new(), 0);
        while spent < OPENED_PER_STEP {
            match self.work.pop_front() {
                None => break,
                Some((Work::Host(spec), _)) => {
                    let is_opened = self.registry.fate(spec.shard, lane.exists(spec.shard)) == Fate::Open;
                    spent += if is_opened { 1 } else { MADE_WEIGHT };
                    hosts.push(spec);
                }
                // What was asked for first is done first: the shard may stand in `hosts`.
                Some(remove) if !hosts.is_empty() => {
                    self.work.push_front(remove);
                    break;
                }
                Some((Work::Remove(shard), _)) => {
                    self.remove(lane, shard);
                    spent += MADE_WEIGHT;
                }
            }
        }
        self.host(lane, hosts, now);
        spent > 0
    }

    fn host(&mut self, lane: &mut Lane, specs: Vec<ShardSpec>, now: &Reading) {
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for spec in specs {
            let (shard, topic) = (spec.shard, spec.topic);
            match self.prepare(lane, &spec) {
                Ok(Fate::Removed) => {}
                Ok(Fate::Open) => old.push(spec),
                Ok(_) => new.push(spec),
                Err(reason) => self.lose(shard, topic, reason),
            }
        }
        let made: Vec<ShardId> = new.iter().map(|spec| spec.shard).collect();
        if !made.is_empty()
            && let Err(error) = self.registry.note_hosted(&made)
        {
            let reason = format!("it cannot be registered: {error}");
            new.drain(..).for_each(|spec| self.lose(spec.shard, spec.topic, reason.clone()));
        }
        open(lane, &old, now);
        let opened = open(lane, &new, now);
        for (spec, is_open) in new.iter().zip(opened) {
            if is_open && spec.replicas.first().is_some_and(|first| first.node == self.node) {
                self.campaigns.push((spec.shard, 0));
            }
        }
    }

    /// Sees to it that the shard's files are there, if they may be made.
    fn prepare(&mut self, lane: &mut Lane, spec: &ShardSpec) -> Result<Fate, String> {
        let shard = spec.shard;
        let fate = self.registry.fate(shard, lane.exists(shard));
        match fate {
            Fate::Open | Fate::Removed => return Ok(fate),
            Fate::Lost => {
                return Err(format!(
                    "its files (shards/{shard} in the data folder) are gone, though it was hosted here before: it \
                     is not made again blank, for it could not keep what it promised. Restore the folder"
                ));
            }
            Fate::CreateAnew => lane.remove_shard(shard).map_err(|error| error.to_string())?,
            Fate::Create => {}
        }
        lane.create_shard(spec).map_err(|error| error.to_string())?;
        Ok(fate)
    }

    fn remove(&mut self, lane: &mut Lane, shard: ShardId) {
        self.lost.remove(&shard);
        self.campaigns.retain(|(campaigning, _)| *campaigning != shard);
        if self.registry.fate(shard, true) != Fate::Removed
            && let Err(error) = self.registry.note_removed(&[shard])
        {
            tracing::error!(shard = shard.0, %error, "a deleted shard's removal cannot be noted; it is tried again at the next start");
            return;
        }
        if lane.exists(shard)
            && let Err(error) = lane.remove_shard(shard)
        {
            tracing::error!(shard = shard.0, %error, "a deleted shard's files cannot be removed; they are at the next start");
        }
    }

    fn lose(&mut self, shard: ShardId, topic: TopicId, reason: String) {
        tracing::error!(shard = shard.0, reason, "this node's replica cannot be opened");
        self.lost.insert(shard, (topic, reason));
    }

    fn campaign(&mut self, lane: &mut Lane, now: &Reading) {
        if self.campaigns.is_empty() || now.monotonic < self.next_campaign {
            return;
        }
        self.next_campaign = now.monotonic.plus(CAMPAIGN_EVERY);
        self.campaigns.retain_mut(|(shard, tries)| {
            let waits = lane.status(*shard, now).is_some_and(|s| s.leader.is_none() && s.failure.is_none());
            *tries += 1;
            if waits {
                lane.campaign(*shard);
            }
            waits && *tries < CAMPAIGNS_MAX
        });
    }

    fn settled(&self) -> Offset {
        // A record whose work is not all done is not settled: the end before it is.
        self.work.front().map_or(self.view.next_offset(), |(_, after)| Offset(after.0.saturating_sub(1)))
    }

    fn publish(&self, view_changed: bool) {
        let settled = self.settled();
        let lost = self.lost.iter().map(|(shard, (_, reason))| (*shard, reason.clone())).collect();
        self.progress.send_modify(|progress| {
            if view_changed {
                progress.view = Arc::new(self.view.clone());
            }
            (progress.settled, progress.lost) = (settled, Arc::new(lost));
        });
    }

    pub(super) fn readiness(&self, lane: &Lane, now: &Reading) -> Ready {
        let statuses = lane.statuses(now);
        let failed = statuses.iter().filter(|status| status.failure.is_some()).count();
        let leaderless = statuses.iter().filter(|s| s.failure.is_none() && s.leader.is_none()).count();
        Ready { caught_up: self.settled() >= self.goal, leaderless, failed: failed + self.lost.len() }
    }

    /// The statuses of replicas that never opened, for those who ask for statuses.
    pub(super) fn lost_statuses(&self) -> impl Iterator<Item = ReplicaStatus> {
        self.lost.iter().map(|(shard, (topic, reason))| ReplicaStatus::failed(*shard, *topic, reason))
    }
}

/// Opens replicas together; whether each is open now.
fn open(lane: &mut Lane, specs: &[ShardSpec], now: &Reading) -> Vec<bool> {
    let note = |(spec, result): (&ShardSpec, Result<OpenReport, _>)| {
        let shard = spec.shard.0;
        match result {
            Ok(OpenReport { cut: Some(cut), .. }) => {
                tracing::warn!(shard, cut, "an unsynced tail was cut off the log");
                true
            }
            Ok(_) => true,
            Err(error) => {
                tracing::error!(shard, %error, "this node's replica cannot be opened");
                false
            }
        }
    };
    specs.iter().zip(lane.open_shards(specs, now)).map(note).collect()
}
