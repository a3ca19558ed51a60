//! `cluster status` and `clock status`: the nodes, and how well each knows the time.

use serde::Serialize;

use super::arguments::Common;
use super::connect::connect;
use super::failure::Failure;
use super::moment::{show, show_ns};
use super::output::{Format, Row, print_rows};
use crate::client::{ClockInfo, ClockPeerInfo, ClockRefusalInfo, ClusterInfo, NodeInfo};
use crate::types::{NodeId, Timestamp};

pub(super) async fn cluster_status(common: &Common) -> Result<(), Failure> {
    let cluster = connect(common).await?.cluster().await?;
    let rows: Vec<_> = cluster.nodes.iter().map(|node| NodeRow::of(&cluster, node)).collect();
    print_rows(Format::or_default(common.output), &rows)
}

/// Asks every node; one that does not answer has a row that says why.
pub(super) async fn clock_status(common: &Common) -> Result<(), Failure> {
    let client = connect(common).await?;
    let mut rows = Vec::new();
    for node in client.cluster().await?.nodes {
        rows.push(match client.clock(Some(node.node)).await {
            Ok(clock) => ClockRow::of(&clock),
            Err(error) => ClockRow::unreachable(node.node, error.to_string()),
        });
    }
    print_rows(Format::or_default(common.output), &rows)
}

#[derive(Serialize)]
struct NodeRow {
    cluster: String,
    node: u64,
    address: String,
    connected: bool,
    shards_led: u32,
    replicas: u32,
    /// The node whose view this is.
    seen_by: u64,
}

impl NodeRow {
    fn of(cluster: &ClusterInfo, node: &NodeInfo) -> Self {
        Self {
            cluster: cluster.cluster.clone(),
            node: node.node.0,
            address: node.address.clone(),
            connected: node.connected,
            shards_led: node.shards_led,
            replicas: node.replicas,
            seen_by: cluster.seen_by.0,
        }
    }
}

impl Row for NodeRow {
    fn titles() -> Vec<&'static str> {
        vec!["NODE", "ADDRESS", "STATE", "LEADS", "REPLICAS", "SEEN BY"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        let state = if self.connected { "connected" } else { "not connected" };
        vec![vec![
            self.node.to_string(),
            self.address.clone(),
            state.to_owned(),
            self.shards_led.to_string(),
            self.replicas.to_string(),
            self.seen_by.to_string(),
        ]]
    }
    fn raw(&self) -> String {
        self.address.clone()
    }
}

#[derive(Default, Serialize)]
struct ClockRow {
    node: u64,
    state: String,
    source: String,
    uncertainty_ns: u64,
    age_ns: u64,
    drift_ppb: u64,
    earliest_ns: u64,
    latest_ns: u64,
    leap: String,
    peers: Vec<PeerRow>,
    refused: Vec<RefusalRow>,
    reason: String,
}

/// A source that is not used.
#[derive(Serialize)]
struct RefusalRow {
    source: String,
    reason: String,
}

#[derive(Serialize)]
struct PeerRow {
    node: u64,
    offset_low_ns: i64,
    offset_high_ns: i64,
    rtt_ns: u64,
    verdict: String,
    uncertainty_ns: u64,
}

impl ClockRow {
    fn of(clock: &ClockInfo) -> Self {
        let peer = |peer: &ClockPeerInfo| PeerRow {
            node: peer.node.0,
            offset_low_ns: peer.offset_low_ns,
            offset_high_ns: peer.offset_high_ns,
            rtt_ns: peer.rtt_ns,
            verdict: peer.verdict.clone(),
            uncertainty_ns: peer.uncertainty_ns,
        };
        let refusal = |refusal: &ClockRefusalInfo| RefusalRow {
            source: refusal.source.clone(),
            reason: refusal.reason.clone(),
        };
        Self {
            node: clock.node.0,
            state: clock.state.clone(),
            source: clock.source.clone(),
            uncertainty_ns: clock.uncertainty_ns,
            age_ns: clock.age_ns,
            drift_ppb: clock.drift_ppb,
            earliest_ns: clock.earliest.0,
            latest_ns: clock.latest.0,
            leap: clock.leap.clone(),
            peers: clock.peers.iter().map(peer).collect(),
            refused: clock.refused.iter().map(refusal).collect(),
            reason: clock.reason.clone(),
        }
    }

    fn unreachable(node: NodeId, reason: String) -> Self {
        Self { node: node.0, state: "unreachable".into(), reason, ..Self::default() }
    }
}

impl Row for ClockRow {
    fn titles() -> Vec<&'static str> {
        vec!["NODE", "STATE", "SOURCE", "UNCERTAINTY", "AGE", "DRIFT", "LEAP", "EARLIEST", "REASON"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.node.to_string(),
            self.state.clone(),
            self.source.clone(),
            show_ns(self.uncertainty_ns),
            show_ns(self.age_ns),
            format!("{} ppb", self.drift_ppb),
            self.leap.clone(),
            show(Timestamp(self.earliest_ns)),
            self.reason.clone(),
        ]]
    }
    fn raw(&self) -> String {
        self.state.clone()
    }
}
