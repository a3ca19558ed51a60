//! Consumers against a test cluster over real connections.

use std::time::Duration;

use super::{Consumed, Consumer, ConsumerOptions, Cursor, Item, OnTrimmed, Order, Skipped, Start, Until};
use crate::client::testing::{Cluster, frames_of, keyed_frames_of, padded_frames_of, topic_name};
use crate::client::{Error, KeyRange, Kind};
use crate::types::{NodeId, Offset, ShardId, Timestamp, TopicName};

/// Two records per batch; the shards' batches interleave, and some timestamps are in several shards.
fn fill(cluster: &Cluster, shards: u64, batches: u64) {
    cluster.change(|world| {
        for shard in 1..=shards {
            let times: Vec<(u64, u64)> = (1..=batches).map(|at| (10 * at + shard / 2, 2)).collect();
            world.shard(shard).frames = frames_of(ShardId(shard), &times);
        }
        world.close_all(10 * batches + 100);
    });
}

fn places(consumed: &[Consumed]) -> Vec<(u64, u64, u64)> {
    consumed.iter().map(|one| (one.timestamp.0, one.shard.0, one.offset.0)).collect()
}

/// Everything the world holds, in the canonical order.
fn canonical(cluster: &Cluster) -> Vec<(u64, u64, u64)> {
    let world = cluster.world();
    let mut all = Vec::new();
    for (id, shard) in &world.shards {
        for header in shard.frames.iter().map(|frame| frame.header) {
            let count = u64::from(header.record_count);
            all.extend(
                (0..count).map(|at| (header.first_timestamp.0 + at, id.0, header.first_offset.0 + at)),
            );
        }
    }
    all.sort_unstable();
    all
}

async fn consumer(cluster: &Cluster, options: ConsumerOptions) -> Consumer {
    cluster.client(&[1]).await.consumer(&topic_name(), options).await.unwrap()
}

async fn rest(consumer: &mut Consumer) -> Result<Vec<Consumed>, Error> {
    let mut all = Vec::new();
    while let Some(one) = consumer.next().await? {
        all.push(one);
    }
    Ok(all)
}

fn to_end() -> ConsumerOptions {
    ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() }
}

/// Lets time pass beyond what a consumer that reads to the end waits for.
fn pass_time(cluster: &Cluster) {
    cluster.change(|world| world.close_all(world.now + 1000));
}

#[tokio::test]
async fn a_merged_read_is_the_canonical_order_of_all_shards() {
    let cluster = Cluster::start(3, 4);
    fill(&cluster, 4, 20);
    let mut consumer = consumer(&cluster, to_end()).await;
    pass_time(&cluster);
    let read = rest(&mut consumer).await.unwrap();
    assert_eq!(places(&read), canonical(&cluster));
    assert_eq!(read[0].record.value.as_deref(), Some(b"1:0".as_slice()));
}

#[tokio::test]
async fn a_read_to_the_end_waits_until_every_shard_is_closed_there() {
    let cluster = Cluster::start(1, 2);
    fill(&cluster, 2, 1);
    let mut consumer = consumer(&cluster, to_end()).await;
    for _ in 0..4 {
        assert!(consumer.next().await.unwrap().is_some());
    }
    tokio::select! {
        biased;
        _ = consumer.next() => panic!("shard 1 may still store something stamped before the end"),
        () = std::future::ready(()) => {}
    }
    pass_time(&cluster);
    assert!(consumer.next().await.unwrap().is_none());
    assert!(consumer.cursor().timestamp >= Timestamp(115));
}

#[tokio::test]
async fn a_cursor_taken_after_any_record_resumes_with_the_next_one() {
    let cluster = Cluster::start(1, 3);
    fill(&cluster, 3, 3);
    let all = canonical(&cluster);
    for taken in 0..=all.len() {
        let mut first = consumer(&cluster, ConsumerOptions::default()).await;
        let mut read = Vec::new();
        for _ in 0..taken {
            read.push(first.next().await.unwrap().unwrap());
        }
        let cursor: Cursor = first.cursor().to_string().parse().unwrap();
        let until = Until::Closed(Timestamp(130));
        let options = ConsumerOptions { from: Start::Cursor(cursor), until, ..ConsumerOptions::default() };
        let mut second = consumer(&cluster, options).await;
        read.extend(rest(&mut second).await.unwrap());
        assert_eq!(places(&read), all, "cut after {taken}");
        assert_eq!(second.cursor(), Cursor::after(Timestamp(130)));
    }
}

