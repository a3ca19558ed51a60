//! `cluster status`: the nodes, and who leads how much.

use serde::Serialize;

use super::arguments::Common;
use super::connect::connect;
use super::failure::Failure;
use super::output::{Format, Row, print_rows};
use crate::client::{ClusterInfo, NodeInfo};

pub(super) async fn cluster_status(common: &Common) -> Result<(), Failure> {
    let cluster = connect(common).await?.cluster().await?;
    let rows: Vec<_> = cluster.nodes.iter().map(|node| NodeRow::of(&cluster, node)).collect();
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
