//! Replicas come and go: one is removed from its shard, later it is added again.
//!
//! Never more than a minority is away at a time, as far as an operator knows.

use timberline::lane::{Event, MembershipChange, MembershipStep, ShardSpec};
use timberline::types::NodeId;

use super::{Asker, World};
use crate::plan::SECOND;

impl World {
    /// Removes a replica from a shard, or adds one that is away.
    pub(super) fn change_membership(&mut self) -> bool {
        let specs = self.specs.clone();
        let spec = &specs[self.random.below(specs.len() as u64) as usize];
        if spec.replicas.len() < 3 {
            return false;
        }
        let step = if let Some(replica) = self.away.remove(&spec.shard) {
            self.returning.insert((spec.shard, replica));
            MembershipStep::Voter(replica)
        } else {
            let placed = spec.replicas[self.random.below(spec.replicas.len() as u64) as usize];
            self.away.insert(spec.shard, placed.replica);
            MembershipStep::Remove(placed.replica)
        };
        self.propose(spec, step);
        true
    }

    /// Whoever was ever removed and still misses something is added again.
    pub(crate) fn bring_back(&mut self) {
        let away: Vec<_> = std::mem::take(&mut self.away).into_iter().collect();
        self.returning.extend(away);
        for (shard, replica) in self.returning.clone() {
            let Some(spec) = self.specs.iter().find(|spec| spec.shard == shard).cloned() else { continue };
            let node = spec.node_of(replica);
            let standings = self.standings(shard);
            let most = standings.iter().map(|standing| standing.released).max();
            let closed = standings.iter().map(|standing| standing.closed).max().unwrap_or_default();
            let lags = |standing: &super::Standing| {
                let hears_nothing = closed.ns_since(standing.closed) > SECOND;
                Some(standing.released) < most || standing.leader.is_none() || hears_nothing
            };
            if standings.iter().any(|standing| Some(standing.node) == node && lags(standing)) {
                self.propose(&spec, MembershipStep::Voter(replica));
            }
        }
    }

    /// Asks the shard's leader for a change; it may refuse.
    fn propose(&mut self, spec: &ShardSpec, step: MembershipStep) {
        let nodes: Vec<NodeId> = spec.replicas.iter().map(|placed| placed.node).collect();
        for id in nodes {
            if self.leads(id, spec.shard) {
                let ticket = self.draw_ticket(Asker { client: 0, shard: spec.shard, reader: 0 });
                self.trace.tell(self.now_ns, || format!("shard {}: node {id} is to {step:?}", spec.shard));
                let life = self.nodes[&id].life;
                let change = MembershipChange::Simple(step);
                self.event(id, life, Box::new(Event::ChangeMembership { ticket, shard: spec.shard, change }));
            }
        }
    }
}