#[tokio::test]
async fn start_and_end_are_exact_to_the_nanosecond() {
    let cluster = Cluster::start(1, 3);
    fill(&cluster, 3, 5);
    let (from, until) = (Start::Time(Timestamp(21)), Until::Closed(Timestamp(41)));
    let mut consumer =
        consumer(&cluster, ConsumerOptions { from, until, ..ConsumerOptions::default() }).await;
    let expected: Vec<_> = canonical(&cluster).into_iter().filter(|(t, ..)| (21..=41).contains(t)).collect();
    assert_eq!(places(&rest(&mut consumer).await.unwrap()), expected);
}

#[tokio::test]
async fn a_reader_goes_on_at_another_replica_without_gap_or_repeat() {
    let mut cluster = Cluster::start(3, 2);
    fill(&cluster, 2, 40);
    let client = cluster.client(&[1, 2, 3]).await;
    let mut consumer = client.consumer(&topic_name(), to_end()).await.unwrap();
    let mut read = vec![consumer.next().await.unwrap().unwrap()];
    let (node, ..) = cluster.world().subscribed[0];
    cluster.stop_node(node.0).await;
    pass_time(&cluster);
    read.extend(rest(&mut consumer).await.unwrap());
    assert_eq!(places(&read), canonical(&cluster));
}

#[tokio::test]
async fn a_reader_leaves_a_node_that_stands_still_long_before_its_connection_ends() {
    let cluster = Cluster::start(3, 2);
    fill(&cluster, 2, 40);
    let client = cluster.client(&[1, 2, 3]).await;
    // Less than any other limit on a replica's silence.
    let options = ConsumerOptions { timeout: Duration::from_secs(2), ..to_end() };
    let mut consumer = client.consumer(&topic_name(), options).await.unwrap();
    let mut read = vec![consumer.next().await.unwrap().unwrap()];
    let (node, ..) = cluster.world().subscribed[0];
    cluster.change(|world| world.hung = Some(node));
    pass_time(&cluster);
    read.extend(rest(&mut consumer).await.unwrap());
    assert_eq!(places(&read), canonical(&cluster));
}

#[tokio::test]
async fn damaged_deliveries_are_never_handed_out() {
    let cluster = Cluster::start(2, 1);
    fill(&cluster, 1, 4);
    cluster.change(|world| world.damaging = Some(NodeId(1)));
    let mut any = consumer(&cluster, to_end()).await;
    pass_time(&cluster);
    assert_eq!(places(&rest(&mut any).await.unwrap()), canonical(&cluster));
    let mut only = consumer(&cluster, ConsumerOptions { node: Some(NodeId(1)), ..to_end() }).await;
    let error = only.next().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corruption);
    assert!(error.to_string().contains("shard 1"), "{error}");
}

#[tokio::test]
async fn a_named_node_is_the_only_one_read_and_waited_for() {
    let mut cluster = Cluster::start(3, 3);
    fill(&cluster, 3, 2);
    let options = ConsumerOptions { node: Some(NodeId(2)), timeout: Duration::from_millis(200), ..to_end() };
    let client = cluster.client(&[1, 3]).await;
    let mut consumer = client.consumer(&topic_name(), options).await.unwrap();
    assert!(consumer.next().await.unwrap().is_some());
    cluster.stop_node(2).await;
    let error = rest(&mut consumer).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(cluster.world().subscribed.iter().all(|(node, ..)| *node == NodeId(2)));
}

