//! Laws of the fold, over any order of records.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::types::{GroupName, MemberId, Offset, ShardId, Timestamp, TopicName};

const SHARDS: u64 = 7;
const RECORD_BYTES: u64 = 100;

fn name(number: u8) -> GroupName {
    format!("g{number}").parse().unwrap()
}

fn topics(shards: u64) -> BTreeMap<TopicName, Vec<ShardId>> {
    BTreeMap::from([("events".parse().unwrap(), (1..=shards).map(ShardId).collect())])
}

fn joined(member: u64, shards: u64, from: u64) -> Change {
    Change::Joined(Joining {
        member: MemberId(member),
        name: format!("m{member}"),
        session_timeout_ms: 1000,
        topics: topics(shards),
        from: Timestamp(from),
    })
}

fn left(member: u64) -> Change {
    Change::Left { member: MemberId(member) }
}

fn committed(member: u64, generation: u64, read: (u64, u64), yields: &[u64]) -> Change {
    let read = Some((Timestamp(read.0), ShardId(read.1)));
    let yields = yields.iter().copied().map(ShardId).collect();
    Change::Committed(Commit { member: MemberId(member), generation, read, yields })
}

/// One group over a fold of its own.
struct Story {
    groups: Groups,
    log: Vec<GroupRecord>,
}

impl Story {
    fn new() -> Self {
        let mut story = Self { groups: Groups::default(), log: Vec::new() };
        story.add(0, Change::Whole { at: Offset(0), group: Group::default() });
        story
    }

    fn add(&mut self, group: u8, change: Change) {
        let record = GroupRecord { group: name(group), change };
        self.log.push(record.clone());
        self.groups.fold(self.groups.next(), RECORD_BYTES, record);
    }

    fn group(&self) -> &Group {
        self.groups.get(&name(0)).expect("it was founded")
    }

    fn owner(&self, shard: u64) -> Option<u64> {
        self.group().places[&ShardId(shard)].owner.map(|member| member.0)
    }

    fn next(&self, shard: u64) -> u64 {
        self.group().places[&ShardId(shard)].next.0
    }
}

/// Whose each shard is to be.
fn targets(group: &Group) -> BTreeMap<ShardId, Option<MemberId>> {
    let target = |place: &Place| place.wanted.map(|wanted| wanted.member).or(place.owner);
    group.places.iter().map(|(shard, place)| (*shard, target(place))).collect()
}

fn check(group: &Group) {
    let targets = targets(group);
    for (shard, place) in &group.places {
        let is_member = |member: MemberId| group.members.contains_key(&member);
        assert_eq!(place.owner.is_some(), !group.members.is_empty(), "shard {shard} has an owner");
        assert!(place.owner.is_none_or(is_member), "the owner of shard {shard} is here");
        assert!(place.wanted.is_none_or(|wanted| is_member(wanted.member)));
        assert!(place.wanted.is_none_or(|wanted| Some(wanted.member) != place.owner));
        assert!(place.since <= group.generation);
    }
    let count = |member: &MemberId| targets.values().filter(|target| **target == Some(*member)).count();
    let counts: Vec<usize> = group.members.keys().map(count).collect();
    let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
    assert!(most - least <= 1, "{counts:?}");
}

