//! How the cluster, this node's clock and its replicas stand.

use super::{answers, topics};
use crate::clock::{ClockState, PeerStanding, Standing};
use crate::lane::ReplicaStatus;
use crate::node::shared::NodeShared;
use crate::shard::Refusal;
use crate::types::ShardId;
use crate::wire::{
    ClockBody, ClockPeer, ClusterBody, ErrorBody, NodeBody, ShardStatusBody, ShardStatusesBody,
};

pub(super) async fn cluster(host: &NodeShared) -> Result<ClusterBody, ErrorBody> {
    let statuses = host.lane.statuses(None).await.map_err(answers::busy)?;
    let counts = topics::counts(&host.view(), &statuses);
    let nodes = host.addresses.iter().map(|(node, address)| {
        let (replicas, shards_led) = counts.get(node).copied().unwrap_or_default();
        NodeBody {
            node: node.0,
            address: address.clone(),
            connected: *node == host.node || host.mesh.connected(*node),
            shards_led,
            replicas,
        }
    });
    Ok(ClusterBody { cluster: host.cluster.to_string(), node: host.node.0, nodes: nodes.collect() })
}

pub(super) async fn clock(host: &NodeShared) -> Result<ClockBody, ErrorBody> {
    let agreement = host.lane.clocks().await.map_err(answers::busy)?;
    let status = host.clock.status();
    let reading = host.clock.now();
    let (state, reason) = match (status.state, agreement.fault) {
        (ClockState::Untrusted(_), _) => ("fenced", status.reason.unwrap_or_default()),
        (ClockState::Trusted, Some((fault, evidence))) if fault.is_open() => ("suspended", evidence),
        (ClockState::Trusted, Some((_, evidence))) => ("fenced", evidence),
        (ClockState::Trusted, None) if !agreement.is_heard => ("trusted", Refusal::Unheard.to_string()),
        (ClockState::Trusted, None) => ("trusted", String::new()),
    };
    Ok(ClockBody {
        node: host.node.0,
        state: state.to_owned(),
        source: status.source,
        uncertainty_ns: status.uncertainty_ns,
        age_ns: status.age_ns,
        drift_ppb: status.growth_ppb,
        earliest_ns: reading.interval.earliest.0,
        latest_ns: reading.interval.latest.0,
        peers: agreement.peers.iter().map(peer).collect(),
        reason,
    })
}

fn peer(standing: &PeerStanding) -> ClockPeer {
    let (offset, stated) = (standing.offset, standing.stated);
    ClockPeer {
        node: standing.node.0,
        offset_low_ns: offset.map_or(i64::MIN, |offset| offset.low_ns),
        offset_high_ns: offset.map_or(i64::MAX, |offset| offset.high_ns),
        rtt_ns: standing.round_trip_ns,
        verdict: match standing.standing {
            Standing::Agrees => "agrees",
            Standing::Misses { .. } => "misses",
            Standing::Unheard => "unheard",
        }
        .to_owned(),
        uncertainty_ns: stated.map_or(u64::MAX, |stated| stated.uncertainty_ns()),
    }
}

/// This node's replicas of a topic's shards.
pub(super) async fn shards(host: &NodeShared, name: &str) -> Result<ShardStatusesBody, ErrorBody> {
    let topic = topics::named(host, name).await?;
    let here = topic.shards.iter().filter(|shard| shard.is_on(host.node));
    let here: Vec<ShardId> = here.map(|shard| shard.id).collect();
    let statuses = host.lane.statuses(Some(here)).await.map_err(answers::busy)?;
    Ok(ShardStatusesBody { node: host.node.0, shards: statuses.into_iter().map(status_body).collect() })
}

fn status_body(status: ReplicaStatus) -> ShardStatusBody {
    ShardStatusBody {
        shard: status.shard.0,
        leader: status.leader.map_or(0, |node| node.0),
        term: status.term.0,
        appended: status.appended.0,
        synced: status.synced.0,
        committed: status.committed.0,
        released: status.released.0,
        trimmed: status.trimmed.0,
        closed_ns: status.closed.0,
        disk_full: status.is_full,
        failure: status.failure.unwrap_or_default(),
    }
}