#[tokio::test]
async fn paused_shards_never_starve_the_one_that_is_waited_for() {
    let cluster = Cluster::start(1, 8);
    cluster.change(|world| {
        for shard in 1..=7 {
            let times: Vec<(u64, u64)> = (1..=40).map(|at| (20 * at, 10)).collect();
            world.shard(shard).frames = padded_frames_of(ShardId(shard), &times, 10_000);
            world.shard(shard).closed = 1000;
        }
    });
    let options = ConsumerOptions {
        until: Until::Closed(Timestamp(1000)),
        buffer_bytes_max: 1,
        ..ConsumerOptions::default()
    };
    let mut consumer = consumer(&cluster, options).await;
    let early = tokio::time::timeout(Duration::from_millis(300), consumer.next()).await;
    assert!(early.is_err(), "shard 8 said nothing yet, and the others' streams are full by now");
    cluster.change(|world| world.close_all(1000));
    assert_eq!(rest(&mut consumer).await.unwrap().len(), 7 * 40 * 10);
}

#[tokio::test]
async fn one_shard_is_read_alone_and_each_shard_without_waiting_for_others() {
    let cluster = Cluster::start(1, 3);
    fill(&cluster, 3, 5);
    let until = Until::Closed(Timestamp(150));
    let one = ConsumerOptions { order: Order::Shard(ShardId(2)), until, ..ConsumerOptions::default() };
    let read = rest(&mut consumer(&cluster, one).await).await.unwrap();
    assert_eq!(read.len(), 10);
    assert!(read.iter().all(|one| one.shard == ShardId(2)));
    let each = ConsumerOptions { order: Order::EachShard, until, ..ConsumerOptions::default() };
    let mut each = consumer(&cluster, each).await;
    let mut read = places(&rest(&mut each).await.unwrap());
    for shard in 1..=3 {
        assert!(read.iter().filter(|(_, of, _)| *of == shard).is_sorted(), "shard {shard} in its own order");
    }
    read.sort_unstable();
    assert_eq!(read, canonical(&cluster));
}

#[tokio::test]
async fn an_unordered_readers_cursor_never_leaves_a_record_out() {
    let cluster = Cluster::start(1, 3);
    fill(&cluster, 3, 4);
    let each = ConsumerOptions { order: Order::EachShard, ..ConsumerOptions::default() };
    let mut first = consumer(&cluster, each.clone()).await;
    let mut read = Vec::new();
    for _ in 0..13 {
        read.push(first.next().await.unwrap().unwrap());
    }
    let (from, until) = (Start::Cursor(first.cursor()), Until::Closed(Timestamp(140)));
    let mut second = consumer(&cluster, ConsumerOptions { from, until, ..each }).await;
    read.extend(rest(&mut second).await.unwrap());
    let mut read = places(&read);
    read.sort_unstable();
    read.dedup();
    assert_eq!(read, canonical(&cluster));
}

#[tokio::test]
async fn shards_and_nodes_that_do_not_exist_are_named() {
    let cluster = Cluster::start(1, 1);
    let client = cluster.client(&[1]).await;
    let options = ConsumerOptions { order: Order::Shard(ShardId(7)), ..ConsumerOptions::default() };
    let error = client.consumer(&topic_name(), options).await.err().unwrap();
    assert_eq!((error.kind(), error.to_string().contains("shard 7")), (Kind::NotFound, true));
    let options = ConsumerOptions { node: Some(NodeId(5)), ..ConsumerOptions::default() };
    let error = client.consumer(&topic_name(), options).await.unwrap().next().await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("node 5")), (Kind::NotFound, true));
    let other: TopicName = "other".parse().unwrap();
    let error = client.consumer(&other, ConsumerOptions::default()).await.err().unwrap();
    assert_eq!(error.kind(), Kind::NotFound);
}

/// Items up to the end: records as places, closed timestamps as they came.
async fn items(consumer: &mut Consumer) -> Vec<Item> {
    let mut all = Vec::new();
    while let Some(item) = consumer.next_item().await.unwrap() {
        all.push(item);
    }
    all
}

