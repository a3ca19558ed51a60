//! Which members a coordinator has not heard for too long, and who was asked to yield and does not.
//!
//! Knows nothing of appends; time is one node's monotonic clock. Invariants: nobody is given up sooner than a whole session timeout after this coordinator began
//! to lead, and after it last was kept from looking; what is due stays due until the fold shows that it is done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Change, Group, GroupRecord, Groups, Member};
use crate::simulation::{Bug, is_planted};
use crate::types::{GroupName, MemberId, Monotonic, ShardId};

/// A coordinator that did not look for so long was stopped, or its node was: it may have missed what members said.
const STALL: Duration = Duration::from_millis(400);
/// What is appended at once.
const DUE_MAX: usize = 64;
/// Shards and members of the groups that are written whole at once: more than the largest group has, some hundred bytes each.
const WHOLE_MAX: usize = 8192;

/// When groups are written whole, by how much of its log a shard keeps.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Every group is written whole again once so much stands behind its last whole record.
    pub whole_every_bytes: u64,
    /// No group of a shard is changed while one of them was not written whole for so long.
    pub unwhole_bytes_max: u64,
}

/// What a coordinator knows of members beyond the log.
pub struct Liveness {
    leading_since: Option<Monotonic>,
    looked: Monotonic,
    watched: BTreeMap<GroupName, Watched>,
    keeping: Keeping,
}

/// One group's members.
#[derive(Default)]
struct Watched {
    heard: BTreeMap<MemberId, Monotonic>,
    /// Since when which shard is to be yielded, by the generation in which that was asked.
    asked: BTreeMap<ShardId, (u64, Monotonic)>,
}

impl Keeping {
    /// Of a shard that keeps so much at least, however it is cut into segments.
    pub fn of(kept_bytes: u64) -> Self {
        Self { whole_every_bytes: kept_bytes / 4, unwhole_bytes_max: kept_bytes / 2 }
    }
}

impl Liveness {
    pub fn new(now: Monotonic, keeping: Keeping) -> Self {
        Self { leading_since: None, looked: now, watched: BTreeMap::new(), keeping }
    }

    /// A member spoke.
    pub fn hear(&mut self, group: &GroupName, member: MemberId, now: Monotonic) {
        if let Some(heard) = self.watched.get_mut(group).and_then(|watched| watched.heard.get_mut(&member)) {
            *heard = now;
        }
    }

    /// Looks at everybody: what is to be appended about members that fell silent, and of groups that were not written whole for
    /// long. `leading_since` tells one reign from another; nothing is due of who does not lead.
    pub fn due(
        &mut self,
        now: Monotonic,
        leading_since: Option<Monotonic>,
        groups: &Groups,
    ) -> Vec<GroupRecord> {
        if leading_since != self.leading_since || now.since(self.looked) > STALL {
            self.watched.clear();
        }
        (self.leading_since, self.looked) = (leading_since, now);
        if leading_since.is_none() {
            return Vec::new();
        }
        let with_members = |name: &GroupName| groups.get(name).is_some_and(|group| !group.members.is_empty());
        self.watched.retain(|name, _| with_members(name));
        let mut due = Vec::new();
        for (name, group) in groups.iter().filter(|(_, group)| !group.members.is_empty()) {
            if !self.watched.contains_key(name) {
                self.watched.insert(name.clone(), Watched::default());
            }
            let watched = self.watched.get_mut(name).expect("it was put there");
            due.extend(watched.due(group, now).map(|change| GroupRecord { group: name.clone(), change }));
        }
        due.truncate(DUE_MAX);
        due.extend(whole(groups, self.keeping.whole_every_bytes));
        due
    }
}

/// Groups that are to be written whole again, as many as fit well into one batch.
fn whole(groups: &Groups, every_bytes: u64) -> impl Iterator<Item = GroupRecord> {
    let mut weight = 0;
    let stale = groups.not_whole_for(every_bytes).take_while(move |(_, group)| {
        weight += 1 + group.places.len() + group.members.len();
        weight <= WHOLE_MAX
    });
    stale.map(|(name, group)| {
        let change = Change::Whole { at: groups.next(), group: group.clone() };
        GroupRecord { group: name.clone(), change }
    })
}

