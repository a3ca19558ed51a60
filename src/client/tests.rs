//! Questions and connections against a test cluster over real connections.

use std::time::Duration;

use super::testing::{Cluster, topic_name};
use super::{Client, ClientOptions, CreateTopic, Kind, Partitioning};
use crate::types::{Durability, NodeId, Retention};
use crate::wire::Versions;

fn create() -> CreateTopic {
    CreateTopic {
        name: topic_name(),
        shards: 3,
        replicas: 2,
        partitioning: Partitioning::Hash,
        durability: Durability::Disk,
        retention: Retention::default(),
    }
}

#[tokio::test]
async fn a_topic_is_created_described_listed_and_deleted() {
    let cluster = Cluster::start(2, 3);
    let client = cluster.client(&[1]).await;
    assert_eq!(client.create_topic(create()).await.unwrap_err().kind(), Kind::Conflict);
    client.delete_topic(&topic_name()).await.unwrap();
    assert_eq!(client.describe_topic(&topic_name()).await.unwrap_err().kind(), Kind::NotFound);
    let created = client.create_topic(create()).await.unwrap();
    assert_eq!(client.describe_topic(&topic_name()).await.unwrap(), created);
    assert_eq!(client.list_topics().await.unwrap(), [created]);
}

#[tokio::test]
async fn a_topic_that_one_node_has_not_heard_of_is_found_through_another() {
    let cluster = Cluster::start(3, 1);
    cluster.change(|world| world.ignorant = Some(NodeId(1)));
    let client = cluster.client(&[1]).await;
    for _ in 0..5 {
        client.describe_topic(&topic_name()).await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_endpoint_does_not_keep_a_client_from_the_living() {
    let mut cluster = Cluster::start(3, 1);
    cluster.stop_node(1).await;
    let client = cluster.client(&[1, 2]).await;
    assert_eq!(client.cluster_name(), "test");
    assert_eq!(client.cluster().await.unwrap().nodes.len(), 3);
    assert_eq!(client.clock(Some(NodeId(3))).await.unwrap().node, NodeId(3));
}

#[tokio::test]
async fn a_client_goes_on_in_any_version_that_it_understands_and_in_no_other() {
    let cluster = Cluster::start(1, 1);
    for understood in Versions::OWN.oldest..=Versions::OWN.newest {
        cluster.change(|world| world.protocol = understood);
        cluster.client(&[1]).await.cluster().await.unwrap();
    }
    for other in [Versions::OWN.oldest - 1, Versions::OWN.newest + 1] {
        cluster.change(|world| world.protocol = other);
        let options = ClientOptions { request_timeout: Duration::from_millis(300), ..cluster.options(&[1]) };
        let error = Client::connect(options).await.err().unwrap().to_string();
        assert!(error.contains(&format!("speaks protocol {other}, this client")), "{error}");
    }
}

#[tokio::test]
async fn a_cluster_of_which_no_node_answers_is_reported_in_time() {
    let mut cluster = Cluster::start(1, 1);
    cluster.stop_node(1).await;
    let request_timeout = Duration::from_millis(300);
    let options = ClientOptions { request_timeout, ..cluster.options(&[1]) };
    let error = Client::connect(options).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.is_retryable() && error.to_string().contains(&cluster.address(1)), "{error}");
}

#[tokio::test]
async fn positions_come_from_every_node_and_a_silent_one_says_why() {
    let mut cluster = Cluster::start(3, 2);
    let options = ClientOptions { request_timeout: Duration::from_millis(500), ..cluster.options(&[1]) };
    let client = Client::connect(options).await.unwrap();
    cluster.stop_node(2).await;
    let rows = client.shard_statuses(&topic_name()).await.unwrap();
    let counts: Vec<Option<usize>> = rows.iter().map(|row| row.shards.as_ref().ok().map(Vec::len)).collect();
    assert_eq!(counts, [Some(2), None, Some(2)]);
}

#[tokio::test]
async fn clocks_come_from_every_node_and_a_silent_one_says_why_within_the_limit() {
    let mut cluster = Cluster::start(3, 1);
    let client = cluster.client(&[1]).await;
    cluster.stop_node(2).await;
    let answers = client.read_clocks(Duration::from_millis(500)).await.unwrap();
    let told: Vec<Option<NodeId>> =
        answers.iter().map(|answer| answer.clock.as_ref().ok().map(|it| it.node)).collect();
    assert_eq!(told, [Some(NodeId(1)), None, Some(NodeId(3))]);
    assert!(answers.iter().all(|answer| answer.asked <= answer.arrived));
    assert_eq!(answers[1].node, NodeId(2));
}

#[tokio::test]
async fn a_node_that_comes_back_is_reached_again() {
    let mut cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    cluster.restart_node(1).await;
    assert_eq!(client.clock(Some(NodeId(1))).await.unwrap().node, NodeId(1));
}

#[tokio::test]
async fn many_complaints_about_a_topic_ask_for_it_once() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    let seen = client.core.topic(&topic_name()).await.unwrap();
    let before = cluster.world().described;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (core, seen) = (client.core.clone(), seen.clone());
        asking.spawn(async move { core.refresh(&topic_name(), Some(&seen)).await });
    }
    assert!(asking.join_all().await.iter().all(Result::is_ok));
    assert_eq!(cluster.world().described, before + 1);
}