#[tokio::test]
async fn no_record_at_or_below_a_closed_item_follows_it() {
    for order in [Order::Merged, Order::EachShard, Order::Shard(ShardId(2))] {
        let cluster = Cluster::start(1, 3);
        fill(&cluster, 3, 8);
        let until = Until::Closed(Timestamp(1500));
        let mut consumer = consumer(&cluster, ConsumerOptions { until, order, ..Default::default() }).await;
        let mut items_read = vec![consumer.next_item().await.unwrap().unwrap()];
        pass_time(&cluster);
        items_read.extend(items(&mut consumer).await);
        let mut closed = Timestamp::ZERO;
        for item in &items_read {
            match item {
                Item::Closed(now) => closed = *now,
                other => assert!(other.timestamp() > closed, "{other:?} after {closed} was closed"),
            }
        }
        assert_eq!(items_read.last(), Some(&Item::Closed(Timestamp(1500))), "closed to the end of the read");
        let records = if order == Order::Shard(ShardId(2)) { 16 } else { 48 };
        assert_eq!(items_read.iter().filter(|item| matches!(item, Item::Record(_))).count(), records);
    }
}

#[tokio::test]
async fn closed_items_rise() {
    let cluster = Cluster::start(1, 3);
    fill(&cluster, 2, 3);
    let mut consumer = consumer(&cluster, ConsumerOptions::default()).await;
    let mut closed = Vec::new();
    for _ in 0..5 {
        loop {
            match consumer.next_item().await.unwrap().unwrap() {
                Item::Closed(now) => {
                    closed.push(now);
                    break;
                }
                item => assert!(matches!(item, Item::Record(_))),
            }
        }
        cluster.change(|world| world.close_all(world.now + 10));
    }
    assert!(closed.is_sorted_by(|a, b| a < b), "{closed:?}");
    // An idle topic's reader moves on with them: resuming there reads nothing again.
    assert_eq!(consumer.cursor(), Cursor::after(closed[4]));
}

#[tokio::test]
async fn a_seek_reads_on_from_any_cursor_and_forgets_an_error() {
    let cluster = Cluster::start(1, 3);
    fill(&cluster, 3, 3);
    let until = Until::Closed(Timestamp(120));
    let mut consumer = consumer(&cluster, ConsumerOptions { until, ..Default::default() }).await;
    let mut read = Vec::new();
    for _ in 0..5 {
        read.push(consumer.next().await.unwrap().unwrap());
    }
    let fifth = consumer.cursor();
    read.extend(rest(&mut consumer).await.unwrap());
    assert_eq!(places(&read), canonical(&cluster));
    consumer.seek(Cursor::BEGIN).unwrap();
    assert_eq!(rest(&mut consumer).await.unwrap(), read);
    consumer.seek(fifth).unwrap();
    assert_eq!(rest(&mut consumer).await.unwrap(), read[5..]);
    cluster.change(|world| world.damaging = Some(NodeId(1)));
    consumer.seek(fifth).unwrap();
    assert_eq!(rest(&mut consumer).await.unwrap_err().kind(), Kind::Corruption);
    cluster.change(|world| world.damaging = None);
    consumer.seek(fifth).unwrap();
    assert_eq!(rest(&mut consumer).await.unwrap(), read[5..]);
}

#[tokio::test]
async fn several_topics_are_merged_into_one_order_and_each_record_names_its_own() {
    let cluster = Cluster::start(1, 4);
    fill(&cluster, 4, 6);
    let other: TopicName = "payments".parse().unwrap();
    cluster.change(|world| world.beside = Some((other.clone(), ShardId(3))));
    let client = cluster.client(&[1]).await;
    let both = [topic_name(), other.clone()];
    let until = Until::Closed(Timestamp(160));
    let options = ConsumerOptions { until, ..Default::default() };
    let mut consumer = client.consumer(&both, options.clone()).await.unwrap();
    let read = rest(&mut consumer).await.unwrap();
    assert_eq!(places(&read), canonical(&cluster));
    for one in &read {
        let topic = &both[usize::from(one.shard >= ShardId(3))];
        assert_eq!((one.topic.as_ref(), consumer.topic_of(one.shard)), (topic, Some(topic)));
    }
    let mut alone = client.consumer(&other, options.clone()).await.unwrap();
    assert!(rest(&mut alone).await.unwrap().iter().all(|one| *one.topic == other));
    for bad in [vec![], vec![topic_name(), topic_name()]] {
        let error = client.consumer(&bad, options.clone()).await.err().unwrap();
        assert!(matches!(error, Error::Option { option: "topics", .. }), "{error}");
    }
}