impl Watched {
    fn due(&mut self, group: &Group, now: Monotonic) -> impl Iterator<Item = Change> {
        self.heard.retain(|member, _| group.members.contains_key(member));
        let mut due = Vec::new();
        for (member, known) in &group.members {
            let heard = *self.heard.entry(*member).or_insert(now);
            if now.since(heard) > known.timeout() && !is_planted(Bug::DeadMembersStay) {
                due.push(Change::Left { member: *member });
            }
        }
        let wanted = |shard: &ShardId| group.places.get(shard).and_then(|place| place.wanted);
        self.asked.retain(|shard, (since, _)| wanted(shard).is_some_and(|wanted| wanted.since == *since));
        for (shard, place) in &group.places {
            let (Some(wanted), Some(owner)) = (place.wanted, place.owner) else { continue };
            let (generation, asked) = *self.asked.entry(*shard).or_insert((wanted.since, now));
            let timeout = group.members.get(&owner).map_or(Duration::ZERO, Member::timeout);
            let taken = Change::Taken { member: owner, generation };
            if now.since(asked) > timeout && !due.contains(&taken) {
                due.push(taken);
            }
        }
        due.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Joining;
    use crate::types::{Offset, Timestamp};

    const MS: Duration = Duration::from_millis(1);

    /// A group of members with a timeout of 1 s and two shards; everybody is looked at every 100 ms.
    struct Story {
        groups: Groups,
        liveness: Liveness,
        began: Monotonic,
        now_ms: u32,
    }

    impl Story {
        fn new() -> Self {
            let began = Monotonic(0);
            let mut story = Self {
                groups: Groups::default(),
                liveness: Liveness::new(began, Keeping::of(4 << 20)),
                began,
                now_ms: 0,
            };
            story.fold(Change::Whole { at: Offset(0), group: Group::default() });
            story
        }

        fn fold(&mut self, change: Change) {
            let record = GroupRecord { group: name(), change };
            self.groups.fold(self.groups.next(), 1, record);
        }

        fn join(&mut self, member: u64) {
            let topics = BTreeMap::from([("t".parse().unwrap(), vec![ShardId(1), ShardId(2)])]);
            let joining = Joining {
                member: MemberId(member),
                name: String::new(),
                session_timeout_ms: 1000,
                topics,
                from: Timestamp(0),
            };
            self.fold(Change::Joined(joining));
        }

        fn look(&mut self, reign: u64) -> Vec<Change> {
            let now = self.began.plus(MS * self.now_ms);
            let due = self.liveness.due(now, Some(Monotonic(reign)), &self.groups);
            due.into_iter().map(|record| record.change).collect()
        }

        /// Looks on until something is due, hearing of `lively` ones; after how many ms.
        fn until_due(&mut self, reign: u64, lively: &[u64]) -> (u32, Vec<Change>) {
            let began_ms = self.now_ms;
            loop {
                let now = self.began.plus(MS * self.now_ms);
                for member in lively {
                    self.liveness.hear(&name(), MemberId(*member), now);
                }
                let due = self.look(reign);
                if !due.is_empty() || self.now_ms - began_ms > 5000 {
                    return (self.now_ms - began_ms, due);
                }
                self.now_ms += 100;
            }
        }
    }

    fn name() -> GroupName {
        "g".parse().unwrap()
    }

    #[test]
    fn a_member_that_is_not_heard_for_its_timeout_is_given_up_and_others_are_not() {
        let mut story = Story::new();
        story.join(1);
        let (after_ms, due) = story.until_due(1, &[]);
        assert_eq!((after_ms, due), (1100, vec![Change::Left { member: MemberId(1) }]));
        story.join(2);
        let (_, due) = story.until_due(1, &[2]);
        assert!(!due.contains(&Change::Left { member: MemberId(2) }), "{due:?}");
    }

    #[test]
    fn a_new_reign_and_a_coordinator_that_was_stopped_give_a_whole_timeout() {
        let mut story = Story::new();
        story.join(1);
        story.look(1);
        story.now_ms = 900;
        assert_eq!(story.until_due(2, &[]).0, 1100, "another reign");
        story.now_ms += 60_000;
        assert_eq!(story.until_due(2, &[]).0, 1100, "it was stopped for a minute");
    }

    #[test]
    fn a_group_is_written_whole_before_the_log_forgets_it() {
        let mut story = Story::new();
        story.join(1);
        assert_eq!(story.look(1), []);
        let record = GroupRecord { group: name(), change: Change::Reset { to: Timestamp(1) } };
        story.groups.fold(story.groups.next(), 1 << 20, record);
        let whole = Change::Whole {
            at: story.groups.next(),
            group: story.groups.get(&name()).cloned().expect("it was founded"),
        };
        assert_eq!(story.look(1), std::slice::from_ref(&whole));
        story.fold(whole);
        assert_eq!(story.look(1), []);
    }

    #[test]
    fn what_is_not_yielded_in_time_is_taken_from_a_member_that_lives() {
        let mut story = Story::new();
        story.join(1);
        story.join(2);
        let generation = story.groups.get(&name()).unwrap().generation;
        let (after_ms, due) = story.until_due(1, &[1, 2]);
        assert_eq!((after_ms, due), (1100, vec![Change::Taken { member: MemberId(1), generation }]));
        story.fold(Change::Taken { member: MemberId(1), generation });
        assert_eq!(story.until_due(1, &[1, 2]).1, []);
    }
}
