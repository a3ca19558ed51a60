//! Reads by level, cuts and tokens against a test cluster over real connections.

use std::time::Duration;

use super::testing::{Cluster, frames_of, topic_name};
use super::{Client, ConsumerOptions, Cursor, Error, Kind, Level, ProducerOptions, Start, Until};
use crate::types::{NodeId, Offset, Record, ShardId, Timestamp, Token};

fn to_end(level: Level) -> ConsumerOptions {
    ConsumerOptions { until: Until::ToEnd, consistency: Some(level), ..ConsumerOptions::default() }
}

/// What a read hands out, by its values.
async fn read(client: &Client, options: ConsumerOptions) -> Result<Vec<String>, Error> {
    let mut consumer = client.consumer(&topic_name(), options).await?;
    let mut values = Vec::new();
    while let Some(one) = consumer.next().await? {
        values.push(String::from_utf8_lossy(&one.record.value.unwrap_or_default()).into_owned());
    }
    Ok(values)
}

/// Whether a read has still not ended after a while: what it must contain may still be missing.
async fn waits(client: &Client, level: Level) -> bool {
    tokio::time::timeout(Duration::from_millis(300), read(client, to_end(level))).await.is_err()
}

/// Sends one record and waits for its receipt.
async fn write(client: &Client, value: &'static str) {
    let producer = client.producer(&topic_name(), ProducerOptions::default()).await.unwrap();
    let record = Record { value: Some(value.into()), ..Record::default() };
    producer.send(record).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn a_mark_is_never_given_by_a_fenced_clock() {
    let cluster = Cluster::start(3, 1);
    cluster.change(|world| world.fenced = vec![NodeId(1), NodeId(3)]);
    let client = cluster.client(&[1, 2, 3]).await;
    for _ in 0..10 {
        assert_eq!(client.now().await.unwrap().node, NodeId(2));
    }
    cluster.change(|world| world.fenced.push(NodeId(2)));
    let options =
        super::ClientOptions { request_timeout: Duration::from_millis(200), ..cluster.options(&[1]) };
    let impatient = Client::connect(options).await.unwrap();
    for level in [Level::Linearizable, Level::Bounded(Duration::from_secs(1))] {
        let refused = read(&impatient, to_end(level)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Unavailable, "never a silent eventual: {refused}");
    }
}

#[tokio::test]
async fn what_was_closed_stays_readable_while_no_clock_is_trusted() {
    let cluster = Cluster::start(3, 2);
    cluster.change(|world| {
        world.shard(1).frames = frames_of(ShardId(1), &[(10, 2)]);
        world.close_all(100);
        world.fenced = vec![NodeId(1), NodeId(2), NodeId(3)];
    });
    let client = cluster.client(&[1]).await;
    assert_eq!(read(&client, to_end(Level::Eventual)).await.unwrap().len(), 2);
    let as_of = ConsumerOptions { until: Until::Closed(Timestamp(10)), ..ConsumerOptions::default() };
    assert_eq!(read(&client, as_of).await.unwrap(), ["1:0"]);
}

#[tokio::test]
async fn a_node_that_does_not_know_the_question_is_named_unless_another_one_does() {
    let cluster = Cluster::start(1, 1);
    cluster.change(|world| world.older = Some(NodeId(1)));
    let client = cluster.client(&[1]).await;
    for answer in
        [read(&client, to_end(Level::Linearizable)).await, read(&client, to_end(Level::Eventual)).await]
    {
        assert!(matches!(answer, Err(Error::Unsupported { node: NodeId(1), .. })), "{answer:?}");
    }
    let cluster = Cluster::start(2, 1);
    cluster.change(|world| world.older = Some(NodeId(1)));
    let client = cluster.client(&[1, 2]).await;
    for _ in 0..10 {
        assert_eq!(client.now().await.unwrap().node, NodeId(2));
    }
}

#[tokio::test]
async fn a_session_contains_what_it_wrote_and_read_and_no_more() {
    let cluster = Cluster::start(3, 2);
    let (writer, other) = (cluster.client(&[1]).await, cluster.client(&[1]).await);
    cluster.change(|world| world.close_all(2000));
    write(&writer, "mine").await;
    // One shard is closed at the append that it took; the other one lags.
    assert!(writer.token() > Token(Timestamp(2000)));
    assert!(waits(&writer, Level::Session).await, "its own append may be missing");
    assert!(waits(&other, Level::Causal(writer.token())).await);
    assert!(waits(&other, Level::Linearizable).await);
    assert_eq!(read(&other, to_end(Level::Session)).await.unwrap(), [""; 0], "it knows of nothing");
    cluster.change(|world| world.close_all(world.now + 1000));
    assert_eq!(read(&writer, to_end(Level::Session)).await.unwrap(), ["mine"]);
    assert_eq!(read(&other, to_end(Level::Causal(writer.token()))).await.unwrap(), ["mine"]);
}

#[tokio::test]
async fn a_resumed_session_and_a_finished_read_bind_later_reads() {
    let cluster = Cluster::start(1, 2);
    cluster.change(|world| world.close_all(2000));
    let (first, second) = (cluster.client(&[1]).await, cluster.client(&[1]).await);
    assert!(read(&first, to_end(Level::Eventual)).await.unwrap().is_empty());
    assert_eq!(first.token(), Token(Timestamp(2000)), "it has read everything up to there");
    second.resume(Token(Timestamp(2010)));
    assert!(waits(&second, Level::Session).await);
    cluster.change(|world| world.close_all(2010));
    assert!(!waits(&second, Level::Session).await);
}

#[tokio::test]
async fn what_a_session_sees_while_the_time_is_on_its_way_is_neither_demanded_nor_refused() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    let reads_on = client.clone();
    cluster.change(|world| {
        world.close_all(3000);
        world.now = 2000;
        world.while_time_is_told = Some(Box::new(move || reads_on.resume(Token(Timestamp(1 << 60)))));
    });
    assert!(read(&client, to_end(Level::Linearizable)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_bounded_read_contains_what_is_older_than_its_age() {
    let cluster = Cluster::start(1, 2);
    cluster.change(|world| {
        world.shard(1).frames = frames_of(ShardId(1), &[(4000, 1)]);
        world.shard(1).closed = 5000;
        world.shard(2).closed = 3000;
        world.now = 5000;
    });
    let client = cluster.client(&[1]).await;
    assert!(waits(&client, Level::Bounded(Duration::from_nanos(500))).await, "a shard is further behind");
    assert!(read(&client, to_end(Level::Bounded(Duration::from_micros(4)))).await.unwrap().is_empty());
    cluster.change(|world| world.close_all(6000));
    let bounded = Level::Bounded(Duration::from_nanos(500));
    assert_eq!(read(&client, to_end(bounded)).await.unwrap(), ["1:0"]);
}

#[tokio::test]
async fn a_cut_is_the_first_offset_of_every_shard_stamped_later() {
    let cluster = Cluster::start(3, 3);
    cluster.change(|world| {
        world.shard(1).frames = frames_of(ShardId(1), &[(100, 5), (200, 2)]);
        world.shard(2).frames = frames_of(ShardId(2), &[(103, 1)]);
        world.close_all(900);
    });
    let client = cluster.client(&[1]).await;
    for (at, expected) in
        [(99, [0, 0, 0]), (102, [3, 0, 0]), (103, [4, 1, 0]), (200, [6, 1, 0]), (900, [7, 1, 0])]
    {
        let cut = client.cut(&topic_name(), Timestamp(at)).await.unwrap();
        let expected = (1..).map(ShardId).zip(expected.map(Offset)).collect();
        assert_eq!(cut.offsets, expected, "at {at}");
        let as_of = ConsumerOptions { until: Until::Closed(Timestamp(at)), ..ConsumerOptions::default() };
        let below: u64 = cut.offsets.values().map(|offset| offset.0).sum();
        assert_eq!(read(&client, as_of).await.unwrap().len() as u64, below, "what is read as of {at}");
    }
}

#[tokio::test]
async fn a_cut_waits_until_every_shard_is_closed_there() {
    let cluster = Cluster::start(1, 2);
    cluster.change(|world| world.close_all(900));
    cluster.change(|world| world.shard(1).closed = 950);
    let client = cluster.client(&[1]).await;
    let name = topic_name();
    let cutting = client.cut(&name, Timestamp(950));
    tokio::pin!(cutting);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut cutting).await;
    assert!(early.is_err(), "shard 2 may still store something stamped before");
    cluster.change(|world| world.close_all(950));
    assert_eq!(cutting.await.unwrap().at, Timestamp(950));
}

#[tokio::test]
async fn what_lies_in_the_future_is_refused_and_never_waited_for() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    let far = Timestamp(1 << 60);
    let from = |from| ConsumerOptions { from, ..ConsumerOptions::default() };
    let until = ConsumerOptions { until: Until::Closed(far), ..ConsumerOptions::default() };
    let reads = [
        from(Start::Time(far)),
        from(Start::Cursor(Cursor::after(far))),
        until,
        to_end(Level::Causal(Token(far))),
    ];
    for options in reads {
        let refused = read(&client, options).await.unwrap_err();
        assert!(matches!(refused, Error::Future { .. }), "{refused}");
        assert_eq!(refused.kind(), Kind::Usage);
    }
    assert!(matches!(client.cut(&topic_name(), far).await, Err(Error::Future { .. })));
    client.resume(Token(far));
    for level in [Level::Session, Level::Linearizable] {
        assert!(matches!(read(&client, to_end(level)).await, Err(Error::Future { .. })), "a forged token");
    }
}

#[tokio::test]
async fn a_level_is_refused_where_it_means_nothing() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    for until in [Until::Forever, Until::Closed(Timestamp(5))] {
        let options = ConsumerOptions { until, ..to_end(Level::Linearizable) };
        let refused = read(&client, options).await.unwrap_err();
        assert!(matches!(refused, Error::Option { option: "consistency", .. }), "{refused}");
    }
}