#[tokio::test]
async fn a_key_range_is_read_from_the_shards_that_overlap_it_and_holds_nothing_else() {
    let cluster = Cluster::start(1, 3);
    cluster.change(|world| {
        world.split_at = Some(vec!["g".into(), "p".into()]);
        world.shard(1).frames = keyed_frames_of(&[(10, &["a", "e"]), (30, &["f"])]);
        world.shard(2).frames = keyed_frames_of(&[(20, &["g", "k", "o"]), (40, &["h"])]);
        world.shard(3).frames = keyed_frames_of(&[(25, &["p", "z"])]);
        world.close_all(100);
    });
    let keys_in = async |keys: KeyRange| {
        cluster.change(|world| world.subscribed.clear());
        let until = Until::Closed(Timestamp(100));
        let mut consumer =
            consumer(&cluster, ConsumerOptions { until, keys: Some(keys), ..Default::default() }).await;
        let read = rest(&mut consumer).await.unwrap();
        let read: Vec<String> =
            read.iter().map(|one| String::from_utf8_lossy(one.record.key.as_ref().unwrap()).into()).collect();
        let mut shards: Vec<u64> = cluster.world().subscribed.iter().map(|(_, shard, _)| shard.0).collect();
        shards.sort_unstable();
        (read.join(""), shards)
    };
    assert_eq!(keys_in(KeyRange::new("e", Some("k".into())).unwrap()).await, ("egfh".to_owned(), vec![1, 2]));
    assert_eq!(keys_in(KeyRange::new("h", None).unwrap()).await, ("kopzh".to_owned(), vec![2, 3]));
    assert_eq!(keys_in(KeyRange::only("p")).await, ("p".to_owned(), vec![3]));
}

#[tokio::test]
async fn records_that_are_not_wanted_hold_nobody_back() {
    let cluster = Cluster::start(1, 2);
    cluster.change(|world| {
        world.shard(1).frames = keyed_frames_of(&[(10, &["a"]), (90, &["a"])]);
        world.shard(2).frames = keyed_frames_of(&[(20, &["b"]), (80, &["b"])]);
    });
    let keys = Some(KeyRange::new("b", None).unwrap());
    let mut consumer = consumer(&cluster, ConsumerOptions { keys, ..Default::default() }).await;
    // Nothing was closed by any node: that shard 1 is past 20 is told by a record that is dropped.
    for expected in [(20, 2, 0), (80, 2, 1)] {
        let next = tokio::time::timeout(Duration::from_secs(10), consumer.next()).await;
        assert_eq!(places(&[next.expect("nobody is waited for").unwrap().unwrap()]), [expected]);
    }
}

/// Shard 1 was trimmed through 25, shard 2 never; the read begins at 15.
async fn trimmed(cluster: &Cluster, on_trimmed: OnTrimmed) -> Consumer {
    fill(cluster, 2, 5);
    cluster.change(|world| world.shard(1).trimmed_through = 25);
    let (from, until) = (Start::Time(Timestamp(15)), Until::Closed(Timestamp(150)));
    consumer(cluster, ConsumerOptions { from, until, on_trimmed, ..Default::default() }).await
}

#[tokio::test]
async fn a_reader_of_what_was_trimmed_is_told_from_where_on_it_is_kept() {
    let cluster = Cluster::start(1, 2);
    let mut consumer = trimmed(&cluster, OnTrimmed::Fail).await;
    let error = rest(&mut consumer).await.unwrap_err();
    let Error::Trimmed { shard: ShardId(1), kept_from: Offset(4), first } = error else { panic!("{error}") };
    assert_eq!((first, error.kind(), error.is_retryable()), (Timestamp(26), Kind::NotFound, false));
    // What it names can be read.
    consumer.seek(Cursor::after(first.minus_ns(1))).unwrap();
    let expected: Vec<_> = canonical(&cluster).into_iter().filter(|(t, ..)| *t >= 26).collect();
    assert_eq!(places(&rest(&mut consumer).await.unwrap()), expected);
}

