//! Trouble: one fault after the other, drawn from the classes that the plan turned on.

use timberline::lane::Event;
use timberline::types::{Durability, NodeId};

use super::World;
use super::agenda::{Happening, Heal, SyncEnd};
use super::clock::VISIBLE_LIE_NS;
use crate::plan::{FaultClass, MS, SECOND};

/// Classes that strike now and then; the others are rates of what happens anyway.
const STRIKES: [FaultClass; 26] = [
    FaultClass::SlowLink,
    FaultClass::Partition,
    FaultClass::ConnectionReset,
    FaultClass::ProcessKill,
    FaultClass::PowerCut,
    FaultClass::PowerCutWithin,
    FaultClass::PowerCutAtVote,
    FaultClass::WholeClusterPowerCut,
    FaultClass::Pause,
    FaultClass::SlowNode,
    FaultClass::LeadershipSwap,
    FaultClass::SyncFailure,
    FaultClass::SyncStall,
    FaultClass::DiskFull,
    FaultClass::BitRot,
    FaultClass::PhantomWrite,
    FaultClass::MisdirectedWrite,
    FaultClass::DiskSwappedForOlder,
    FaultClass::DiskSwappedForEmpty,
    FaultClass::MembershipChange,
    FaultClass::ClockStep,
    FaultClass::ClockSuspend,
    FaultClass::ClockWidening,
    FaultClass::ClockSourceLost,
    FaultClass::ClockLiar,
    FaultClass::ClockSlip,
];

impl World {
    /// One fault strikes, and the next is put on the agenda.
    pub(super) fn trouble(&mut self) {
        if self.calm {
            return;
        }
        let classes: Vec<FaultClass> = STRIKES.into_iter().filter(|class| self.plan.has(*class)).collect();
        if !classes.is_empty() {
            let (class, id) = (self.random.pick(&classes), self.any_node());
            self.trace.mark(self.now_ns, &[10, class as u64, id.0]);
            self.trace.tell(self.now_ns, || format!("fault: {} (node {id})", class.name()));
            if self.strike(class, id) {
                self.totals.count(class);
            }
        }
        let every_ns = self.plan.fault_every_ns;
        let delay_ns = every_ns / 2 + self.random.below(every_ns);
        self.after(delay_ns, Happening::Fault);
    }

    fn any_node(&mut self) -> NodeId {
        let ids = self.node_ids();
        self.random.pick(&ids)
    }

    fn lasting(&mut self, from_ms: u64, to_ms: u64) -> u64 {
        self.random.between(from_ms * MS, to_ms * MS)
    }

    /// Whether it struck.
    fn strike(&mut self, class: FaultClass, id: NodeId) -> bool {
        match class {
            FaultClass::SlowLink | FaultClass::Partition | FaultClass::ConnectionReset => {
                self.strike_network(class, id)
            }
            FaultClass::ProcessKill
            | FaultClass::PowerCut
            | FaultClass::PowerCutWithin
            | FaultClass::PowerCutAtVote
            | FaultClass::WholeClusterPowerCut
            | FaultClass::Pause
            | FaultClass::SlowNode
            | FaultClass::LeadershipSwap => self.strike_node(class, id),
            FaultClass::SyncFailure
            | FaultClass::SyncStall
            | FaultClass::DiskFull
            | FaultClass::BitRot
            | FaultClass::PhantomWrite
            | FaultClass::MisdirectedWrite
            | FaultClass::DiskSwappedForOlder
            | FaultClass::DiskSwappedForEmpty => self.strike_disk(class, id),
            FaultClass::MembershipChange => {
                // Counted when a leader takes it.
                self.change_membership();
                false
            }
            _ => self.strike_clock(class, id),
        }
    }

    fn strike_network(&mut self, class: FaultClass, id: NodeId) -> bool {
        let others: Vec<NodeId> = self.node_ids().into_iter().filter(|other| *other != id).collect();
        if others.is_empty() {
            return false;
        }
        let other = self.random.pick(&others);
        match class {
            FaultClass::SlowLink => {
                let (by_ns, for_ns) = (self.lasting(10, 500), self.lasting(500, 5000));
                self.network.slow(id, other, by_ns);
                self.after(for_ns, Happening::Heal(Heal::SlowLink { from: id, to: other }));
            }
            FaultClass::ConnectionReset => self.network.reset(id, other),
            _ => {
                let links: Vec<(NodeId, NodeId)> = match self.random.below(4) {
                    0 => others.iter().flat_map(|other| [(id, *other), (*other, id)]).collect(),
                    1 => others.iter().map(|other| (id, *other)).collect(),
                    2 => others.iter().map(|other| (*other, id)).collect(),
                    _ => self.any_links(),
                };
                if links.is_empty() {
                    return false;
                }
                self.partition(links);
            }
        }
        true
    }

