//! Nodes begin, take events in, and end: by a kill, by a power cut, by a failure of their own.

use std::sync::Arc;
use std::time::Duration;

use timberline::clock::AgreementOptions;
use timberline::disk::Disk;
use timberline::lane::{Event, Lane, LaneOptions, ScrubOptions};
use timberline::log::LogOptions;
use timberline::types::NodeId;

use super::World;
use super::agenda::Happening;
use crate::plan::{MS, Plan, SECOND};

/// The longest wait of a lane's thread: a clock that steps back must not hold it up.
const WAIT_NS: u64 = SECOND;
/// The shortest: no thread wakes at once.
const WAKE_NS: u64 = 20_000;

fn options(plan: &Plan, node: NodeId, seed: u64) -> LaneOptions {
    LaneOptions {
        node,
        cluster: "simulated".parse().expect("a good name"),
        log: LogOptions {
            first_segment_bytes: plan.first_segment_bytes,
            segment_bytes_max: plan.segment_bytes_max,
            open_segments_max: 2,
        },
        raft_tick: Duration::from_nanos(plan.raft_tick_ns),
        election_ticks: 10..20,
        heartbeat_ticks: 2,
        closed_tick: Duration::from_nanos(plan.closed_tick_ns),
        eps_max_ns: plan.eps_max_ns,
        agreement: AgreementOptions {
            nodes: (1..=plan.nodes).map(NodeId).collect(),
            growth_ppb: plan.growth_ppb,
            probe_every: Duration::from_nanos(plan.probe_every_ns),
            unfence_after: Duration::from_nanos(plan.unfence_after_ns),
            quorum_wait: plan.quorum_wait,
        },
        unanswered_max: plan.unanswered_max as usize,
        scrub: ScrubOptions { bytes_per_second: 1 << 20, rest: Duration::from_secs(5) },
        seed,
    }
}

impl World {
    /// Starts a node's process: its logs are made once, and opened.
    pub(super) fn start(&mut self, id: NodeId) {
        let (now_ns, seed) = (self.now_ns, self.random.draw());
        let options = options(&self.plan, id, seed);
        let specs: Vec<_> = self.specs.iter().filter(|spec| spec.replica_on(id).is_some()).cloned().collect();
        let node = self.node(id);
        // It knows nobody who could tell it that its clock is wrong.
        let starts_wrong = node.clock.is_wrong();
        let reading = node.clock.read(now_ns);
        let mut lane = Lane::new(options, Arc::clone(&node.disk) as Arc<dyn Disk>);
        let mut failures = Vec::new();
        for spec in &specs {
            let made = if node.is_founded { Ok(()) } else { lane.create_shard(spec) };
            if let Err(error) = made.and_then(|()| lane.open_shard(spec, &reading).map(drop)) {
                failures.push(error.to_string());
            }
        }
        node.is_founded = true;
        node.born_ns = now_ns;
        node.lane = Some(lane);
        self.lied |= starts_wrong;
        self.trace.mark(now_ns, &[1, id.0, failures.len() as u64]);
        self.trace.tell(now_ns, || format!("node {id} starts"));
        for failure in failures {
            self.trace.tell(now_ns, || format!("node {id} cannot open a replica: {failure}"));
        }
        self.after_handling(id);
    }

    pub(super) fn restart_after(&mut self, id: NodeId, delay_ns: u64) {
        let node = self.node(id);
        if !node.restart_waits {
            node.restart_waits = true;
            self.after(delay_ns, Happening::Restart { node: id });
        }
    }

    pub(super) fn restart(&mut self, id: NodeId) {
        self.node(id).restart_waits = false;
        if self.is_up(id) {
            self.kill(id, false);
        }
        self.start(id);
    }

    /// Ends a node's process. With `power` its disk loses what was not synced, too.
    pub(super) fn kill(&mut self, id: NodeId, power: bool) {
        self.restarted = true;
        let (now_ns, seed) = (self.now_ns, self.random.draw());
        if power {
            self.settle_damage(id);
        }
        let node = self.node(id);
        node.forget();
        if power {
            node.boot += 1;
            node.lost_power = true;
            node.cut_at_vote = false;
            node.disk.power_cut(seed);
        }
        self.trace.mark(now_ns, &[2, id.0, u64::from(power)]);
        let how = if power { "loses its power" } else { "is killed" };
        self.trace.tell(now_ns, || format!("node {id} {how}"));
    }

