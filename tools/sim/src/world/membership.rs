//! Replicas come and go: one is removed from its shard, later it is added again.
//!
//! Never more than a minority is away at a time, as far as an operator knows.

use std::collections::{BTreeMap, BTreeSet};

use timberline::lane::{Event, MembershipChange, MembershipStep, ShardSpec, Ticket};
use timberline::types::{NodeId, ReplicaId, ShardId, Timestamp};

use super::{Asker, World};
use crate::plan::{FaultClass, SECOND};

/// What an operator remembers of changes.
#[derive(Debug, Default)]
pub(super) struct Operator {
    /// Replicas that are removed, as far as leaders said.
    pub(super) away: BTreeMap<ShardId, ReplicaId>,
    /// Replicas that are to be members again.
    pub(super) returning: BTreeSet<(ShardId, ReplicaId)>,
    proposed: BTreeMap<Ticket, (ShardId, MembershipStep)>,
    brought_back_ns: u64,
}

impl World {
    /// Removes a replica from a shard, or adds one that is away.
    pub(super) fn change_membership(&mut self) {
        let specs = self.specs.clone();
        let spec = &specs[self.random.below(specs.len() as u64) as usize];
        if spec.replicas.len() < 3 {
            return;
        }
        let placed = spec.replicas[self.random.below(spec.replicas.len() as u64) as usize];
        let step = match self.operator.away.get(&spec.shard) {
            Some(replica) => MembershipStep::Voter(*replica),
            None => MembershipStep::Remove(placed.replica),
        };
        self.propose(spec, step);
    }

    /// A leader took a change, or did not.
    pub(super) fn membership_changed(&mut self, ticket: Ticket, taken: bool) {
        let Some((shard, step)) = self.operator.proposed.remove(&ticket).filter(|_| taken) else { return };
        self.totals.count(FaultClass::MembershipChange);
        match step {
            MembershipStep::Voter(replica) => {
                self.operator.away.retain(|other, away| (*other, *away) != (shard, replica));
                self.operator.returning.insert((shard, replica));
            }
            MembershipStep::Remove(replica) | MembershipStep::Learner(replica) => {
                // Whoever was away before may never have come back: it is asked for again in the calm.
                self.operator
                    .returning
                    .extend(self.operator.away.insert(shard, replica).map(|before| (shard, before)));
            }
        }
    }

    /// Whoever was removed, or was to come back and still misses something, is added again, once a second.
    pub(crate) fn bring_back(&mut self) {
        if self.now_ns < self.operator.brought_back_ns + SECOND {
            return;
        }
        self.operator.brought_back_ns = self.now_ns;
        let away: Vec<_> = self.operator.away.iter().map(|(shard, replica)| (*shard, *replica)).collect();
        for (shard, replica) in self.operator.returning.iter().copied().chain(away).collect::<Vec<_>>() {
            let Some(spec) = self.specs.iter().find(|spec| spec.shard == shard).cloned() else { continue };
            if self.lags(&spec, replica) {
                self.propose(&spec, MembershipStep::Voter(replica));
            } else if !self.operator.away.contains_key(&shard) && self.has_been_calm_for(5 * SECOND) {
                // By now whoever is still no member would lag.
                self.operator.returning.remove(&(shard, replica));
            }
        }
    }

    /// A replica does not hear what the others do, or is not up.
    fn lags(&mut self, spec: &ShardSpec, replica: ReplicaId) -> bool {
        let (node, standings) = (spec.node_of(replica), self.standings(spec.shard));
        let most = standings.iter().map(|standing| standing.released).max();
        // Against the time itself: where the whole shard stands still, all are closed alike.
        let now = Timestamp(self.true_ns());
        let own = standings.iter().find(|standing| Some(standing.node) == node);
        own.is_none_or(|own| {
            Some(own.released) < most || own.leader.is_none() || now.ns_since(own.closed) > 2 * SECOND
        })
    }

    /// Asks the shard's leader for a change; it may refuse.
    fn propose(&mut self, spec: &ShardSpec, step: MembershipStep) {
        let nodes: Vec<NodeId> = spec.replicas.iter().map(|placed| placed.node).collect();
        for id in nodes {
            if self.leads(id, spec.shard) {
                let ticket = self.draw_ticket(Asker { client: 0, shard: spec.shard, reader: 0 });
                self.trace.tell(self.now_ns, || format!("shard {}: node {id} is to {step:?}", spec.shard));
                let life = self.nodes[&id].life;
                self.operator.proposed.insert(ticket, (spec.shard, step));
                if let MembershipStep::Remove(replica) = step {
                    // Its leader may die before it can say that it took the change.
                    self.operator.returning.insert((spec.shard, replica));
                }
                let change = MembershipChange::Simple(step);
                self.event(id, life, Box::new(Event::ChangeMembership { ticket, shard: spec.shard, change }));
            }
        }
    }
}