    fn partition(&mut self, links: Vec<(NodeId, NodeId)>) {
        self.trace.tell(self.now_ns, || {
            let cut: Vec<_> = links.iter().map(|(from, to)| format!("{from}->{to}")).collect();
            format!("cut: {}", cut.join(" "))
        });
        let number = self.network.cut(links);
        let for_ns = self.lasting(200, 6000);
        self.after(for_ns, Happening::Heal(Heal::Partition { number }));
    }

    fn any_links(&mut self) -> Vec<(NodeId, NodeId)> {
        let ids = self.node_ids();
        let mut links = Vec::new();
        for from in &ids {
            for to in ids.iter().filter(|to| *to != from) {
                if self.random.chance(400) {
                    links.push((*from, *to));
                }
            }
        }
        links
    }

    fn strike_node(&mut self, class: FaultClass, id: NodeId) -> bool {
        if !self.is_up(id) {
            return false;
        }
        match class {
            FaultClass::PowerCut if self.plan.durability == Durability::Memory => self.lose_memory(),
            FaultClass::ProcessKill | FaultClass::PowerCut => {
                self.kill(id, class == FaultClass::PowerCut);
                let delay_ns = self.lasting(10, 3000);
                self.restart_after(id, delay_ns);
            }
            FaultClass::PowerCutWithin => {
                let operations = self.random.below(24);
                self.disk_of(id).fail_power_after(Some(operations));
            }
            FaultClass::WholeClusterPowerCut => {
                for id in self.node_ids() {
                    self.kill(id, true);
                    let delay_ns = self.lasting(10, 2000);
                    self.restart_after(id, delay_ns);
                }
            }
            FaultClass::PowerCutAtVote => self.expect_votes(),
            FaultClass::Pause => {
                let pause_ns = self.lasting(10, 3000);
                self.node(id).pause_next_ns = Some(pause_ns);
            }
            FaultClass::SlowNode => {
                let (by_ns, for_ns, now_ns) = (self.lasting(1, 80), self.lasting(500, 4000), self.now_ns);
                let node = self.node(id);
                (node.slow_by_ns, node.slow_until_ns) = (by_ns, now_ns + for_ns);
            }
            _ => self.swap_leadership(),
        }
        true
    }

    /// Always the same node loses what it held in memory only: a quorum of the others remembers.
    fn lose_memory(&mut self) {
        let victim = self.atlas.victim;
        if self.is_up(victim) {
            self.hurt_victim();
            self.kill(victim, true);
            let delay_ns = self.lasting(10, 3000);
            self.restart_after(victim, delay_ns);
        }
    }

    /// A shard's leader is told to hand over.
    fn swap_leadership(&mut self) {
        let specs = self.specs.clone();
        let spec = &specs[self.random.below(specs.len() as u64) as usize];
        let nodes: Vec<NodeId> = spec.replicas.iter().map(|placed| placed.node).collect();
        let to = if self.random.chance(500) { self.hindmost(&nodes) } else { self.random.pick(&nodes) };
        if self.random.chance(500) {
            // A follower hears nothing of the successor for a while.
            let other = self.any_node();
            if other != to {
                self.partition(vec![(to, other)]);
            }
        }
        for id in self.node_ids() {
            if self.leads(id, spec.shard) {
                let life = self.nodes[&id].life;
                self.event(id, life, Box::new(Event::Transfer { shard: spec.shard, to }));
            }
        }
    }

    /// The node whose clock is furthest behind: the worst successor for whoever promised by a faster one.
    fn hindmost(&mut self, nodes: &[NodeId]) -> NodeId {
        let now_ns = self.now_ns;
        let latest = |id: &NodeId| self.node(*id).clock.read(now_ns).interval.latest;
        nodes.iter().copied().min_by_key(latest).expect("a shard has replicas")
    }

    pub(crate) fn leads(&mut self, id: NodeId, shard: timberline::types::ShardId) -> bool {
        self.statuses(id).iter().any(|status| status.shard == shard && status.leader == Some(id))
    }

    /// A leader dies; whoever is the first to vote for its successor loses power before the vote is on the disk.
    fn expect_votes(&mut self) {
        let shard = self.specs[self.random.below(self.specs.len() as u64) as usize].shard;
        for id in self.node_ids() {
            if self.leads(id, shard) {
                self.kill(id, false);
                self.restart_after(id, 30 * MS);
            } else if self.is_up(id) {
                self.node(id).cut_at_vote = true;
            }
        }
    }

    /// The voter loses power once its answer may have left, and whoever was elected is heard no more.
    pub(super) fn cut_power_at_vote(&mut self, id: NodeId, life: u64) {
        let delay_ns = self.plan.link_ns * 2;
        self.after(delay_ns, Happening::CutPower { node: id, life });
        let others: Vec<NodeId> = self.node_ids().into_iter().filter(|other| *other != id).collect();
        for other in self.node_ids() {
            self.node(other).cut_at_vote = false;
        }
        if self.random.chance(700) && !others.is_empty() {
            let lonely: Vec<NodeId> = others.iter().copied().filter(|other| self.is_up(*other)).collect();
            let Some(elected) = lonely.first().copied() else { return };
            // What the voter said still gets through: only the elected one's own words are lost.
            self.partition(
                self.node_ids().into_iter().filter(|to| *to != elected).map(|to| (elected, to)).collect(),
            );
        }
    }

