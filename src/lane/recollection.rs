//! Before its raft starts, a replica that may have forgotten what it answered for asks all others what they have.
//!
//! With durability `memory` a replica answers for frames that only its page cache holds. When its machine loses that, it
//! must neither vote nor answer as if it remembered (Liskov and Cowling, *Viewstamped Replication Revisited*, 2012, section
//! 4.3). It waits until *every* other replica has told its last entry and term since this start, takes over the log of
//! the one whose log is newest in Raft's sense, and only then starts. Why that is enough: an entry that was committed with
//! this replica's answer was held by others of its quorum; of the logs of all replicas the newest has all that any leader
//! could have counted on, the present leader's is one of them, and nothing was answered for meanwhile.
//! What every replica of its quorum has forgotten is lost: that is what `memory` means. Knows nothing of threads.
//! Invariants: an answer of an earlier life never counts; the log stays one run of proved frames; what was taken over is on
//! the disk before raft starts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::output::CareNote;
use super::repair::{FETCH_BYTES_MAX, FETCH_FRAMES_MAX, frames_of};
use super::{Lane, ShardSpec};
use crate::clock::Reading;
use crate::codec::ShardState;
use crate::log::{self, Log, Recovery};
use crate::types::{Durability, Index, Monotonic, NodeId, ShardId, Term, Vote};
use crate::wire::{FetchFrames, FetchedFrames, RecallAnswer, RecallRequest};

/// How long an answer may take before the question is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// It doubles with every round in vain, so often at most.
const DOUBLINGS_MAX: u32 = 5;

/// All replicas of a lane that still ask.
#[derive(Default)]
pub(super) struct Recollections {
    shards: BTreeMap<ShardId, Recollection>,
}

/// One replica's.
struct Recollection {
    spec: ShardSpec,
    log: Rc<RefCell<Log>>,
    recovery: Recovery,
    /// Of this life alone.
    token: u64,
    answers: BTreeMap<NodeId, RecallAnswer>,
    /// Whose log is being taken over, and the next index of it.
    fetching: Option<(NodeId, Index)>,
    fetched: u64,
    /// Our log does not go over into the newest one, which begins inside ours: it is begun anew where that begins.
    begins_anew: bool,
    /// How often it was asked in vain.
    rounds: u32,
    due: Monotonic,
}

/// What came of one step.
enum Progress {
    /// Waits for answers.
    Waits,
    Ask(NodeId, FetchFrames),
    /// The log has all that it may have forgotten.
    Remembers,
}

impl Recollections {
    pub(super) fn holds(&self, shard: ShardId) -> bool {
        self.shards.contains_key(&shard)
    }

    pub(super) fn forget(&mut self, shard: ShardId) {
        self.shards.remove(&shard);
    }

    /// When questions have to be asked again, if there are any.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.shards.values().map(|recollection| recollection.due).min()
    }
}

impl Recollection {
    fn others(&self, me: NodeId) -> impl Iterator<Item = NodeId> {
        self.spec.replicas.iter().map(|placed| placed.node).filter(move |node| *node != me)
    }

    /// Everything that was learned in vain is asked again.
    fn start_over(&mut self) -> Progress {
        self.answers.clear();
        self.fetching = None;
        Progress::Waits
    }

    /// Looks whether all have answered, and whose log is the newest.
    fn judge(&mut self, me: NodeId) -> Result<Progress, log::Error> {
        if self.fetching.is_some() || !self.others(me).all(|node| self.answers.contains_key(&node)) {
            return Ok(Progress::Waits);
        }
        let best = self.answers.iter().max_by_key(|(_, answer)| (answer.last_term, answer.last_index));
        let own = last_of(&self.log.borrow())?;
        let Some((node, best)) = best.filter(|(_, answer)| (answer.last_term, answer.last_index) > own)
        else {
            return Ok(Progress::Remembers);
        };
        let node = *node;
        let next = self.begin_after(&best.clone())?;
        self.fetching = Some((node, next));
        Ok(self.ask())
    }

    /// The first index to compare with a peer's: what is committed is the same everywhere. A log that ends before the peer's
    /// begins is begun anew there.
    fn begin_after(&self, best: &RecallAnswer) -> Result<Index, log::Error> {
        let mut log = self.log.borrow_mut();
        let begins_anew = self.begins_anew || best.first_index > log.last_index().0 + 1;
        if begins_anew && let Ok(state) = ShardState::decode(&best.state) {
            log.reset(&state)?;
            return Ok(state.index.plus(1));
        }
        Ok(self.committed(&log)?.plus(1).max(Index(best.first_index)))
    }

    fn committed(&self, log: &Log) -> Result<Index, log::Error> {
        let last = log.last_index();
        let told = if last < log.first_index() { Index(0) } else { log.header(last)?.committed };
        Ok(told.max(self.recovery.vote.committed).max(log.first_index().before()).min(last))
    }

