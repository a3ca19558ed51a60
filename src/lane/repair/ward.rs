//! All repairs of a lane: begun, driven by ticks, task results and peers' answers, ended.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::answer::frames_of;
use super::case::{Case, Step};
use crate::clock::Reading;
use crate::lane::output::{CareNote, TaskRequest};
use crate::lane::{Lane, ShardSpec};
use crate::log::{self, FileTask, RepairPlan, TaskResult};
use crate::types::{Index, Monotonic, NodeId, ShardId};
use crate::wire::FetchedFrames;

/// Repairs that hold frames in memory at once; the others wait for their turn.
const AT_ONCE_MAX: usize = 4;
const TICK: Duration = Duration::from_millis(20);

/// A segment of a shard's replica here.
type Patient = (ShardId, u64);

/// The repairs under way, and who waits for which task.
#[derive(Default)]
pub(in crate::lane) struct Ward {
    /// By shard and segment; a stopped replica has one.
    cases: BTreeMap<Patient, Case>,
    tasks: BTreeMap<u64, Patient>,
    next_tick: Monotonic,
}

impl Ward {
    /// When repairs have to be looked at, if there are any.
    pub(in crate::lane) fn due(&self) -> Option<Monotonic> {
        (!self.cases.is_empty()).then_some(self.next_tick)
    }

    fn of(&self, shard: ShardId) -> impl Iterator<Item = &Case> {
        self.cases.range((shard, 0)..=(shard, u64::MAX)).map(|(_, case)| case)
    }

    /// What a shard's repairs do now.
    pub(in crate::lane) fn describe(&self, shard: ShardId) -> Option<String> {
        let all: Vec<String> = self.of(shard).map(Case::describe).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Gives a shard's repairs up.
    pub(in crate::lane) fn cancel(&mut self, shard: ShardId) {
        self.cases.retain(|(of, _), _| *of != shard);
        self.tasks.retain(|_, (of, _)| *of != shard);
    }

    fn end(&mut self, patient: Patient) {
        self.cases.remove(&patient);
        self.tasks.retain(|_, waiting| *waiting != patient);
    }
}

impl Lane {
    /// Begins to repair a segment. `stopped` is set if the replica is closed, and says up to where it had handed out
    /// committed frames.
    pub(in crate::lane) fn begin_repair(
        &mut self,
        spec: &ShardSpec,
        plan: RepairPlan,
        stopped: Option<Index>,
    ) {
        let patient = (spec.shard, plan.number());
        if stopped.is_some() {
            self.ward.cancel(spec.shard);
        } else if self.ward.cases.contains_key(&patient) {
            return;
        }
        self.ward.cases.insert(patient, Case::new(plan, spec.clone(), self.options.node, stopped));
    }

    /// Repairs what reads of an open replica found damaged since this was last asked. A damaged active segment stops its
    /// replica: it cannot be replaced while it is written.
    pub(in crate::lane) fn notice_damage(&mut self, shard: ShardId) {
        self.notice_found(shard, "found by a read");
    }

    /// As `notice_damage`; `how` says how it was found.
    pub(super) fn notice_found(&mut self, shard: ShardId, how: &str) {
        let Some(replica) = self.replicas.get(&shard) else { return };
        let Some(plan) = replica.log.borrow().take_damage() else { return };
        let (spec, file) = (replica.spec.clone(), plan.path());
        let file = file.display();
        if plan.is_active() {
            let reason = format!("{file}, which it writes to, is damaged");
            self.close(shard, reason, Some(plan));
            return;
        }
        if !self.ward.cases.contains_key(&(shard, plan.number())) {
            self.output.care.push(CareNote::Damaged { shard, reason: format!("{file} is damaged, {how}") });
        }
        self.begin_repair(&spec, plan, None);
    }

    /// Looks after all repairs, and scrubs on.
    pub(in crate::lane) fn repair_tick(&mut self, now: &Reading) {
        if now.monotonic < self.ward.next_tick {
            return;
        }
        self.ward.next_tick = now.monotonic.plus(TICK);
        let patients: Vec<Patient> = self.ward.cases.keys().copied().collect();
        for patient in patients {
            if !self.needs_repair(patient) {
                self.ward.end(patient);
            }
            let busy = self.ward.cases.values().filter(|case| !case.is_resting()).count();
            self.drive(patient, |case, token| case.tick(now.monotonic, token, busy < AT_ONCE_MAX));
        }
        self.scrub(now);
    }

    /// Whether a segment is still what is to be repaired. A running log may have trimmed or cut it, or begun anew.
    fn needs_repair(&self, patient: Patient) -> bool {
        let Some(case) = self.ward.cases.get(&patient).filter(|case| case.stopped.is_none()) else {
            return true;
        };
        self.replicas.get(&patient.0).is_some_and(|replica| replica.log.borrow().still_needs(&case.plan))
    }