#[tokio::test]
async fn what_was_trimmed_is_skipped_only_if_wanted_and_never_in_silence() {
    let cluster = Cluster::start(1, 2);
    let mut consumer = trimmed(&cluster, OnTrimmed::Earliest).await;
    let read = items(&mut consumer).await;
    let (from, through) = (Timestamp(15), Timestamp(25));
    let skipped = Skipped { shard: ShardId(1), from, through, kept_from: Offset(4) };
    let at = read.iter().position(|item| *item == Item::Skipped(skipped)).expect("a gap is named");
    assert!(read[..at].iter().all(|item| item.timestamp() < from), "before anything that follows the gap");
    let records: Vec<Consumed> = read
        .into_iter()
        .filter_map(|item| if let Item::Record(one) = item { Some(one) } else { None })
        .collect();
    let is_kept = |(t, shard, _): &(u64, u64, u64)| *t >= if *shard == 1 { 26 } else { 15 };
    let expected: Vec<_> = canonical(&cluster).into_iter().filter(is_kept).collect();
    assert_eq!(places(&records), expected);
}

#[tokio::test]
async fn a_reader_of_everything_begins_with_what_is_kept() {
    let cluster = Cluster::start(1, 2);
    drop(trimmed(&cluster, OnTrimmed::Fail).await);
    let until = Until::Closed(Timestamp(150));
    let mut consumer = consumer(&cluster, ConsumerOptions { until, ..Default::default() }).await;
    assert_eq!(rest(&mut consumer).await.unwrap().len(), 6 + 10);
}

#[tokio::test]
async fn a_cursor_of_other_topics_is_refused_and_a_time_is_not() {
    let cluster = Cluster::start(1, 2);
    fill(&cluster, 2, 3);
    let foreign = Cursor { timestamp: Timestamp(20), shard: ShardId(9) };
    let client = cluster.client(&[1]).await;
    let until = Until::Closed(Timestamp(130));
    let from = |cursor| ConsumerOptions { from: Start::Cursor(cursor), until, ..Default::default() };
    let error = client.consumer(&topic_name(), from(foreign)).await.err().unwrap();
    let named = matches!(error, Error::ForeignCursor { shard: ShardId(9), timestamp: Timestamp(20) });
    assert!(named && error.kind() == Kind::Usage, "{error}");
    let mut consumer = consumer(&cluster, from(Cursor::after(Timestamp(20)))).await;
    let first = consumer.next().await.unwrap().unwrap();
    assert_eq!(first.timestamp, Timestamp(21));
    // A refused seek leaves the read where it stood.
    assert!(consumer.seek(foreign).is_err());
    assert_eq!(rest(&mut consumer).await.unwrap().len(), 6);
}

#[tokio::test]
async fn every_replica_is_measured_before_one_is_chosen_and_one_that_is_down_delays_nothing() {
    let mut cluster = Cluster::start(3, 1);
    fill(&cluster, 1, 3);
    cluster.stop_node(3).await;
    let client = cluster.client(&[1]).await;
    let until = Until::Closed(Timestamp(130));
    let begun = tokio::time::Instant::now();
    let mut consumer =
        client.consumer(&topic_name(), ConsumerOptions { until, ..Default::default() }).await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "a connection to a node that is down takes 3 s to fail"
    );
    let is_measured = |node| client.core.rtt(NodeId(node)).is_some();
    assert_eq!([is_measured(1), is_measured(2), is_measured(3)], [true, true, false]);
    assert_eq!(rest(&mut consumer).await.unwrap().len(), 6);
    assert!(cluster.world().subscribed.iter().all(|(node, ..)| *node != NodeId(3)));
}