    fn ask(&self) -> Progress {
        let Some((node, next)) = self.fetching else { return Progress::Waits };
        let Some(goal) = self.answers.get(&node) else { return Progress::Waits };
        let to = goal.last_index.min(next.0 + FETCH_FRAMES_MAX - 1);
        let (shard, token) = (self.spec.shard.0, self.token);
        let (from, max_bytes) = (next.0, FETCH_BYTES_MAX);
        Progress::Ask(node, FetchFrames { shard, token, from, to, max_bytes, oldest_first: true })
    }

    /// Takes over a peer's frames, as far as they follow.
    fn take(&mut self, from: NodeId, payload: Bytes) -> Result<Progress, log::Error> {
        let Some((node, next)) = self.fetching.filter(|(node, _)| *node == from) else {
            return Ok(Progress::Waits);
        };
        let frames = frames_of(payload);
        let in_order = frames.iter().zip(next.0..).all(|(frame, index)| frame.header.index.0 == index);
        let goal = self.answers.get(&node).map(|goal| (goal.last_term, goal.last_index));
        let (Some(last), Some(goal), true) = (frames.last(), goal, in_order) else {
            return Ok(self.start_over());
        };
        let last = last.header.index;
        let mut log = self.log.borrow_mut();
        let mut known = 0;
        while let Some(frame) = frames.get(known) {
            let index = frame.header.index;
            if index > log.last_index() || log.header(index)? != frame.header {
                break;
            }
            known += 1;
        }
        let committed = self.committed(&log)?;
        match log.append(&frames[known..], committed.min(next.before())) {
            Ok(()) => {}
            // The peer's log has changed since it answered, or begins where ours is of another history.
            Err(log::Error::NotNext { .. }) => {
                drop(log);
                self.begins_anew = self.answers.get(&from).is_some_and(|goal| goal.first_index == next.0);
                return Ok(self.start_over());
            }
            Err(error) => return Err(error),
        }
        self.fetched += (frames.len() - known) as u64;
        let reached = last_of(&log)?;
        drop(log);
        if last.0 < goal.1 {
            self.fetching = Some((node, last.plus(1)));
            return Ok(self.ask());
        }
        Ok(if reached >= goal { Progress::Remembers } else { self.start_over() })
    }

    /// Makes what was learned durable, in one write of the vote.
    fn settle(&mut self) -> Result<(), log::Error> {
        let mut log = self.log.borrow_mut();
        let seen = self.answers.values().map(|answer| Term(answer.term)).max().unwrap_or_default();
        let Vote { term, .. } = self.recovery.vote;
        if seen > term {
            self.recovery.vote = Vote { term: seen, voted_for: None, ..self.recovery.vote };
        }
        log.save_vote(self.recovery.vote)?;
        log.note_volatile(self.spec.durability == Durability::Memory);
        log.sync_all()
    }
}

/// The state before a log's first entry, with the membership as far as it is known to be applied: what changed it may stand
/// in entries that are gone.
fn beginning(log: &Log) -> Result<Bytes, log::Error> {
    let (applied, membership) = log.applied();
    Ok(ShardState { applied, membership: membership.clone(), ..log.first_state()? }.encode())
}

/// The last entry's term and index.
fn last_of(log: &Log) -> Result<(u64, u64), log::Error> {
    let last = log.last_index();
    Ok((log.term(last)?.0, last.0))
}

impl Lane {
    /// Begins to ask what the replica may have forgotten.
    pub(super) fn recollect(&mut self, spec: &ShardSpec, log: Log, recovery: Recovery) {
        let shard = spec.shard;
        self.last_token += 1;
        // Unlike tokens alone, seeds differ from life to life: no answer to an earlier one is taken for one to this.
        let token = self.options.seed.wrapping_add(self.last_token);
        let others: Vec<_> = spec.replicas.iter().filter(|placed| placed.node != self.options.node).collect();
        let others = others.iter().map(|placed| placed.node.to_string()).collect::<Vec<_>>().join(", ");
        let reason = format!(
            "it may have lost frames that it answered for (its machine restarted, a sync failed, or damage could not be \
             repaired whole): it asks nodes {others} what it had, and waits for all of them; start those that are down"
        );
        self.failed.insert(shard, (spec.clone(), reason));
        let recollection = Recollection {
            spec: spec.clone(),
            log: Rc::new(RefCell::new(log)),
            recovery,
            token,
            answers: BTreeMap::new(),
            fetching: None,
            fetched: 0,
            begins_anew: false,
            rounds: 0,
            due: Monotonic(0),
        };
        self.recollections.shards.insert(shard, recollection);
    }

    /// Asks whoever has not answered, again and again.
    pub(super) fn recollection_tick(&mut self, now: &Reading) {
        let me = self.options.node;
        let mut due = Vec::new();
        for (shard, recollection) in &mut self.recollections.shards {
            if now.monotonic < recollection.due {
                continue;
            }
            let wait = ASK_AGAIN_AFTER * 2_u32.pow(recollection.rounds.min(DOUBLINGS_MAX));
            recollection.due = now.monotonic.plus(wait);
            if recollection.fetching.is_some() {
                // A slow link is given more time from round to round.
                recollection.rounds += 1;
                recollection.start_over();
            }
            let last_index =
                if recollection.begins_anew { 0 } else { recollection.log.borrow().last_index().0 };
            let token = recollection.token;
            for node in recollection.others(me).filter(|node| !recollection.answers.contains_key(node)) {
                let request = RecallRequest { shard: shard.0, token, last_index };
                self.outbox.to(node).recalls.push(request);
            }
            due.push(*shard);
        }
        for shard in due {
            self.move_on(shard, now, |recollection| recollection.judge(me));
        }
    }

