//! Laws of the fold.

use bytes::Bytes;
use proptest::prelude::*;

use super::view::{FIRST_REPLICA, Ignored};
use super::{Folded, PlanError, TopicPlan, View};
use crate::types::{Durability, Index, NodeId, Offset, Retention, ShardId, Timestamp};
use crate::wire::{RegisterNode, SystemChange, SystemRecord};

fn nodes() -> Vec<NodeId> {
    vec![NodeId(1), NodeId(2), NodeId(3)]
}

fn wish(name: &str, shards: u32) -> TopicPlan {
    let durability = Durability::Disk;
    TopicPlan {
        name: name.parse().unwrap(),
        shards,
        replicas: 3,
        split_at: None,
        durability,
        retention: Retention::default(),
    }
}

fn create(view: &mut View, name: &str, shards: u32, at: u64) -> Folded {
    let record = wish(name, shards).record(view, &nodes()).unwrap();
    view.fold(&record.encoded(), Timestamp(at))
}

#[test]
fn a_planned_topic_folds_to_itself() {
    let mut view = View::default();
    let Folded::TopicCreated(topic) = create(&mut view, "flights", 4, 77) else { panic!("not created") };
    assert_eq!(view.topic_named(&topic.name), Some(&topic));
    assert_eq!(topic.created, Timestamp(77));
    assert_eq!(topic.shards.iter().map(|shard| shard.id.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(topic.shards[2].hash_start, 1 << 63);
    let leaders: Vec<u64> = topic.shards.iter().map(|shard| shard.replicas[0].node.0).collect();
    assert_eq!(leaders, [2, 3, 1, 2]);
    let (of, shard) = view.shard(ShardId(3)).unwrap();
    assert_eq!((of.id, shard.id), (topic.id, ShardId(3)));
}

#[test]
fn of_two_topics_planned_on_one_view_the_second_changes_nothing() {
    let mut view = View::default();
    let first = wish("a", 1).record(&view, &nodes()).unwrap();
    let same_name = wish("a", 2).record(&view, &nodes()).unwrap();
    let other_name = wish("b", 2).record(&view, &nodes()).unwrap();
    view.fold(&first.encoded(), Timestamp(1));
    let after_first = view.clone();
    assert_eq!(view.fold(&same_name.encoded(), Timestamp(2)), Folded::Ignored(Ignored::NameTaken));
    let out_of_step = Ignored::OutOfStep { what: "topic", found: 1, expected: 2 };
    assert_eq!(view.fold(&other_name.encoded(), Timestamp(3)), Folded::Ignored(out_of_step));
    assert_eq!(view, after_first);
}

#[test]
fn ids_are_not_reused_after_a_delete() {
    let mut view = View::default();
    create(&mut view, "a", 2, 1);
    let topic = view.topic_named(&"a".parse().unwrap()).unwrap().clone();
    assert_eq!(view.fold(&topic.deletion().encoded(), Timestamp(2)), Folded::TopicDeleted(topic.clone()));
    assert!(view.shard(ShardId(1)).is_none());
    let Folded::TopicCreated(again) = create(&mut view, "a", 1, 3) else { panic!("not created") };
    assert_eq!((again.id.0, again.shards[0].id.0), (2, 3));
    assert_eq!(again.shards[0].replicas[0].replica.0, FIRST_REPLICA + 6);
    assert!(matches!(
        view.fold(&topic.deletion().encoded(), Timestamp(4)),
        Folded::Ignored(Ignored::UnknownTopic(_))
    ));
}

#[test]
fn bytes_that_are_no_system_record_change_nothing() {
    let mut view = View::default();
    for bytes in [&b""[..], b"\xff\xff\xff", b"\xfa\x01\x00"] {
        assert!(
            matches!(view.fold(bytes, Timestamp(1)), Folded::Ignored(Ignored::Malformed(_))),
            "{bytes:?}"
        );
    }
    assert_eq!(view, View::default());
}

#[test]
fn split_keys_that_do_not_rise_or_do_not_match_are_refused() {
    let plan = |shards, keys: &[&'static [u8]]| {
        let split_at = Some(keys.iter().map(|key| Bytes::from_static(key)).collect());
        TopicPlan { split_at, ..wish("a", shards) }.record(&View::default(), &nodes())
    };
    assert_eq!(plan(3, &[b"g", b"g"]).unwrap_err(), PlanError::SplitOrder { at: 1 });
    assert_eq!(plan(2, &[b""]).unwrap_err(), PlanError::SplitOrder { at: 0 });
    assert!(matches!(plan(2, &[b"g", b"h"]).unwrap_err(), PlanError::SplitCount { would_be: 3, .. }));
    assert!(matches!(plan(0, &[]).unwrap_err(), PlanError::ShardCount(0)));
    let mut view = View::default();
    view.fold(&plan(3, &[b"g", b"p"]).unwrap().encoded(), Timestamp(1));
    let starts: Vec<_> = view.topics().flat_map(|topic| &topic.shards).map(|s| s.key_start.clone()).collect();
    assert_eq!(starts, ["", "g", "p"]);
}

#[test]
fn more_replicas_than_nodes_are_refused_and_none_named_means_up_to_three() {
    let plan =
        |replicas, nodes: &[NodeId]| TopicPlan { replicas, ..wish("a", 1) }.record(&View::default(), nodes);
    assert!(matches!(plan(4, &nodes()).unwrap_err(), PlanError::Placement { .. }));
    let mut view = View::default();
    view.fold(&plan(0, &[NodeId(1), NodeId(2)]).unwrap().encoded(), Timestamp(1));
    assert_eq!(view.shard(ShardId(1)).unwrap().1.replicas.len(), 2);
}

#[test]
#[should_panic(expected = "folded in order")]
fn a_frame_is_not_folded_twice() {
    let mut view = View::default();
    view.advance(Index(4), Offset(1));
    view.advance(Index(4), Offset(1));
}

proptest! {
    #[test]
    fn every_node_that_folds_the_same_records_has_the_same_view(
        steps in prop::collection::vec((0_u8..4, 0_u8..5, 1_u32..6), 1..40),
    ) {
        let (mut planner, mut stale) = (View::default(), View::default());
        let mut log = Vec::new();
        for (kind, name, shards) in steps {
            let name = format!("t{name}");
            let record = match kind {
                0 => wish(&name, shards).record(&planner, &nodes()).ok(),
                1 => wish(&name, shards).record(&stale, &nodes()).ok(),
                2 => stale.topic_named(&name.parse().unwrap()).map(|topic| topic.deletion()),
                _ => {
                    let register = RegisterNode { node: shards.into(), address: name };
                    Some(SystemRecord::new(SystemChange::RegisterNode(register)))
                }
            };
            let Some(record) = record else { stale = planner.clone(); continue };
            planner.fold(&record.encoded(), Timestamp(log.len() as u64));
            log.push(record.encoded());
        }
        let mut replayed = View::default();
        for (at, value) in log.iter().enumerate() {
            replayed.fold(value, Timestamp(at as u64));
        }
        prop_assert_eq!(&replayed, &planner);
        let mut shards: Vec<_> = replayed.topics().flat_map(|topic| &topic.shards).map(|s| s.id).collect();
        let count = shards.len();
        shards.sort_unstable();
        shards.dedup();
        prop_assert_eq!(shards.len(), count);
    }
}
