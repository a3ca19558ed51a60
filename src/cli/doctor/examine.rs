//! The command: asks all there is to ask, goes on where something does not answer, and prints every check.

use std::net::SocketAddr;

use tokio::net::{UdpSocket, lookup_host};

use super::finding::{Finding, Outcome};
use super::{buffers, certificates, chronyd, clocks, shards};
use crate::cli::arguments::{Common, DoctorArguments};
use crate::cli::clock::ANSWER_LIMIT;
use crate::cli::connect::{certs, connect};
use crate::cli::failure::Failure;
use crate::cli::output::{Format, print_rows};
use crate::client::{Client, ClusterInfo, NodeInfo};
use crate::transport::certificate_terms;

/// Fails if any check does.
pub(in crate::cli) async fn doctor(arguments: &DoctorArguments, common: &Common) -> Result<(), Failure> {
    let chronyd = chronyd::address(arguments.config.as_deref())?;
    let mut checks = match certs(common) {
        Ok(folder) => certificates::checks(&certificate_terms(&folder)),
        Err(failure) => {
            vec![Finding::failure(
                "certificate",
                failure.to_string(),
                "timberline cert init --dir certs --nodes 3",
            )]
        }
    };
    match connect(common).await {
        Ok(client) => checks.extend(examine(&client, chronyd).await),
        Err(failure) => {
            let fix = "timberline dev, or name a node of a cluster that runs with --endpoint HOST:PORT";
            checks.push(Finding::failure("cluster answers", failure.to_string(), fix));
        }
    }
    print_rows(Format::or_default(common.output), &checks)?;
    let failures = checks.iter().filter(|check| check.result == Outcome::Failure).count();
    if failures > 0 {
        return Err(Failure::plain(format!("{failures} of {} checks fail", checks.len())));
    }
    Ok(())
}

async fn examine(client: &Client, chronyd: SocketAddr) -> Vec<Finding> {
    let mut checks = Vec::new();
    match client.cluster().await {
        Ok(cluster) => {
            checks.push(connections(&cluster));
            if any_is_here(&cluster.nodes).await {
                checks.push(chronyd::check(&chronyd::ask(chronyd).await));
                checks.extend(buffers::granted_bytes().map(buffers::check));
            }
        }
        Err(error) => {
            checks.push(Finding::failure("nodes connected", error.to_string(), "timberline cluster status"));
        }
    }
    match client.read_clocks(ANSWER_LIMIT).await {
        Ok(answers) => checks.extend(clocks::checks(&answers)),
        Err(error) => checks.push(Finding::failure("clocks", error.to_string(), "timberline clock status")),
    }
    match client.list_topics().await {
        Ok(topics) => checks.extend(shards::checks(&topics)),
        Err(error) => checks.push(Finding::failure("topics", error.to_string(), "timberline topic list")),
    }
    checks
}

fn connections(cluster: &ClusterInfo) -> Finding {
    let missing = cluster.nodes.iter().filter(|node| !node.connected);
    let missing: Vec<String> = missing.map(|node| node.node.to_string()).collect();
    let by = cluster.seen_by;
    if missing.is_empty() {
        return Finding::ok(
            "nodes connected",
            format!("node {by} has connections to all {}", cluster.nodes.len()),
        );
    }
    let reason = format!("node {by} has no connection to nodes {}", missing.join(", "));
    Finding::failure("nodes connected", reason, "timberline cluster status; see those nodes' logs")
}

/// Whether a node's address is one of this machine's: only its own can be bound.
async fn any_is_here(nodes: &[NodeInfo]) -> bool {
    for node in nodes {
        let Ok(addresses) = lookup_host(&node.address).await else { continue };
        for address in addresses {
            if UdpSocket::bind((address.ip(), 0)).await.is_ok() {
                return true;
            }
        }
    }
    false
}
