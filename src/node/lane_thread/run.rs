//! The loop: wait for an event or the deadline, take in what waits, carry the output away.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::care;
use super::handle::{Call, LaneShared, event_bytes};
use super::hosting::Hosting;
use super::waiters::{AppendResult, FenceResult};
use super::{LaneHandle, LaneLimits, Progress, Waiting};
use crate::clock::{Clock, Reading};
use crate::disk::Disk;
use crate::lane::{Event, Lane, LaneOptions, Leadership, Output, Send, ShardSpec, Ticket};
use crate::node::disk_threads::{DiskThreads, spawn};
use crate::node::folder::Registry;
use crate::node::metrics::Metrics;
use crate::transport::{Link, StreamClass};
use crate::types::{NodeId, ShardId};
use crate::wire::ClockProbe;

/// Events taken in before the output is carried away.
const EVENTS_PER_STEP: usize = 512;
/// The longest wait: a clock that steps back must not hold the lane up.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// A step of the lane that takes this long delays heartbeats: worth a word.
const SLOW_STEP: Duration = Duration::from_millis(100);

/// Where the output goes.
pub(crate) struct Outlets {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) disk: Arc<DiskThreads>,
}

/// A lane that is yet to start, on a thread or in steps: its handle is needed before the outlets can be made.
pub(crate) struct LaneThread {
    calls: Receiver<Call>,
    shared: Arc<LaneShared>,
    progress: watch::Sender<Progress>,
}

/// What the thread is started with.
pub(crate) struct LaneStart {
    pub(crate) options: LaneOptions,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) registry: Registry,
    pub(crate) system: ShardSpec,
    pub(crate) clock: Arc<Clock>,
    pub(crate) outlets: Outlets,
}

impl LaneThread {
    pub(crate) fn new(limits: LaneLimits, metrics: Arc<Metrics>) -> (Self, LaneHandle) {
        let (progress, watcher) = watch::channel(Progress::default());
        let (handle, calls, shared) = LaneHandle::new(limits, metrics, watcher);
        (Self { calls, shared, progress }, handle)
    }

    /// Starts the thread, which spins the last `wait_spin` of its waits. `Err` with the reason if the system shard cannot be
    /// opened.
    pub(crate) fn start(
        self,
        start: LaneStart,
        wait_spin: Duration,
    ) -> std::io::Result<(JoinHandle<()>, Result<(), String>)> {
        let (opened, result) = sync_channel(1);
        // The lane is made on its own thread and never leaves it.
        let thread = spawn("lane", move || {
            let (mut running, result) = self.open(start);
            let failed = result.is_err();
            // The starter waits for this.
            let _ = opened.send(result);
            if !failed {
                running.run(Waiting::on_this_thread(wait_spin));
            }
        })?;
        let result = result.recv().unwrap_or_else(|_| Err("the lane's thread ended early".to_owned()));
        Ok((thread, result))
    }

    /// Opens the lane for a driver that calls [`Running::step`]. `Err` as with `start`.
    pub(crate) fn in_steps(self, start: LaneStart) -> Result<Running, String> {
        let (running, result) = self.open(start);
        result.map(|()| running)
    }

    fn open(self, start: LaneStart) -> (Running, Result<(), String>) {
        let LaneStart { options, disk, registry, system, clock, outlets } = start;
        let hosting = Hosting::new(options.node, registry, self.progress);
        let lane = Lane::new(options, disk);
        let (calls, shared) = (self.calls, self.shared);
        let mut running =
            Running { lane, hosting, calls, shared, clock, outlets, source_fault: None, stopped: false };
        let result = running.hosting.open_system(&mut running.lane, system, &running.clock.now());
        (running, result)
    }
}

/// A lane that runs.
pub(crate) struct Running {
    lane: Lane,
    hosting: Hosting,
    calls: Receiver<Call>,
    shared: Arc<LaneShared>,
    clock: Arc<Clock>,
    outlets: Outlets,
    /// The fault of the clock's own source that was last counted, by its kind.
    source_fault: Option<&'static str>,
    stopped: bool,
}

/// However the thread ends, nobody waits on for its answers.
impl Drop for Running {
    fn drop(&mut self) {
        self.shared.waiters.close();
    }
}

impl Running {
    fn run(&mut self, waiting: Waiting) {
        while !self.stopped {
            self.take_in(waiting);
            self.work();
        }
        self.lane.close_logs();
    }

    /// Does what is due and what waits, without waiting itself.
    pub(crate) fn step(&mut self) {
        self.lane.handle(Event::Timer, &self.clock.now());
        self.take_waiting();
        self.work();
    }

    fn work(&mut self) {
        let began = self.clock.now().monotonic;
        for ticket in self.shared.waiters.take_cancelled() {
            self.lane.handle(Event::CancelRead(ticket), &self.clock.now());
        }
        let output = self.lane.take_output(&self.clock.now());
        self.carry(output);
        let reading = self.clock.now();
        care::count_source_fault(&self.shared.metrics, &mut self.source_fault, reading.fault);
        let now = self.lane.judged(&reading);
        self.hosting.step(&mut self.lane, &now);
        let took = self.clock.now().monotonic.since(began);
        if took > SLOW_STEP {
            tracing::warn!(?took, "the lane stood still: its disk or its core is too slow");
        }
    }