/// What of the group may change with a change, whatever else came before.
fn check_step(before: &Group, change: &Change, after: &Group) {
    check(after);
    let (was, is) = (targets(before), targets(after));
    let moved: Vec<&ShardId> =
        is.iter().filter(|(shard, target)| was.get(shard) != Some(target)).map(|(shard, _)| shard).collect();
    let members = after.members.len().max(1);
    match change {
        Change::Joined(_) if !before.members.is_empty() => {
            assert!(moved.len() <= is.len().div_ceil(members), "a join moved {moved:?}");
        }
        Change::Joined(_) => {}
        Change::Left { member } => {
            assert!(moved.iter().all(|shard| was[*shard] == Some(*member)), "an end moved {moved:?}");
        }
        _ => assert!(moved.is_empty(), "{change:?} moved {moved:?}"),
    }
    for (shard, place) in &after.places {
        let Some(old) = before.places.get(shard) else { continue };
        let resets = matches!(change, Change::Reset { .. }) && before.members.is_empty();
        assert!(resets || place.next >= old.next, "the position in shard {shard} fell by {change:?}");
        let Change::Committed(commit) = change else {
            assert!(resets || place.next == old.next, "only commits move positions");
            continue;
        };
        let counts = old.owner == Some(commit.member) && old.since <= commit.generation;
        assert!(counts || place == old, "{commit:?} moved shard {shard}, which was not its member's then");
    }
    assert!(after.generation >= before.generation);
    let ownership = |group: &Group| group.places.values().map(|place| place.owner).collect::<Vec<_>>();
    assert!(ownership(before) == ownership(after) || after.generation > before.generation);
}

fn changes() -> impl Strategy<Value = Change> {
    let member = 1_u64..6;
    prop_oneof![
        4 => (member.clone(), 5..=SHARDS, 0_u64..20).prop_map(|(member, shards, from)| joined(member, shards, from)),
        2 => member.clone().prop_map(left),
        6 => (member.clone(), 0_u64..30, (0_u64..40, 0..=SHARDS), prop::collection::vec(1..=SHARDS, 0..4))
            .prop_map(|(member, generation, read, yields)| committed(member, generation, read, &yields)),
        2 => (member, 0_u64..30)
            .prop_map(|(member, generation)| Change::Taken { member: MemberId(member), generation }),
        1 => (0_u64..40).prop_map(|to| Change::Reset { to: Timestamp(to) }),
    ]
}

/// Changes of three groups; a whole record is made of the fold so many records before it stands.
#[derive(Clone, Debug)]
enum Step {
    Change(u8, Change),
    Delete(u8),
    Whole { group: u8, back: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_u8..3, changes()).prop_map(|(group, change)| Step::Change(group, change)),
        1 => (0_u8..3).prop_map(Step::Delete),
        3 => (0_u8..3, 0_usize..3).prop_map(|(group, back)| Step::Whole { group, back }),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn shards_have_one_owner_each_shares_are_even_and_little_moves(changes in prop::collection::vec(changes(), 1..60)) {
        let mut story = Story::new();
        for change in changes {
            let before = story.group().clone();
            story.add(0, change.clone());
            check_step(&before, &change, story.group());
        }
    }

    #[test]
    fn a_fold_that_begins_before_a_whole_record_was_made_comes_to_the_same_group(steps in steps(), start in 0_usize..60) {
        let mut story = Story::new();
        let mut folds = vec![story.groups.clone()];
        // What the last whole record that counted was made of: a fold that begins there or before knows the group.
        let mut made_of: BTreeMap<GroupName, Offset> = BTreeMap::new();
        for step in steps {
            let (group, change) = match step {
                Step::Change(group, change) => (group, change),
                Step::Delete(group) => (group, Change::Deleted),
                Step::Whole { group, back } => {
                    let fold = &folds[folds.len().saturating_sub(back + 1)];
                    let whole = fold.get(&name(group)).cloned().unwrap_or_default();
                    (group, Change::Whole { at: fold.next(), group: whole })
                }
            };
            let was = story.groups.get(&name(group)).cloned();
            story.add(group, change.clone());
            let is = story.groups.get(&name(group));
            if let Change::Whole { at, .. } = change {
                prop_assert!(was.is_none() || was.as_ref() == is, "writing a group whole changes nothing");
                if story.groups.was_just_made_whole(&name(group)) {
                    made_of.insert(name(group), at);
                }
            }
            folds.push(story.groups.clone());
        }
        made_of.retain(|group, _| story.groups.get(group).is_some());
        let start = start.min(story.log.len());
        let mut later = Groups::from(Offset(start as u64));
        for record in &story.log[start..] {
            later.fold(later.next(), RECORD_BYTES, record.clone());
        }
        for (group, at) in made_of {
            if Offset(start as u64) <= at {
                prop_assert_eq!(later.get(&group), story.groups.get(&group), "{} from {}", group, start);
            }
        }
    }
}

