//! `shard list`: what each replica of each shard holds.

use serde::Serialize;

use super::arguments::Common;
use super::connect::{cluster_now, connect};
use super::failure::Failure;
use super::moment::{show, show_ns};
use super::output::{Format, Row, print_rows, say};
use super::partition::PartitionStart;
use crate::client::{NodeShards, ReplicaStatus, ShardInfo};
use crate::types::{NodeId, Timestamp, TopicName};

pub(super) async fn list(topic: &TopicName, common: &Common) -> Result<(), Failure> {
    let client = connect(common).await?;
    let described = client.describe_topic(topic).await?;
    let statuses = client.shard_statuses(topic).await?;
    let now = cluster_now(&client).await?;
    for node in &statuses {
        if let Err(error) = &node.shards {
            say(&format!("node {} does not answer: {error}", node.node));
        }
    }
    let rows: Vec<_> =
        described.shards.iter().map(|shard| ShardRow::of(topic, shard, &statuses, now)).collect();
    print_rows(Format::or_default(common.output), &rows)
}

#[derive(Serialize)]
struct ShardRow {
    topic: String,
    shard: u64,
    leader: Option<u64>,
    term: u64,
    replicas: Vec<ReplicaRow>,
    #[serde(flatten)]
    start: PartitionStart,
}

#[derive(Serialize)]
struct ReplicaRow {
    node: u64,
    appended: u64,
    synced: u64,
    committed: u64,
    released: u64,
    trimmed: u64,
    closed_timestamp_ns: u64,
    /// Records that some replica has committed and this one has not released.
    lag_records: u64,
    /// How far behind now this replica is closed.
    lag_ns: u64,
    /// The disk has no room: appends are refused, reads go on.
    disk_full: bool,
    /// Why the replica does not work.
    failure: Option<String>,
}

impl ShardRow {
    fn of(topic: &TopicName, shard: &ShardInfo, statuses: &[NodeShards], now: Timestamp) -> Self {
        let held: Vec<(NodeId, &ReplicaStatus)> = statuses
            .iter()
            .filter_map(|node| node.shards.as_ref().ok().map(|shards| (node.node, shards)))
            .flat_map(|(node, shards)| shards.iter().map(move |status| (node, status)))
            .filter(|(_, status)| status.shard == shard.shard)
            .collect();
        let committed = held.iter().map(|(_, status)| status.committed.0).max().unwrap_or(0);
        let newest = held.iter().map(|(_, status)| *status).max_by_key(|status| status.term);
        Self {
            topic: topic.to_string(),
            shard: shard.shard.0,
            leader: newest.and_then(|status| status.leader).or(shard.leader).map(|node| node.0),
            term: newest.map_or(shard.term, |status| status.term).0,
            replicas: held
                .iter()
                .map(|(node, status)| ReplicaRow::of(*node, status, committed, now))
                .collect(),
            start: PartitionStart::of(&shard.partition),
        }
    }
}

impl ReplicaRow {
    fn of(node: NodeId, status: &ReplicaStatus, committed: u64, now: Timestamp) -> Self {
        Self {
            node: node.0,
            appended: status.appended.0,
            synced: status.synced.0,
            committed: status.committed.0,
            released: status.released.0,
            trimmed: status.trimmed.0,
            closed_timestamp_ns: status.closed.0,
            lag_records: committed.saturating_sub(status.released.0),
            lag_ns: now.ns_since(status.closed),
            disk_full: status.disk_full,
            failure: status.failure.clone(),
        }
    }
}

impl Row for ShardRow {
    fn titles() -> Vec<&'static str> {
        vec!["SHARD", "FROM", "TERM", "NODE", "RELEASED", "COMMITTED", "SYNCED", "APPENDED", "CLOSED", "LAG"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        let row = |(n, replica): (usize, &ReplicaRow)| {
            let first = |text: String| if n == 0 { text } else { String::new() };
            let leads = if self.leader == Some(replica.node) { " leads" } else { "" };
            let lag = replica.failure.clone().unwrap_or_else(|| match replica.closed_timestamp_ns {
                _ if replica.disk_full => "disk full".into(),
                0 => "-".into(),
                _ => show_ns(replica.lag_ns),
            });
            vec![
                first(self.shard.to_string()),
                first(self.start.to_string()),
                first(self.term.to_string()),
                format!("{}{leads}", replica.node),
                replica.released.to_string(),
                replica.committed.to_string(),
                replica.synced.to_string(),
                replica.appended.to_string(),
                show(Timestamp(replica.closed_timestamp_ns)),
                lag,
            ]
        };
        self.replicas.iter().enumerate().map(row).collect()
    }
    fn raw(&self) -> String {
        self.shard.to_string()
    }
}