    fn strike_disk(&mut self, class: FaultClass, id: NodeId) -> bool {
        match class {
            FaultClass::SyncFailure => {
                if self.random.chance(400) {
                    // One that the lane itself waits for: a roll, a new segment, an opening.
                    self.disk_of(id).fail_next_sync(true);
                } else {
                    self.node(id).next_sync = Some(SyncEnd::Failed);
                }
                let may_forget = self.plan.durability == Durability::Disk || id == self.atlas.victim;
                if may_forget && self.plan.has(FaultClass::PowerCut) && self.random.chance(300) {
                    // After the restart that follows, the page cache goes too.
                    let delay_ns = self.lasting(2000, 5000);
                    self.after(delay_ns, Happening::PowerFails { node: id });
                }
            }
            FaultClass::SyncStall => {
                let until_ns = self.now_ns + self.lasting(300, 4000);
                self.node(id).stalled_until_ns = until_ns;
            }
            FaultClass::DiskFull => {
                let used = self.disk_of(id).sizes().iter().map(|(_, bytes)| bytes).sum();
                self.disk_of(id).set_capacity_bytes(Some(used));
                let for_ns = self.lasting(1000, 6000);
                self.after(for_ns, Happening::Heal(Heal::DiskFull { node: id }));
            }
            FaultClass::BitRot => return self.rot(),
            FaultClass::DiskSwappedForOlder => return self.swap_for_older(),
            FaultClass::DiskSwappedForEmpty => return self.swap_for_empty(id),
            FaultClass::PhantomWrite => return self.lie_about_next_sync(SyncEnd::Phantom),
            _ => return self.lie_about_next_sync(SyncEnd::Misdirected),
        }
        true
    }

    fn strike_clock(&mut self, class: FaultClass, id: NodeId) -> bool {
        let now_ns = self.now_ns;
        match class {
            FaultClass::ClockStep => {
                let by_ns = self.lasting(3_600_000, 5 * 3_600_000);
                let by_ns = self.random.sign(by_ns);
                self.node(id).clock.step(now_ns, by_ns);
            }
            FaultClass::ClockSuspend => {
                let for_ns = self.lasting(50, 3000);
                self.node(id).clock.sleep_until(now_ns, now_ns + for_ns);
                self.pause(id, for_ns);
            }
            FaultClass::ClockWidening => {
                self.node(id).clock.starved = true;
                let for_ns = self.lasting(2000, 10_000);
                self.after(for_ns, Happening::Heal(Heal::ClockWidening { node: id }));
            }
            FaultClass::ClockSourceLost => {
                self.node(id).clock.lost = true;
                let for_ns = self.lasting(500, 5000);
                self.after(for_ns, Happening::Heal(Heal::ClockSource { node: id }));
            }
            FaultClass::ClockSlip => self.slip(id),
            _ => self.lie(id),
        }
        true
    }

    /// The one node whose clock is wrong by chance: `id`, if there is none yet.
    fn ever_wrong(&mut self, id: NodeId) -> NodeId {
        let wrong = self.wrong.first().copied().unwrap_or(id);
        self.wrong.insert(wrong);
        wrong
    }

    /// One clock of the cluster lies at a time, always the same node's: a little, so that it may pass, or so much that it
    /// must be noticed, where there is a majority to notice.
    fn lie(&mut self, id: NodeId) {
        let liar = self.ever_wrong(id);
        let size_ns = if self.nodes.len() < 3 || self.random.chance(500) {
            self.random.between(self.plan.eps_ns, 4 * self.plan.eps_max_ns)
        } else {
            self.random.between(VISIBLE_LIE_NS, 36_000 * SECOND)
        };
        let lie_ns = self.random.sign(size_ns);
        self.node(liar).clock.lie_ns = lie_ns;
        let for_ns = self.random.between(2 * SECOND, 8 * SECOND);
        self.after(for_ns, Happening::Heal(Heal::ClockLie { node: liar }));
    }

    /// What it stamps before it hears of anybody is stamped too low, and others may show it: when it goes on, it may find what
    /// clients sent meanwhile first.
    fn slip(&mut self, id: NodeId) {
        let slips = self.ever_wrong(id);
        if self.is_up(slips) && !self.nodes[&slips].is_paused(self.now_ns) {
            self.lied = true;
            let (now_ns, for_ns) = (self.now_ns, self.lasting(50, 3000));
            self.node(slips).clock.freeze_until(now_ns, now_ns + for_ns);
            self.note_error(slips);
            let deaf_ns = self.random.below(10 * MS);
            self.node(slips).deaf_until_ns = now_ns + for_ns + deaf_ns;
            self.pause(slips, for_ns);
        }
    }
}