    pub(super) fn answer_recall(&mut self, from: NodeId, request: &RecallRequest) {
        let shard = ShardId(request.shard);
        let found = match (self.replicas.get(&shard), self.recollections.shards.get(&shard)) {
            (Some(replica), _) => Some((&replica.spec, &replica.log, replica.shard.term())),
            (None, Some(other)) => Some((&other.spec, &other.log, other.recovery.vote.term)),
            (None, None) => None,
        };
        let Some((_, log, term)) = found.filter(|(spec, ..)| spec.replica_on(from).is_some()) else { return };
        let log = log.borrow();
        let first_index = log.first_index().0;
        let state = if first_index > request.last_index + 1 { beginning(&log) } else { Ok(Bytes::new()) };
        let (Ok((last_term, last_index)), Ok(state)) = (last_of(&log), state) else { return };
        let (shard, token, term) = (request.shard, request.token, term.0);
        let answer = RecallAnswer { shard, token, term, last_index, last_term, first_index, state };
        drop(log);
        self.outbox.to(from).recalled.push(answer);
    }

    pub(super) fn take_recall(&mut self, from: NodeId, answer: &RecallAnswer, now: &Reading) {
        let me = self.options.node;
        self.move_on(ShardId(answer.shard), now, |recollection| {
            let is_asked = recollection.spec.replica_on(from).is_some();
            if !is_asked || answer.token != recollection.token || recollection.fetching.is_some() {
                return Ok(Progress::Waits);
            }
            recollection.answers.insert(from, answer.clone());
            recollection.judge(me)
        });
    }

    /// Takes frames, if the replica is one that asked for them this way.
    pub(super) fn take_recalled_frames(
        &mut self,
        from: NodeId,
        answer: &FetchedFrames,
        payload: Bytes,
        now: &Reading,
    ) {
        self.move_on(ShardId(answer.shard), now, |recollection| {
            if answer.token == recollection.token {
                recollection.take(from, payload)
            } else {
                Ok(Progress::Waits)
            }
        });
    }

    fn move_on(
        &mut self,
        shard: ShardId,
        now: &Reading,
        step: impl FnOnce(&mut Recollection) -> Result<Progress, log::Error>,
    ) {
        let Some(recollection) = self.recollections.shards.get_mut(&shard) else { return };
        match step(recollection) {
            Ok(Progress::Waits) => {}
            Ok(Progress::Ask(node, request)) => {
                let wait = ASK_AGAIN_AFTER * 2_u32.pow(recollection.rounds.min(DOUBLINGS_MAX));
                recollection.due = now.monotonic.plus(wait);
                self.outbox.to(node).fetches.push(request);
            }
            Ok(Progress::Remembers) => self.start_recollected(shard, now),
            Err(error) => self.give_up(shard, &error),
        }
    }

    /// Nothing is missing any more: the replica starts.
    fn start_recollected(&mut self, shard: ShardId, now: &Reading) {
        let Some(mut recollection) = self.recollections.shards.remove(&shard) else { return };
        if let Err(error) = recollection.settle() {
            self.recollections.shards.insert(shard, recollection);
            return self.give_up(shard, &error);
        }
        let Recollection { spec, log, recovery, fetched, .. } = recollection;
        self.failed.remove(&shard);
        self.output.care.push(CareNote::Recalled { shard, fetched });
        // Why it does not start, if so, shows in its status.
        let _ = self.start_log(&spec, log, &recovery, now);
    }

    /// A log that cannot be read or written: repaired if it is damaged, tried again if its disk is full, else listed.
    fn give_up(&mut self, shard: ShardId, error: &log::Error) {
        let Some(recollection) = self.recollections.shards.get_mut(&shard) else { return };
        if error.is_no_space() {
            recollection.start_over();
            return;
        }
        let Some(Recollection { spec, log, .. }) = self.recollections.shards.remove(&shard) else { return };
        let plan = log.borrow().take_damage();
        self.failed.insert(shard, (spec.clone(), error.to_string()));
        self.output.failed.push((shard, error.to_string()));
        drop(log);
        if let Some(plan) = plan {
            self.begin_repair(&spec, plan, Some(Index(0)));
        }
    }

    /// The log of a replica whose raft has not started.
    pub(super) fn unstarted_log(&self, shard: ShardId) -> Option<(&ShardSpec, &Rc<RefCell<Log>>, Index)> {
        let recollection = self.recollections.shards.get(&shard)?;
        Some((&recollection.spec, &recollection.log, recollection.recovery.vote.committed))
    }
}