#[test]
fn a_commit_does_not_count_for_a_shard_that_its_member_was_given_later() {
    let mut story = Story::new();
    story.add(0, joined(1, 2, 0));
    story.add(0, joined(2, 2, 0));
    let generation = story.group().generation;
    let (mine, others) = if story.group().places[&ShardId(1)].wanted.is_none() { (1, 2) } else { (2, 1) };
    story.add(0, committed(1, generation, (5, SHARDS), &[others]));
    let known = story.group().generation;
    assert_eq!(story.owner(others), Some(2));
    story.add(0, left(2));
    assert_eq!((story.owner(others), story.next(others)), (Some(1), 6));
    // What member 1 had read when it did not have that shard says nothing of it.
    story.add(0, committed(1, known, (50, SHARDS), &[]));
    assert_eq!((story.next(mine), story.next(others)), (51, 6));
}

#[test]
fn no_commit_of_a_member_counts_after_its_end_nor_of_one_that_was_made_to_yield() {
    let mut story = Story::new();
    story.add(0, joined(1, 2, 3));
    story.add(0, left(1));
    story.add(0, committed(1, 99, (50, SHARDS), &[]));
    assert_eq!((story.next(1), story.next(2)), (3, 3));
    story.add(0, joined(2, 2, 9));
    story.add(0, joined(3, 2, 9));
    let asked = story.group().generation;
    story.add(0, Change::Taken { member: MemberId(2), generation: asked - 1 });
    assert_eq!(story.group().held_by(MemberId(3)).count(), 0, "it was not asked yet by then");
    story.add(0, Change::Taken { member: MemberId(2), generation: asked });
    let (taken, _) = story.group().held_by(MemberId(3)).next().expect("it was taken");
    story.add(0, committed(2, asked, (70, SHARDS), &[]));
    assert_eq!(story.next(taken.0), 3);
}

#[test]
fn a_topic_made_anew_is_begun_anew_and_whoever_lags_does_not_bring_the_old_one_back() {
    let anew = |member, first: u64| {
        let Change::Joined(joining) = joined(member, 0, 7) else { unreachable!("a join is a join") };
        let shards = vec![ShardId(first), ShardId(first + 1)];
        Change::Joined(Joining { topics: BTreeMap::from([("events".parse().unwrap(), shards)]), ..joining })
    };
    let mut story = Story::new();
    story.add(0, anew(1, 1));
    story.add(0, committed(1, 9, (50, 9), &[]));
    story.add(0, anew(2, 11));
    story.add(0, anew(3, 1));
    let shards: Vec<u64> = story.group().places.keys().map(|shard| shard.0).collect();
    assert_eq!((shards, story.next(11)), (vec![11, 12], 7));
    let Change::Joined(other) = joined(4, 2, 0) else { unreachable!("a join is a join") };
    let topics = BTreeMap::from([("others".parse().unwrap(), vec![ShardId(90)])]);
    story.add(0, Change::Joined(Joining { topics, ..other }));
    assert!(!story.group().members.contains_key(&MemberId(4)), "a group reads the topics it was made for");
}

#[test]
fn a_group_with_members_is_neither_reset_nor_deleted_and_one_without_is() {
    let mut story = Story::new();
    story.add(0, joined(1, 2, 3));
    story.add(0, Change::Reset { to: Timestamp(1) });
    story.add(0, Change::Deleted);
    assert_eq!(story.next(1), 3);
    story.add(0, left(1));
    story.add(0, Change::Reset { to: Timestamp(1) });
    assert_eq!(story.next(1), 1);
    let at = story.groups.next();
    story.add(0, Change::Deleted);
    assert_eq!(story.groups.get(&name(0)), None);
    story.add(0, Change::Whole { at, group: Group::default() });
    assert_eq!(story.groups.get(&name(0)), None, "made of what was before the end");
}