    fn drive(&mut self, patient: Patient, act: impl FnOnce(&mut Case, u64) -> Step) {
        let (token, shard) = (self.last_token + 1, patient.0);
        let Some(case) = self.ward.cases.get_mut(&patient) else { return };
        match act(case, token) {
            Step::Run(task) => {
                self.ward.tasks.insert(token, patient);
                self.request_task(task);
            }
            Step::Ask(node, request) => {
                self.last_token = token;
                self.outbox.to(node).fetches.push(request);
            }
            Step::Rest(reason) => self.output.care.push(CareNote::RepairRests { shard, reason }),
            Step::Nothing => {}
        }
    }

    /// Hands a task out under the next token.
    pub(super) fn request_task(&mut self, task: FileTask) -> u64 {
        self.last_token += 1;
        self.output.tasks.push(TaskRequest { token: self.last_token, task });
        self.last_token
    }

    /// A task is done.
    pub(in crate::lane) fn task_done(&mut self, token: u64, result: TaskResult, now: &Reading) {
        if let TaskResult::Scrubbed(scrubbed) = result {
            self.scrubbed(token, scrubbed, now);
            return;
        }
        // The repair may have been given up.
        let Some(patient) = self.ward.tasks.remove(&token) else { return };
        let at = now.monotonic;
        match result {
            TaskResult::Surveyed(Ok(salvage)) => {
                self.drive(patient, |case, token| case.surveyed(salvage, at, token));
            }
            TaskResult::Surveyed(Err(error)) | TaskResult::Built(Err(error)) => {
                self.drive(patient, |case, _| case.rest(error.to_string(), at));
            }
            TaskResult::Built(Ok(last)) => self.put_in_place(patient, last, now),
            TaskResult::Scrubbed(_) => {}
        }
    }

    /// A peer's frames have come.
    pub(in crate::lane) fn take_fetched(
        &mut self,
        from: NodeId,
        answer: &FetchedFrames,
        payload: Bytes,
        now: &Reading,
    ) {
        let frames = frames_of(payload);
        let shard = ShardId(answer.shard);
        let asked = self.ward.cases.range((shard, 0)..=(shard, u64::MAX));
        let mut asked =
            asked.filter(|(_, case)| case.waits_for(from, answer.token)).map(|(patient, _)| *patient);
        if let Some(patient) = asked.next() {
            self.drive(patient, |case, token| case.take(from, answer, frames, (now.monotonic, token)));
        }
    }

    /// The segment is written anew. It takes its place on this thread, between two writes to the log.
    fn put_in_place(&mut self, patient: Patient, last: Index, now: &Reading) {
        let shard = patient.0;
        let Some(case) = self.ward.cases.get(&patient) else { return };
        let (plan, fetched) = (case.plan.clone(), case.fetched());
        let (spec, stopped, forgets) = (case.spec.clone(), case.stopped, case.forgets);
        let placed = match (stopped, self.replicas.get(&shard)) {
            (None, Some(replica)) => replica.log.borrow_mut().adopt(&plan),
            (Some(_), None) => self.put_closed_in_place(&spec, &plan, forgets),
            // The replica stopped or was opened meanwhile for another reason.
            _ => {
                plan.discard(&*self.disk);
                Ok(false)
            }
        };
        let placed = match placed {
            Ok(placed) => placed,
            Err(error) => return self.drive(patient, |case, _| case.rest(error.to_string(), now.monotonic)),
        };
        self.ward.end(patient);
        if placed {
            let file = plan.path();
            self.output.care.push(CareNote::Repaired { shard, file, fetched, last });
        }
        if let Some(followed) = stopped.filter(|_| placed) {
            self.open_again(&spec, followed, now);
        }
    }

    /// The segment of a closed log. Whatever it forgot is noted first: a crash in between finds the damage again.
    fn put_closed_in_place(
        &self,
        spec: &ShardSpec,
        plan: &RepairPlan,
        forgets: bool,
    ) -> Result<bool, log::Error> {
        if let Some(identity) = self.identity(spec).ok().filter(|_| forgets) {
            plan.note_forgotten(&*self.disk, &identity)?;
        }
        plan.put_in_place(&*self.disk).map(|()| true)
    }

    fn open_again(&mut self, spec: &ShardSpec, followed: Index, now: &Reading) {
        // Why it does not open, or that more of it is repaired, shows in its status.
        let opened = self.open_shard(spec, now).is_ok();
        if let Some(replica) = self.replicas.get_mut(&spec.shard).filter(|_| opened) {
            replica.follow_from(followed);
        }
        let shard = spec.shard;
        for (_, case) in self.ward.cases.range_mut((shard, 0)..=(shard, u64::MAX)) {
            case.stopped = case.stopped.map(|_| followed);
        }
    }
}
