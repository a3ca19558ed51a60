//! A reader of more shards of one node than the node takes streams of one connection.

use timberline::client::blocking::Client;
use timberline::client::{ConsumerOptions, CreateTopic, ProducerOptions, Start, Until};
use timberline::testing::Cluster;
use timberline::types::Record;

/// A node takes 256 streams of a connection.
const SHARDS: u32 = 300;

#[test]
fn shards_beyond_a_connections_streams_are_read_and_leave_room_for_questions() {
    let cluster = Cluster::start().unwrap();
    let client = Client::connect(cluster.client_options()).unwrap();
    let wanted = CreateTopic { shards: SHARDS, replicas: 1, ..CreateTopic::named(&"many".parse().unwrap()) };
    let topic = client.create_topic(wanted).unwrap();
    let producer = client.producer(&topic.name, ProducerOptions::default()).unwrap();
    let send = |n: u32| producer.send(Record { key: Some(n.to_string().into()), ..Record::default() });
    let pending: Vec<_> = (0..SHARDS).map(|n| send(n).unwrap()).collect();
    for sent in pending {
        sent.wait().unwrap();
    }

    let following = ConsumerOptions { from: Start::Begin, ..ConsumerOptions::default() };
    let mut follower = client.consumer(&topic.name, following).unwrap();
    for _ in 0..SHARDS {
        follower.next().expect("it follows").unwrap();
    }
    // Its streams stand; questions and another reader find their way beside them.
    client.run(async |client| client.now().await).unwrap();
    let to_end = ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() };
    let reader = client.consumer(&topic.name, to_end).unwrap();
    let read: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
    assert_eq!(read.len(), SHARDS as usize);
}
