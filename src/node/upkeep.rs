//! What a node does unasked every other second: gauges, what the log is told of the clock, leaderships back to where they
//! belong, registration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::clock_log::ClockLog;
use super::session;
use super::shared::NodeShared;
use crate::clock::AgreementStatus;
use crate::lane::ReplicaStatus;
use crate::types::{Monotonic, NodeId, ShardId, Timestamp};
use crate::wire::{RegisterNode, SystemChange, SystemRecord};

const EVERY: Duration = Duration::from_secs(2);
/// A leader stays at least this long: a cluster that is starting up settles first.
const LED_AT_LEAST: Duration = Duration::from_secs(5);
/// A transfer that did not last is not tried again sooner: each one stops the shard's appends for a moment.
const TRANSFER_AGAIN_AFTER: Duration = Duration::from_secs(60);
const TRANSFERS_PER_ROUND: usize = 64;

/// Runs until dropped.
pub(crate) async fn run(shared: Arc<NodeShared>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut balancer = Balancer::default();
    let mut clock_log = ClockLog::default();
    loop {
        every.tick().await;
        clock_log.look(&shared.clock.status());
        // A lane too busy to say how it stands is left alone for this round.
        let Ok(statuses) = shared.lane.statuses(None).await else { continue };
        let Ok(clocks) = shared.lane.clocks().await else { continue };
        measure(&shared, &statuses, &clocks);
        if shared.is_draining() {
            continue;
        }
        let now = (shared.clock.now().monotonic, Instant::now());
        for (shard, to) in balancer.choose(&statuses, now, |node| shared.mesh.connected(node)) {
            tracing::info!(shard = shard.0, to = to.0, "handing the leadership to the preferred node");
            // A full queue: the next round tries again.
            let _ = shared.lane.transfer(shard, to);
        }
        if leads_system(&statuses) {
            register_nodes(&shared).await;
        }
    }
}

fn measure(shared: &NodeShared, statuses: &[ReplicaStatus], clocks: &AgreementStatus) {
    let count = |wanted: fn(&ReplicaStatus) -> bool| {
        i64::try_from(statuses.iter().filter(|status| wanted(status)).count()).unwrap_or(i64::MAX)
    };
    let metrics = &shared.metrics;
    metrics.shards_led.set(count(|status| status.leading_since.is_some()));
    metrics.shards_failed.set(count(|status| status.failure.is_some()));
    metrics.shards_full.set(count(|status| status.is_full));
    let led = |shard| statuses.iter().any(|status| status.shard == shard && status.leading_since.is_some());
    let (groups, members) = shared.groups.sizes(led);
    metrics.groups.groups.set(i64::try_from(groups).unwrap_or(i64::MAX));
    metrics.groups.members.set(i64::try_from(members).unwrap_or(i64::MAX));
    let now = shared.clock.now().interval.latest;
    let closed = statuses.iter().map(|status| status.closed).filter(|closed| *closed > Timestamp::ZERO);
    let lag_ns = closed.map(|closed| now.ns_since(closed)).max().unwrap_or(0);
    metrics.clocks.closed_lag_ns.set(i64::try_from(lag_ns).unwrap_or(i64::MAX));
    metrics.clocks.measure(&shared.clock.status(), clocks);
    let connected = shared.addresses.keys().filter(|node| shared.mesh.connected(**node)).count();
    metrics.peers_connected.set(i64::try_from(connected).unwrap_or(i64::MAX));
}

fn leads_system(statuses: &[ReplicaStatus]) -> bool {
    statuses.iter().any(|status| status.shard == ShardId::SYSTEM && status.leading_since.is_some())
}

/// The system shard's leader writes down where the configured nodes listen.
async fn register_nodes(shared: &NodeShared) {
    let _turn = shared.changing.lock().await;
    let view = shared.view();
    for (node, address) in &shared.addresses {
        if view.address(*node) == Some(address) {
            continue;
        }
        let register = RegisterNode { node: node.0, address: address.clone() };
        let record = SystemRecord::new(SystemChange::RegisterNode(register));
        if let Err(error) = session::append_system(shared, &record).await {
            tracing::debug!(node = node.0, error = error.message, "a node's address is registered later");
            return;
        }
    }
}

#[derive(Default)]
struct Balancer {
    tried: HashMap<ShardId, Instant>,
}

impl Balancer {
    /// Shards to hand over now, each with the node that should lead it.
    fn choose(
        &mut self,
        statuses: &[ReplicaStatus],
        (now, instant): (Monotonic, Instant),
        connected: impl Fn(NodeId) -> bool,
    ) -> Vec<(ShardId, NodeId)> {
        self.tried.retain(|_, at| instant.duration_since(*at) < TRANSFER_AGAIN_AFTER);
        let due = statuses.iter().filter_map(|status| {
            let led_long = now.since(status.leading_since?) >= LED_AT_LEAST;
            let to = status.preferred_ready.filter(|node| led_long && connected(*node))?;
            (!self.tried.contains_key(&status.shard)).then_some((status.shard, to))
        });
        let chosen: Vec<_> = due.take(TRANSFERS_PER_ROUND).collect();
        self.tried.extend(chosen.iter().map(|(shard, _)| (*shard, instant)));
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Index, Offset, Term, TopicId};

    fn led(shard: u64, since_s: u64, preferred_ready: Option<NodeId>) -> ReplicaStatus {
        ReplicaStatus {
            shard: ShardId(shard),
            topic: TopicId(1),
            leader: Some(NodeId(1)),
            term: Term(1),
            appended: Offset(0),
            synced: Offset(0),
            committed: Offset(0),
            released: Offset(0),
            trimmed: Offset(0),
            closed: Timestamp::ZERO,
            leading_since: Some(Monotonic(since_s * 1_000_000_000)),
            preferred_ready,
            appended_index: Index(0),
            synced_index: Index(0),
            committed_index: Index(0),
            is_full: false,
            failure: None,
        }
    }

    #[test]
    fn a_leadership_goes_back_only_after_a_while_and_to_a_node_that_is_ready_and_connected() {
        let two = Some(NodeId(2));
        let statuses = [led(1, 0, two), led(2, 8, two), led(3, 0, None), led(4, 0, Some(NodeId(3)))];
        let now = (Monotonic(10_000_000_000), Instant::now());
        let mut balancer = Balancer::default();
        let chosen = balancer.choose(&statuses, now, |node| node == NodeId(2));
        assert_eq!(chosen, [(ShardId(1), NodeId(2))]);
        assert!(balancer.choose(&statuses, now, |node| node == NodeId(2)).is_empty(), "not twice in a row");
        let later = (Monotonic(71_000_000_000), now.1 + TRANSFER_AGAIN_AFTER);
        assert_eq!(balancer.choose(&statuses[..1], later, |_| true), [(ShardId(1), NodeId(2))]);
    }
}
