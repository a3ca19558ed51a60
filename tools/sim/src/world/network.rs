//! The links between nodes: what becomes of each message.
//!
//! A link is directed. Invariants: at most `IN_FLIGHT_MAX` messages are under way on one link; what was sent before a
//! reset never arrives after it.

use std::collections::{BTreeMap, BTreeSet};

use timberline::types::NodeId;

use crate::plan::{FaultClass, MS, Plan};
use crate::random::Random;

/// What a link's queues hold; more is dropped, as a full queue does.
const IN_FLIGHT_MAX: u32 = 256;

#[derive(Debug, Default)]
pub(super) struct Network {
    cut: BTreeSet<(NodeId, NodeId)>,
    slow: BTreeMap<(NodeId, NodeId), u64>,
    /// When the last message in order arrives.
    last_ns: BTreeMap<(NodeId, NodeId), u64>,
    in_flight: BTreeMap<(NodeId, NodeId), u32>,
    /// Connections of a pair of nodes, by number.
    connections: BTreeMap<(NodeId, NodeId), u64>,
    /// Partitions so far; the newest one's number.
    partitions: u64,
}

/// What becomes of a message: delays of its copies, none if it is lost.
pub(super) struct Fate {
    pub(super) arrivals_ns: Vec<u64>,
    pub(super) faults: Vec<FaultClass>,
}

fn pair(from: NodeId, to: NodeId) -> (NodeId, NodeId) {
    (from.min(to), from.max(to))
}

impl Network {
    /// Decides when, and how often, a message arrives.
    pub(super) fn send(
        &mut self,
        link: (NodeId, NodeId),
        now_ns: u64,
        plan: &Plan,
        calm: bool,
        random: &mut Random,
    ) -> Fate {
        self.carry(link, true, now_ns, (plan, calm), random)
    }

    /// The same for a datagram, which keeps no order with anything.
    pub(super) fn send_datagram(
        &mut self,
        link: (NodeId, NodeId),
        now_ns: u64,
        plan: &Plan,
        calm: bool,
        random: &mut Random,
    ) -> Fate {
        self.carry(link, false, now_ns, (plan, calm), random)
    }

    fn carry(
        &mut self,
        (from, to): (NodeId, NodeId),
        in_order: bool,
        now_ns: u64,
        (plan, calm): (&Plan, bool),
        random: &mut Random,
    ) -> Fate {
        let mut fate = Fate { arrivals_ns: Vec::new(), faults: Vec::new() };
        if self.cut.contains(&(from, to))
            || self.in_flight.get(&(from, to)).is_some_and(|n| *n >= IN_FLIGHT_MAX)
        {
            return fate;
        }
        let strikes =
            |class, per_mille, random: &mut Random| !calm && plan.has(class) && random.chance(per_mille);
        if strikes(FaultClass::MessageLoss, plan.loss_per_mille, random) {
            fate.faults.push(FaultClass::MessageLoss);
            return fate;
        }
        let mut copies = 1;
        if strikes(FaultClass::MessageDuplication, plan.duplication_per_mille, random) {
            fate.faults.push(FaultClass::MessageDuplication);
            copies = random.between(2, 3);
        }
        let slow_ns = self.slow.get(&(from, to)).copied().unwrap_or(0);
        for _ in 0..copies {
            let base_ns = plan.link_ns / 2 + slow_ns + random.below(plan.link_ns);
            let mut at_ns = now_ns + base_ns;
            if strikes(FaultClass::MessageReordering, 100, random) {
                fate.faults.push(FaultClass::MessageReordering);
                at_ns += random.below(20 * plan.link_ns + 50 * MS);
            } else if in_order {
                let last_ns = self.last_ns.entry((from, to)).or_default();
                at_ns = at_ns.max(*last_ns);
                *last_ns = at_ns;
            }
            fate.arrivals_ns.push(at_ns);
        }
        *self.in_flight.entry((from, to)).or_default() += fate.arrivals_ns.len() as u32;
        fate
    }

    /// A copy arrived, or was found to belong to a broken connection.
    pub(super) fn arrived(&mut self, from: NodeId, to: NodeId) {
        if let Some(in_flight) = self.in_flight.get_mut(&(from, to)) {
            *in_flight = in_flight.saturating_sub(1);
        }
    }

    pub(super) fn connection(&self, from: NodeId, to: NodeId) -> u64 {
        self.connections.get(&pair(from, to)).copied().unwrap_or(0)
    }

    pub(super) fn reset(&mut self, a: NodeId, b: NodeId) {
        *self.connections.entry(pair(a, b)).or_default() += 1;
        self.last_ns.remove(&(a, b));
        self.last_ns.remove(&(b, a));
    }

    pub(super) fn slow(&mut self, from: NodeId, to: NodeId, by_ns: u64) {
        self.slow.insert((from, to), by_ns);
    }

    pub(super) fn unslow(&mut self, from: NodeId, to: NodeId) {
        self.slow.remove(&(from, to));
    }

    /// Cuts directed links; gives the partition's number.
    pub(super) fn cut(&mut self, links: impl IntoIterator<Item = (NodeId, NodeId)>) -> u64 {
        self.cut.extend(links);
        self.partitions += 1;
        self.partitions
    }

    /// Mends all cuts, if no later partition came.
    pub(super) fn mend(&mut self, partition: u64) {
        if self.partitions == partition {
            self.cut.clear();
        }
    }

    pub(super) fn calm(&mut self) {
        self.cut.clear();
        self.slow.clear();
    }
}
