//! Replicas come and go: their logs are made, opened, started and removed.
//!
//! Knows nothing of what a running replica does. Invariants: a replica whose log is not whole, or that may have forgotten
//! what it answered for, does not start its raft; one that cannot be opened is listed with its reason, never made anew.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use super::log_view::LogView;
use super::replica::Replica;
use super::{Error, Lane, ShardSpec};
use crate::clock::Reading;
use crate::codec::ShardState;
use crate::log::{CutTail, Log, LogIdentity, Opening, Recovery, RepairPlan};
use crate::shard::{Shard, ShardOptions};
use crate::simulation::{Bug, Limit, is_planted, limit};
use crate::types::{Durability, Index, ShardId};

/// How far a leader may run ahead of its clock by stamping more than one record a nanosecond: far more than
/// any backlog that the queues admit.
pub(super) const BACKLOG_ALLOWANCE_NS: u64 = 10_000_000;
/// Replication messages on their way to one replica.
const IN_FLIGHT_MESSAGES_MAX: u64 = 64;
/// Entry bytes that one replication message carries; a larger entry travels alone.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// What opening a shard found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// An unsynced tail was cut: where and how much.
    pub cut: Option<String>,
    pub replayed_bytes: u64,
}

impl Lane {
    /// Makes the empty log of this node's replica, durably. A log that is there already is left alone.
    pub fn create_shard(&mut self, spec: &ShardSpec) -> Result<(), Error> {
        let identity = self.identity(spec)?;
        let shard = spec.shard;
        if self.exists(shard) {
            return Ok(());
        }
        let genesis = ShardState::genesis(&self.options.cluster, &shard, spec.genesis_membership());
        Log::create_among(&self.files, &folder(shard), &identity, &genesis, self.options.log)
            .map_err(|source| Error::Log { shard, source })?;
        self.created.insert(shard);
        Ok(())
    }

    /// Whether this node's disk holds a log of the shard.
    pub fn exists(&self, shard: ShardId) -> bool {
        self.disk.list(&folder(shard)).is_ok_and(|names| !names.is_empty())
    }

    /// Opens this node's replica and starts it. A replica that cannot be opened is listed as failed.
    pub fn open_shard(&mut self, spec: &ShardSpec, now: &Reading) -> Result<OpenReport, Error> {
        self.open_shards(std::slice::from_ref(spec), now).remove(0)
    }

    /// Opens many replicas with one set of syncs: one answer per replica, in order.
    pub fn open_shards(&mut self, specs: &[ShardSpec], now: &Reading) -> Vec<Result<OpenReport, Error>> {
        let begun: Vec<_> = specs.iter().map(|spec| self.begin_open(spec)).collect();
        let files: Vec<_> = begun.iter().flatten().flat_map(Opening::files).cloned().collect();
        let mut synced = self.disk.sync(&files).into_iter();
        let finish = |(spec, begun): (&ShardSpec, Result<Opening, Error>)| {
            let shard = spec.shard;
            let finished = begun.and_then(|opening| {
                let results = synced.by_ref().take(opening.files().len()).collect();
                opening.finish(results).map_err(|source| Error::Log { shard, source })
            });
            self.start(spec, finished, now)
        };
        specs.iter().zip(begun).map(finish).collect()
    }

    fn begin_open(&mut self, spec: &ShardSpec) -> Result<Opening, Error> {
        let shard = spec.shard;
        if self.replicas.contains_key(&shard) || self.recollections.holds(shard) {
            return Err(Error::Open { shard });
        }
        self.failed.remove(&shard);
        self.ward.cancel(shard);
        let identity = self.identity(spec)?;
        let opening = Log::begin_open(&self.files, &folder(shard), &identity, self.options.log);
        let prepared = opening.and_then(|mut opening| {
            if spec.durability == Durability::Memory {
                opening.note_volatile()?;
            }
            Ok(opening)
        });
        prepared.map_err(|source| Error::Log { shard, source })
    }

    fn start(
        &mut self,
        spec: &ShardSpec,
        finished: Result<(Log, Recovery), Error>,
        now: &Reading,
    ) -> Result<OpenReport, Error> {
        let (log, recovery) = match finished {
            Ok(opened) => opened,
            // The replica that is open already goes on.
            Err(error @ Error::Open { .. }) => return Err(error),
            Err(error) => {
                let plan = self.plan_for_refused(&error);
                return Err(self.note_refused(spec, error, plan));
            }
        };
        let report = OpenReport {
            cut: recovery.cut.as_ref().map(describe_cut),
            replayed_bytes: recovery.bytes_replayed,
        };
        if recovery.may_have_forgotten && !is_planted(Bug::TrustMemory) {
            self.recollect(spec, log, recovery);
        } else {
            self.start_log(spec, Rc::new(RefCell::new(log)), &recovery, now)?;
        }
        Ok(report)
    }

