//! Shards that rest alike: led here, on the same nodes, accepted by the same peers. One quorum's time is that of them all.
//!
//! Knows nothing of numbers and messages. Invariant: a peer in `at` has accepted the present promise of every member, and
//! what it accepts from then on it accepts for every member, until one is named as an exception and taken out.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::promiser::Led;
use crate::shard::Standing;
use crate::types::{NodeId, ReplicaId, ShardId, Timestamp};

/// What members have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Likeness {
    /// The nodes of the voters, and of those of an outgoing configuration. `None` where a voter's node is not known.
    voters: Vec<Option<NodeId>>,
    outgoing: Vec<Option<NodeId>>,
    /// All nodes with a replica, voters or not.
    nodes: BTreeSet<NodeId>,
    /// The peers that have accepted each member's promise.
    at: BTreeSet<NodeId>,
}

#[derive(Debug, Default)]
pub(super) struct Cohort {
    pub(super) standing: Rc<Standing>,
    pub(super) members: BTreeSet<ShardId>,
}

impl Likeness {
    pub(super) fn of(led: &Led, at: BTreeSet<NodeId>) -> Self {
        let nodes = |voters: &[ReplicaId]| {
            let mut nodes: Vec<_> = voters.iter().map(|voter| led.nodes.get(voter).copied()).collect();
            nodes.sort_unstable();
            nodes
        };
        let (voters, outgoing) = (nodes(&led.membership.voters), nodes(&led.membership.outgoing));
        Self { voters, outgoing, nodes: led.nodes.values().copied().collect(), at }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().copied()
    }

    pub(super) fn is_on(&self, node: NodeId) -> bool {
        self.nodes.contains(&node)
    }

    pub(super) fn counts(&self, peer: NodeId) -> bool {
        self.at.contains(&peer)
    }

    /// The latest time that a quorum of each voter set has accepted, `me` taken as given.
    pub(super) fn quorum_accepted(
        &self,
        me: NodeId,
        accepted: impl Fn(NodeId) -> Timestamp,
    ) -> Option<Timestamp> {
        quorum_of_each(&self.voters, &self.outgoing, |voter| match voter {
            Some(node) if *node == me => Timestamp::MAX,
            Some(node) if self.at.contains(node) => accepted(*node),
            _ => Timestamp::ZERO,
        })
    }
}

/// The latest time that a quorum of the voters has reached and, while the configuration is joint, one of the outgoing ones
/// too; `None` if those have reached nothing.
pub(super) fn quorum_of_each<V>(
    voters: &[V],
    outgoing: &[V],
    reached: impl Fn(&V) -> Timestamp,
) -> Option<Timestamp> {
    let incoming = quorum(voters.iter().map(&reached))?;
    if outgoing.is_empty() {
        Some(incoming)
    } else {
        Some(incoming.min(quorum(outgoing.iter().map(&reached))?))
    }
}

/// The latest of `times`, one a voter, that more than half of them have reached; `None` if those have reached nothing.
fn quorum(times: impl Iterator<Item = Timestamp>) -> Option<Timestamp> {
    let mut times: Vec<Timestamp> = times.collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times.get(times.len() / 2).copied().filter(|time| *time > Timestamp::ZERO)
}
