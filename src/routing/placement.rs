//! From a shard to the nodes that replicate it.
//!
//! Shard ids are handed out one after another, so the id alone spreads: preferred leaders go round the
//! nodes, and with each full round the followers move on by one, so that the shards a failed node led
//! fall to all the others and not to one neighbour. (The staggered scheme of Kafka's
//! `AdminUtils.assignReplicasToBrokers`, with the shard id in the place of its random start.)

use crate::types::{NodeId, ShardId};

/// Why a shard cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    #[error("a shard needs at least one replica")]
    NoReplicas,
    #[error(
        "{replicas} replicas need as many nodes, and the cluster has {nodes}: ask for fewer replicas or add nodes"
    )]
    TooFewNodes { replicas: usize, nodes: usize },
}

/// The nodes of `shard`'s replicas, the preferred leader first. `nodes` are the cluster's, without
/// repetition; their order does not matter.
pub fn place(nodes: &[NodeId], shard: ShardId, replicas: usize) -> Result<Vec<NodeId>, PlacementError> {
    if replicas == 0 {
        return Err(PlacementError::NoReplicas);
    }
    if replicas > nodes.len() {
        return Err(PlacementError::TooFewNodes { replicas, nodes: nodes.len() });
    }
    let mut ring = nodes.to_vec();
    ring.sort_unstable();
    let count = ring.len() as u64;
    let leader = (shard.0 % count) as usize;
    let others = count.saturating_sub(1).max(1);
    let round = ((shard.0 / count) % others) as usize;
    let follower = |nth: usize| ring[(leader + 1 + (round + nth) % others as usize) % ring.len()];
    Ok(std::iter::once(ring[leader]).chain((0..replicas - 1).map(follower)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn cluster(count: u64) -> Vec<NodeId> {
        (1..=count).map(NodeId).collect()
    }

    #[test]
    fn more_replicas_than_nodes_are_refused() {
        assert_eq!(
            place(&cluster(2), ShardId(1), 3),
            Err(PlacementError::TooFewNodes { replicas: 3, nodes: 2 })
        );
        assert_eq!(place(&cluster(2), ShardId(1), 0), Err(PlacementError::NoReplicas));
        assert_eq!(place(&cluster(1), ShardId(7), 1), Ok(vec![NodeId(1)]));
    }

    #[test]
    fn a_failed_nodes_shards_fall_to_all_others_alike() {
        let mut heirs = BTreeMap::new();
        for shard in 0..5 * 4 {
            let placed = place(&cluster(5), ShardId(shard), 3).unwrap();
            if placed[0] == NodeId(1) {
                *heirs.entry(placed[1]).or_insert(0) += 1;
            }
        }
        assert_eq!(heirs.into_values().collect::<Vec<_>>(), [1; 4]);
    }

    proptest! {
        #[test]
        fn replicas_stand_on_different_nodes(nodes in 1_u64..9, shard: u64, wanted in 1_usize..9) {
            prop_assume!(wanted as u64 <= nodes);
            let mut placed = place(&cluster(nodes), ShardId(shard), wanted).unwrap();
            placed.sort_unstable();
            placed.dedup();
            prop_assert_eq!(placed.len(), wanted);
        }

        #[test]
        fn leaders_and_replicas_of_consecutive_shards_are_spread_evenly(
            nodes in 1_u64..9, first in 0_u64..1000, wanted in 1_usize..9,
        ) {
            prop_assume!(wanted as u64 <= nodes);
            let mut led = BTreeMap::new();
            for shard in first..first + nodes {
                *led.entry(place(&cluster(nodes), ShardId(shard), wanted).unwrap()[0]).or_insert(0_u64) += 1;
            }
            prop_assert!(led.len() as u64 == nodes && led.values().all(|count| *count == 1));
            let mut held = BTreeMap::new();
            for shard in 0..nodes * (nodes - 1).max(1) {
                for node in place(&cluster(nodes), ShardId(first * nodes * (nodes - 1).max(1) + shard), wanted).unwrap() {
                    *held.entry(node).or_insert(0_u64) += 1;
                }
            }
            let even = held.values().next().copied();
            prop_assert!(held.values().all(|count| Some(*count) == even));
        }

        #[test]
        fn the_order_in_which_nodes_are_named_does_not_matter(nodes in 1_u64..9, shard: u64) {
            let mut reversed = cluster(nodes);
            reversed.reverse();
            prop_assert_eq!(place(&cluster(nodes), ShardId(shard), 1), place(&reversed, ShardId(shard), 1));
        }
    }
}