    /// Starts the raft of a replica whose log has all that it answered for.
    pub(super) fn start_log(
        &mut self,
        spec: &ShardSpec,
        log: Rc<RefCell<Log>>,
        recovery: &Recovery,
        now: &Reading,
    ) -> Result<(), Error> {
        let mut plan = None;
        match self.replica(spec, log, recovery, &mut plan) {
            Ok(replica) => {
                self.replicas.insert(spec.shard, Box::new(replica));
                self.touched.insert(spec.shard);
                self.start_ticks(now);
                Ok(())
            }
            Err(error) => Err(self.note_refused(spec, error, plan)),
        }
    }

    /// A replica that cannot start: it is listed, and repaired if there is a plan.
    fn note_refused(&mut self, spec: &ShardSpec, error: Error, plan: Option<RepairPlan>) -> Error {
        self.failed.insert(spec.shard, (spec.clone(), error.to_string()));
        if let Some(plan) = plan {
            self.begin_repair(spec, plan, Some(Index(0)));
        }
        error
    }

    fn replica(
        &self,
        spec: &ShardSpec,
        log: Rc<RefCell<Log>>,
        recovery: &Recovery,
        plan: &mut Option<RepairPlan>,
    ) -> Result<Replica, Error> {
        let shard = spec.shard;
        let identity = self.identity(spec)?;
        let options = ShardOptions {
            cluster: self.options.cluster.clone(),
            shard,
            replica: identity.replica,
            durability: spec.durability,
            eps_max_ns: self.options.eps_max_ns,
            backlog_allowance_ns: BACKLOG_ALLOWANCE_NS,
            election_ticks_min: self.options.election_ticks.start,
            election_ticks_max: self.options.election_ticks.end,
            heartbeat_ticks: self.options.heartbeat_ticks,
            in_flight_messages_max: limit(Limit::ReplicationMessages, IN_FLIGHT_MESSAGES_MAX) as usize,
            message_bytes_max: limit(Limit::ReplicationBytes, MESSAGE_BYTES_MAX),
            unanswered_max: self.options.unanswered_max,
            seed: self.options.seed ^ shard.0.rotate_left(32) ^ identity.replica.0,
            forgotten: !self.created.contains(&shard),
        };
        let view = Box::new(LogView::new(Rc::clone(&log)));
        let core = Shard::open(options, recovery.vote, view).map_err(|source| {
            *plan = log.borrow().take_damage();
            Error::Shard { shard, source }
        })?;
        Ok(Replica::new(spec.clone(), identity.replica, log, core))
    }

    fn plan_for_refused(&self, error: &Error) -> Option<RepairPlan> {
        let Error::Log { shard, source } = error else { return None };
        RepairPlan::of_refused(&*self.disk, &folder(*shard), source)
    }

    pub(super) fn identity(&self, spec: &ShardSpec) -> Result<LogIdentity, Error> {
        let (shard, node) = (spec.shard, self.options.node);
        let replica = spec.replica_on(node).ok_or(Error::NotPlaced { shard, node })?;
        Ok(LogIdentity { cluster: self.options.cluster.clone(), topic: spec.topic, shard, replica })
    }

    fn start_ticks(&mut self, now: &Reading) {
        if self.replicas.len() == 1 {
            self.next_raft_tick = now.monotonic.plus(self.options.raft_tick);
            self.next_closed_tick = now.monotonic.plus(self.options.closed_tick);
        }
    }

    /// Stops this node's replica and deletes its files.
    pub fn remove_shard(&mut self, shard: ShardId) -> Result<(), Error> {
        if let Some(replica) = self.replicas.remove(&shard) {
            replica.stop("the shard was deleted", &mut self.output);
        }
        self.failed.remove(&shard);
        self.ward.cancel(shard);
        self.recollections.forget(shard);
        self.forget_wake(shard);
        self.disk.remove(&folder(shard)).map_err(|source| Error::Disk { shard, source })
    }
}

fn describe_cut(cut: &CutTail) -> String {
    let CutTail { file, at_byte, bytes, after, reason } = cut;
    let file = file.display();
    format!("{bytes} unsynced bytes after entry {after} were cut from {file} at byte {at_byte}: {reason}")
}

fn folder(shard: ShardId) -> PathBuf {
    PathBuf::from("shards").join(shard.to_string())
}