    /// Waits for the first event or the deadline, then takes in what else waits.
    fn take_in(&mut self, waiting: Waiting) {
        let now = self.clock.now();
        let wait = self.wait(&now);
        match waiting.receive(&self.calls, wait) {
            Ok(call) => self.handle(call),
            Err(RecvTimeoutError::Timeout) => self.lane.handle(Event::Timer, &self.clock.now()),
            Err(RecvTimeoutError::Disconnected) => self.stopped = true,
        }
        self.take_waiting();
    }

    fn take_waiting(&mut self) {
        for _ in 1..EVENTS_PER_STEP {
            match self.calls.try_recv() {
                Ok(call) => self.handle(call),
                Err(_) => break,
            }
        }
    }

    fn wait(&self, now: &Reading) -> Duration {
        let lane = self.lane.deadline(now).map(|deadline| deadline.since(now.monotonic));
        [lane, self.hosting.idle_for()].into_iter().flatten().min().unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }

    fn handle(&mut self, call: Call) {
        let now = self.clock.now();
        match call {
            Call::Event(event) => {
                self.shared.release(event_bytes(&event));
                self.lane.handle(event, &now);
            }
            // Those who asked may be gone.
            Call::Statuses(shards, answer) => drop(answer.send(self.statuses(shards, &now))),
            Call::Clocks(answer) => drop(answer.send(self.lane.clocks(&now))),
            Call::Moment(answer) => {
                // The others' clocks are to have judged this very reading.
                self.lane.handle(Event::Timer, &now);
                let _ = answer.send(self.lane.moment(&now));
            }
            Call::Readiness(answer) => drop(answer.send(self.hosting.readiness(&self.lane, &now))),
            Call::IsDrained(answer) => drop(answer.send(self.lane.is_drained())),
            Call::Stop => self.stopped = true,
        }
    }

    fn statuses(&self, shards: Option<Vec<ShardId>>, now: &Reading) -> Vec<crate::lane::ReplicaStatus> {
        match shards {
            None => self.lane.statuses(now).into_iter().chain(self.hosting.lost_statuses()).collect(),
            Some(shards) => {
                let lost = self.hosting.lost_statuses().filter(|status| shards.contains(&status.shard));
                let open = shards.iter().filter_map(|shard| self.lane.status(*shard, now));
                open.chain(lost).collect()
            }
        }
    }

    fn carry(&mut self, output: Output) {
        // No node proposes a change of membership yet.
        let Output {
            sends,
            probes,
            syncs,
            prepares,
            removals,
            tasks,
            appended,
            fenced,
            reads,
            changes: _,
            committed,
            led,
            refused,
            failed,
            full,
            care,
            clock,
            marked,
        } = output;
        self.outlets.disk.sync(syncs);
        self.send(sends, probes);
        self.outlets.disk.prepare(prepares);
        self.outlets.disk.remove(removals);
        self.outlets.disk.run(tasks);
        self.answer_producers(appended, fenced);
        for (ticket, result) in reads {
            self.shared.waiters.answer_read(ticket, result);
        }
        self.hosting.take(committed.into_iter().map(|(_, frame)| frame));
        for (from, shard, refusal) in refused {
            self.shared.metrics.messages_refused.inc();
            tracing::debug!(from = from.0, shard = shard.0, %refusal, "a peer's message was not taken");
        }
        for Leadership { shard, leader, term } in led {
            let leader = leader.map_or_else(|| "none".to_owned(), |node| node.to_string());
            tracing::info!(%shard, %term, %leader, "leadership");
        }
        for (shard, reason) in failed {
            tracing::error!(shard = shard.0, reason, "this node's replica stopped");
        }
        care::tell_all(&self.shared.metrics, care);
        if let Some(note) = clock {
            care::tell_of_clock(&self.shared.metrics, &note);
        }
        for (shard, mark) in marked {
            care::tell_of_mark(&self.shared.metrics, shard, &mark);
        }
        for (shard, is_full) in full {
            care::tell_of_room(shard, is_full);
        }
    }

    fn answer_producers(&self, appended: Vec<(Ticket, AppendResult)>, fenced: Vec<(Ticket, FenceResult)>) {
        for (ticket, result) in appended {
            match &result {
                Ok(receipt) => self.shared.metrics.acknowledged(receipt),
                Err(_) => drop(self.shared.metrics.refusals.inc()),
            }
            self.shared.waiters.answer_append(ticket, result);
        }
        for (ticket, result) in fenced {
            self.shared.waiters.answer_fence(ticket, result);
        }
    }

    fn send(&self, sends: Vec<Send>, probes: Vec<(NodeId, ClockProbe)>) {
        for Send { to, message, payload, bulk } in sends {
            let class = if bulk { StreamClass::Bulk } else { StreamClass::Raft };
            if !self.outlets.link.send(to, message, payload, class) {
                self.shared.metrics.messages_dropped.inc();
            }
        }
        for (peer, probe) in probes {
            // Nobody is connected: it is asked again soon.
            let _ = self.outlets.link.probe(peer, &probe);
        }
    }
}
