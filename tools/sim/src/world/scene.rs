//! The world itself: what is where, and one thing happening after the other.

use std::collections::{BTreeMap, BTreeSet};

use timberline::disk::{Disk, MemoryDisk};
use timberline::lane::{Event, Placement, ReplicaStatus, ShardSpec, Ticket};
use timberline::types::{Durability, NodeId, Offset, ReplicaId, ShardId, Timestamp, TopicId};
use timberline_checkers::{History, Load, Positions};

use super::agenda::{Agenda, ClientEvent, Happening, Heal};
use super::atlas::Atlas;
use super::clock::NodeClock;
use super::episodes::Episodes;
use super::membership::Operator;
use super::network::Network;
use super::node::Node;
use crate::plan::{FaultClass, MS, Plan};
use crate::random::Random;
use crate::totals::Totals;
use crate::trace::Trace;

/// True time when the world begins.
pub(crate) const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
pub(super) const REFRESH_NS: u64 = 10 * MS;
const LOOK_NS: u64 = 100 * MS;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) client: u64,
    pub(crate) shard: ShardId,
    /// For readers: the unbroken subscription that this request belongs to.
    pub(crate) reader: u64,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) now_ns: u64,
    pub(crate) trace: Trace,
    pub(crate) totals: Totals,
    pub(crate) history: History,
    /// The shards, by what nodes are told when they open them.
    pub(crate) specs: Vec<ShardSpec>,
    /// Faults are over.
    pub(crate) calm: bool,
    pub(super) calm_ns: u64,
    /// A clock broke its bound at some time, and what came of it may have been shown.
    pub(crate) lied: bool,
    /// Whose clocks are ever wrong without knowing it: one node's, unless a scenario has more.
    pub(super) wrong: BTreeSet<NodeId>,
    pub(super) episodes: Episodes,
    /// A law of clocks that was broken.
    pub(crate) misjudged: Option<String>,
    /// A process lost its memory at some time.
    pub(crate) restarted: bool,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) network: Network,
    pub(super) agenda: Agenda,
    pub(super) atlas: Atlas,
    pub(super) askers: BTreeMap<Ticket, Asker>,
    pub(super) operator: Operator,
    /// The first replica that stopped for no reason that the world knows.
    pub(super) unexplained: Option<String>,
    tickets: u64,
    /// How far each shard was seen trimmed.
    trimmed: BTreeMap<ShardId, Offset>,
    /// Unbroken subscriptions so far.
    pub(crate) readers: u64,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, tells: bool) -> Self {
        let mut random = Random::new(seed);
        let at_bound = plan.has(FaultClass::ClockAtItsBound);
        let ids: Vec<NodeId> = (1..=plan.nodes).map(NodeId).collect();
        let nodes: BTreeMap<_, _> =
            ids.iter().map(|id| (*id, Node::new(NodeClock::new(&plan, at_bound, &mut random)))).collect();
        let specs = specs(&plan, &ids);
        let atlas = Atlas::new(random.pick(&ids), plan.replicas >= 3);
        let mut world = Self {
            random,
            now_ns: 0,
            trace: Trace::new(tells),
            totals: Totals::default(),
            history: History { kept_ns: plan.kept_ns(), ..History::default() },
            specs,
            calm: false,
            calm_ns: 0,
            lied: false,
            wrong: BTreeSet::new(),
            episodes: Episodes::default(),
            misjudged: None,
            restarted: false,
            nodes,
            network: Network::default(),
            agenda: Agenda::default(),
            atlas,
            askers: BTreeMap::new(),
            operator: Operator::default(),
            unexplained: None,
            tickets: 0,
            trimmed: BTreeMap::new(),
            readers: 0,
            plan,
        };
        if at_bound {
            world.totals.count(FaultClass::ClockAtItsBound);
        }
        world.begin(&ids);
        world
    }

    fn begin(&mut self, ids: &[NodeId]) {
        for id in ids {
            let now_ns = self.now_ns;
            let clock = &mut self.nodes.get_mut(id).expect("just made").clock;
            clock.sample(now_ns, &mut self.random);
            clock.refresh(now_ns);
            self.start(*id);
            self.after(REFRESH_NS, Happening::Refresh { node: *id });
            let phase_ns = self.random.below(self.plan.sample_every_ns);
            self.after(phase_ns, Happening::Sample { node: *id });
        }
        self.after(LOOK_NS, Happening::Look);
        self.after(self.plan.fault_every_ns, Happening::Fault);
    }

    /// True time, which no node knows.
    pub(crate) fn true_ns(&self) -> u64 {
        EPOCH_NS + self.now_ns
    }

    pub(super) fn after(&mut self, delay_ns: u64, happening: Happening) {
        self.agenda.put(self.now_ns + delay_ns, happening);
    }

    /// A client's timer rings after that time; it is told what the timer was set for.
    pub(crate) fn set_timer(&mut self, client: u64, delay_ns: u64, purpose: u64) {
        self.after(delay_ns, Happening::Client(ClientEvent::Timer { client, purpose }));
    }

    pub(crate) fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("the cluster's nodes never change")
    }

    pub(crate) fn is_up(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(Node::is_up)
    }

    /// The number of the process that runs on a node.
    pub(crate) fn life(&self, id: NodeId) -> Option<u64> {
        self.nodes.get(&id).filter(|node| node.is_up()).map(|node| node.life)
    }

    pub(crate) fn is_awake(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.is_up() && !node.is_paused(self.now_ns))
    }

    /// The latest that a node takes now to be.
    pub(crate) fn latest(&mut self, id: NodeId) -> Timestamp {
        let now_ns = self.now_ns;
        self.node(id).clock.read(now_ns).interval.latest
    }

    pub(super) fn disk_of(&self, id: NodeId) -> &MemoryDisk {
        &self.nodes[&id].disk
    }

    /// The next thing happens. What concerns a client comes back.
    pub(crate) fn step(&mut self) -> Option<ClientEvent> {
        let (at_ns, happening) = self.agenda.next().expect("clocks refresh for ever");
        self.now_ns = at_ns;
        match happening {
            Happening::Event { node, life, event } => self.event(node, life, event),
            Happening::Message { from, to, life, connection, event } => {
                self.network.arrived(from, to);
                if self.network.connection(from, to) == connection {
                    self.event(to, life, event);
                }
            }
            Happening::Flush { node, life } => self.flush_due(node, life),
            Happening::Wake { node, life, due_ns } => self.wake(node, life, due_ns),
            Happening::SyncEnds { node, boot, life, token, pending, end } => {
                self.end_sync(node, (boot, life), token, pending, end);
            }
            Happening::Create { node, life, token, path, size_bytes } => {
                self.file_work(node, life, |disk| Event::Prepared {
                    token,
                    result: disk.create(&path, size_bytes),
                });
            }
            Happening::Remove { node, life, token, path } => {
                self.file_work(node, life, |disk| Event::Removed { token, result: disk.remove(&path) });
            }
            Happening::Task { node, life, token, task } => {
                self.file_work(node, life, |disk| Event::TaskDone { token, result: task.run(disk) });
            }
            Happening::Refresh { node } => {
                let now_ns = self.now_ns;
                self.node(node).clock.refresh(now_ns);
                self.after(REFRESH_NS, Happening::Refresh { node });
            }
            Happening::Sample { node } => self.sample(node),
            Happening::Resume { node, until_ns } => self.resume(node, until_ns),
            Happening::CutPower { node, life } => {
                if self.nodes[&node].life == life && self.is_up(node) {
                    self.kill(node, true);
                    self.restart_after(node, 20 * MS);
                }
            }
            Happening::PowerFails { node } => {
                if self.is_up(node) && !self.calm {
                    self.totals.count(FaultClass::PowerCut);
                    if self.plan.durability == Durability::Memory {
                        self.hurt_victim();
                    }
                    self.kill(node, true);
                    self.restart_after(node, 50 * MS);
                }
            }
            Happening::Restart { node } => self.restart(node),
            Happening::Fault => self.trouble(),
            Happening::Heal(heal) => self.heal(heal),
            Happening::Look => self.look(),
            Happening::AskTime(question) => self.tell_time(question),
            Happening::Client(event) => return Some(event),
        }
        None
    }

    /// A node's thread for files does something, unless its process is gone.
    fn file_work(&mut self, id: NodeId, life: u64, work: impl FnOnce(&MemoryDisk) -> Event) {
        if self.nodes[&id].life == life && self.is_up(id) {
            let event = work(self.disk_of(id));
            if !self.loses_power(id) {
                self.event(id, life, Box::new(event));
            }
        }
    }

    fn sample(&mut self, id: NodeId) {
        let every_ns = self.plan.sample_every_ns;
        self.take_sample(id);
        self.after(every_ns, Happening::Sample { node: id });
    }

    fn heal(&mut self, heal: Heal) {
        self.trace.mark(self.now_ns, &[9, 0]);
        self.trace.tell(self.now_ns, || format!("healed: {heal:?}"));
        match heal {
            Heal::Partition { number } => self.network.mend(number),
            Heal::SlowLink { from, to } => self.network.unslow(from, to),
            Heal::DiskFull { node } => self.disk_of(node).set_capacity_bytes(None),
            Heal::RightDisk { node } => self.put_back(node),
            Heal::ClockWidening { node } => self.node(node).clock.starved = false,
            Heal::ClockSource { node } => self.node(node).clock.lost = false,
            Heal::ClockLie { node } => self.node(node).clock.lie_ns = 0,
        }
    }

    /// Operators look at every replica.
    fn look(&mut self) {
        for id in self.node_ids() {
            self.look_at_clock(id);
            self.look_at_leaders(id);
            for status in self.statuses(id) {
                let node = &self.nodes[&id];
                let life = node.life << 32 | node.stops.get(&status.shard).copied().unwrap_or_default();
                self.trimmed_to(status.shard, status.trimmed);
                self.history.positions.push(positions(id, life, self.true_ns(), &status));
            }
            let node = &self.nodes[&id];
            // Refusals that are on their way out are no load.
            if !node.flush_waits && node.held.is_none() {
                let found = node.appends.len() as u64;
                let max = self.plan.unanswered_max * self.specs.len() as u64;
                self.history.loads.push(Load { what: "unanswered appends of a node", found, max });
            }
        }
        self.after(LOOK_NS, Happening::Look);
    }

    /// Counts trims that were not seen before.
    fn trimmed_to(&mut self, shard: ShardId, start: Offset) {
        let farthest = self.trimmed.entry(shard).or_default();
        if start > *farthest {
            *farthest = start;
            self.totals.trims += 1;
        }
    }

    /// The replicas of a node that work.
    pub(crate) fn statuses(&mut self, id: NodeId) -> Vec<ReplicaStatus> {
        let now_ns = self.now_ns;
        let node = self.node(id);
        if node.lane.is_none() || node.is_paused(now_ns) {
            return Vec::new();
        }
        let reading = node.clock.read(now_ns);
        let statuses = node.lane.as_ref().map(|lane| lane.statuses(&reading)).unwrap_or_default();
        statuses.into_iter().filter(|status| status.failure.is_none()).collect()
    }

    /// Why replicas of a node do not work.
    pub(crate) fn failures(&mut self, id: NodeId) -> Vec<(ShardId, String)> {
        let now_ns = self.now_ns;
        let node = self.node(id);
        let reading = node.clock.read(now_ns);
        let statuses = node.lane.as_ref().map(|lane| lane.statuses(&reading)).unwrap_or_default();
        statuses.into_iter().filter_map(|status| Some((status.shard, status.failure?))).collect()
    }

    pub(crate) fn draw_ticket(&mut self, asker: Asker) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.askers.insert(ticket, asker);
        ticket
    }

    /// A client's request sets out for a node. It may never arrive.
    pub(crate) fn request(&mut self, node: NodeId, event: Event) {
        if !self.calm && self.plan.has(FaultClass::ClientTimeout) && self.random.chance(10) {
            self.totals.count(FaultClass::ClientTimeout);
            return;
        }
        let delay_ns = self.plan.link_ns / 2 + self.random.below(self.plan.link_ns);
        let life = self.nodes[&node].life;
        self.after(delay_ns, Happening::Event { node, life, event: Box::new(event) });
    }
}

fn positions(node: NodeId, life: u64, at_ns: u64, status: &ReplicaStatus) -> Positions {
    Positions {
        node,
        life,
        at_ns,
        shard: status.shard,
        trimmed: status.trimmed,
        released: status.released,
        committed: status.committed,
        appended: status.appended,
        synced: status.synced,
        closed: status.closed,
    }
}

/// Shards spread over the nodes, their preferred leaders in turn.
fn specs(plan: &Plan, ids: &[NodeId]) -> Vec<ShardSpec> {
    let spec = |shard: u64| {
        let place = |n: u64| {
            let node = ids[((shard + n) % plan.nodes) as usize];
            Placement { replica: ReplicaId(100 * shard + node.0), node }
        };
        ShardSpec {
            shard: ShardId(shard),
            topic: TopicId(1),
            durability: plan.durability,
            retention: plan.retention,
            replicas: (0..plan.replicas).map(place).collect(),
            follow_committed: false,
        }
    };
    (1..=plan.shards).map(spec).collect()
}
