//! Three nodes in this process, with real sockets on loopback and real files: for benchmarks, and for tests that
//! need clocks they can set.

use std::time::Duration;

use bytes::Bytes;
use timberline::client::{Client, CreateTopic, Partitioning, Topic};
use timberline::testing::{Cluster, ClusterOptions};

/// A running cluster; it ends with this value.
pub(crate) struct Nodes(Cluster);

impl Nodes {
    /// Starts three nodes that declare `uncertainty`, each clock off by its `offsets_ns`, and waits until they serve.
    pub(crate) fn start(uncertainty: Duration, offsets_ns: [i64; 3]) -> Self {
        let options = ClusterOptions { nodes: 3, uncertainty, clock_offsets_ns: offsets_ns.to_vec() };
        Self(Cluster::with(&options).expect("the nodes start"))
    }

    /// A client of its own, with its own connections.
    pub(crate) async fn client(&self) -> Client {
        self.0.client().await.expect("the cluster answers")
    }

    /// Creates a topic whose shard `i` owns the key `[i]`, and waits until each shard has a leader.
    pub(crate) async fn topic(&self, client: &Client, name: &str, shards: u8) -> Topic {
        let split_at = (1..shards).map(|shard| Bytes::copy_from_slice(&[shard])).collect();
        let create = CreateTopic {
            shards: shards.into(),
            partitioning: Partitioning::Range { split_at },
            ..CreateTopic::named(&name.parse().expect("a good name"))
        };
        let mut topic = client.create_topic(create).await.expect("the topic is created");
        while topic.shards.iter().any(|shard| shard.leader.is_none()) {
            topic = client.describe_topic(&topic.name).await.expect("the topic is there");
        }
        topic
    }
}