/// A leader may stamp lower than the node said that told the reader the time: by twice the clocks' uncertainty.
#[tokio::test]
async fn what_is_sent_after_a_consumer_at_the_end_stands_is_read() {
    let cluster = Cluster::start(1, 1);
    cluster.change(|world| world.eps = 200);
    let client = cluster.client(&[1]).await;
    let options = ConsumerOptions { from: Start::End, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(&topic_name(), options).await.unwrap();
    write(&client, "sent afterwards").await;
    let next = tokio::time::timeout(Duration::from_secs(5), consumer.next()).await;
    assert!(next.expect("it was left out").unwrap().is_some());
}

#[tokio::test]
async fn a_read_that_no_replica_can_complete_fails_in_time() {
    let cluster = Cluster::start(2, 1);
    cluster.change(|world| world.close_all(900));
    let client = cluster.client(&[1]).await;
    let consistency = Some(Level::Causal(Token(Timestamp(950))));
    // Longer than one replica's silence is borne: each of them says again what it said before.
    let options = ConsumerOptions { consistency, timeout: Duration::from_secs(4), ..to_end(Level::Eventual) };
    let failed = tokio::time::timeout(Duration::from_secs(20), read(&client, options)).await;
    let failed = failed.expect("it waits for ever").unwrap_err();
    assert_eq!(failed.kind(), Kind::Unavailable, "{failed}");
}

#[tokio::test]
async fn a_bounded_stream_fails_once_it_falls_behind_and_not_while_it_keeps_up() {
    let cluster = Cluster::start(1, 2);
    cluster.change(|world| world.close_all(1000));
    let client = cluster.client(&[1]).await;
    let consistency = Some(Level::Bounded(Duration::from_micros(1)));
    let options = ConsumerOptions { consistency, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(&topic_name(), options).await.unwrap();
    // Each question for the time takes 20 ns of it.
    while cluster.world().now < 3000 {
        cluster.change(|world| world.close_all(world.now));
        let next = tokio::time::timeout(Duration::from_millis(5), consumer.next()).await;
        assert!(next.is_err(), "it keeps up: {next:?}");
    }
    let failed = tokio::time::timeout(Duration::from_secs(10), consumer.next()).await;
    let failed = failed.expect("nothing closes the shards any more").unwrap_err();
    assert!(matches!(failed, Error::Stale { .. }), "{failed}");
    assert!(failed.is_retryable() && failed.kind() == Kind::Unavailable);
}