    /// An event reaches a lane, now or when its node is no longer paused.
    pub(super) fn event(&mut self, id: NodeId, life: u64, event: Box<Event>) {
        let now_ns = self.now_ns;
        let node = self.node(id);
        if node.life != life || node.lane.is_none() {
            return;
        }
        if let Some(at_ns) = node.held_until_ns(&event, now_ns) {
            self.agenda.put(at_ns, Happening::Event { node: id, life, event });
            return;
        }
        if let Event::Append(command) = &*event {
            node.appends.insert(command.ticket, command.shard);
        }
        self.hear_contradiction(id, &event);
        let node = self.node(id);
        let reading = node.clock.read(now_ns);
        if let Some(lane) = node.lane.as_mut() {
            lane.handle(*event, &reading);
        }
        self.note_vote(id);
        self.after_handling(id);
    }

    /// What was taken in leaves at once, or waits for more.
    fn after_handling(&mut self, id: NodeId) {
        let cut_short = self.nodes[&id].disk.is_power_off();
        if !cut_short && self.plan.batches_events && self.random.chance(500) {
            let delay_ns = self.random.below(2 * MS);
            let life = self.nodes[&id].life;
            if !std::mem::replace(&mut self.node(id).flush_waits, true) {
                self.after(delay_ns, Happening::Flush { node: id, life });
            }
        } else {
            self.flush(id);
        }
    }

    pub(super) fn flush_due(&mut self, id: NodeId, life: u64) {
        let now_ns = self.now_ns;
        let node = self.node(id);
        if node.life != life || node.lane.is_none() {
            return;
        }
        if node.is_paused(now_ns) {
            let at_ns = node.paused_until_ns;
            self.agenda.put(at_ns, Happening::Flush { node: id, life });
            return;
        }
        self.flush(id);
    }

    fn flush(&mut self, id: NodeId) {
        let now_ns = self.now_ns;
        let node = self.node(id);
        node.flush_waits = false;
        let reading = node.clock.read(now_ns);
        let Some(output) = node.lane.as_mut().map(|lane| lane.take_output(&reading)) else { return };
        // A call that was cut short: nothing of what it wanted left the machine.
        if self.loses_power(id) {
            return;
        }
        let node = self.node(id);
        if let Some(pause_ns) = node.pause_next_ns.take() {
            node.held = Some(output);
            self.pause(id, pause_ns);
            return;
        }
        self.carry_out(id, output);
        self.schedule_wake(id);
    }

    /// Whether the last disk operation found the power off, paused or not: the machine is gone then, before anything
    /// else happens to it.
    pub(super) fn loses_power(&mut self, id: NodeId) -> bool {
        let is_off = self.is_up(id) && self.disk_of(id).is_power_off();
        if is_off {
            self.kill(id, true);
            let delay_ns = self.random.below(SECOND);
            self.restart_after(id, delay_ns);
        }
        is_off
    }

    /// The node stands still; its clocks run on.
    pub(super) fn pause(&mut self, id: NodeId, pause_ns: u64) {
        let until_ns = self.now_ns + pause_ns;
        self.node(id).paused_until_ns = until_ns;
        self.trace.tell(self.now_ns, || format!("node {id} stands still for {} ms", pause_ns / MS));
        self.after(pause_ns, Happening::Resume { node: id, until_ns });
    }

    pub(super) fn resume(&mut self, id: NodeId, until_ns: u64) {
        let node = self.node(id);
        if node.paused_until_ns != until_ns || node.lane.is_none() {
            return;
        }
        node.paused_until_ns = 0;
        let held = node.held.take();
        self.trace.tell(self.now_ns, || format!("node {id} goes on"));
        if let Some(output) = held {
            self.carry_out(id, output);
        }
        self.schedule_wake(id);
    }

    fn schedule_wake(&mut self, id: NodeId) {
        let now_ns = self.now_ns;
        let node = self.node(id);
        let reading = node.clock.read(now_ns);
        let Some(due) = node.lane.as_ref().and_then(|lane| lane.deadline(&reading)) else { return };
        let due_ns = now_ns + node.clock.until_ns(due, &reading).clamp(WAKE_NS, WAIT_NS);
        if node.wake_ns.is_none_or(|wake_ns| due_ns < wake_ns || wake_ns <= now_ns) {
            node.wake_ns = Some(due_ns);
            let life = node.life;
            self.agenda.put(due_ns, Happening::Wake { node: id, life, due_ns });
        }
    }

    pub(super) fn wake(&mut self, id: NodeId, life: u64, due_ns: u64) {
        let node = self.node(id);
        if node.life != life || node.wake_ns != Some(due_ns) {
            return;
        }
        node.wake_ns = None;
        if node.is_paused(due_ns) {
            // It looks at its timers when it goes on.
            return;
        }
        self.event(id, life, Box::new(Event::Timer));
        if self.nodes[&id].wake_ns.is_none() && !self.nodes[&id].flush_waits {
            self.schedule_wake(id);
        }
    }
}
