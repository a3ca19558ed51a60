//! How the cluster, this node's clock and its replicas stand.

use super::{answers, topics};
use crate::clock::{
    Agreement, DoubtStanding, PeerStanding, Refusal as SourceRefusal, Standing, TimeInterval,
};
use crate::lane::ReplicaStatus;
use crate::node::clock_standing::standing;
use crate::node::shared::NodeShared;
use crate::types::ShardId;
use crate::wire::{
    ClockBody, ClockDoubt, ClockPeer, ClockRefusal, ClusterBody, ErrorBody, NodeBody, ShardStatusBody,
    ShardStatusesBody,
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
    let (state, reason) = standing(&status, &agreement);
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
        leap: status.leap.as_str().to_owned(),
        refused: status.refused.into_iter().map(refusal_body).collect(),
        eps_max_ns: status.eps_max_ns,
        is_unknown: Agreement::stated(&reading) == TimeInterval::UNKNOWN,
        last_step: status.last_step.map_or_else(String::new, |step| step.fault.to_string()),
        last_step_ns: status.last_step.map_or(0, |step| step.at.0),
        doubts: agreement.doubts.iter().map(doubt).collect(),
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

fn doubt(standing: &DoubtStanding) -> ClockDoubt {
    let DoubtStanding { mark, is_open } = standing;
    ClockDoubt {
        node: mark.node.0,
        from_timestamp_ns: mark.from.0,
        until_timestamp_ns: mark.until.0,
        off_by_ns: mark.off_by_ns,
        reason: mark.reason.as_str().to_owned(),
        why: mark.why(),
        is_open: *is_open,
    }
}

fn refusal_body(refusal: SourceRefusal) -> ClockRefusal {
    ClockRefusal { source: refusal.source, reason: refusal.reason }
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
