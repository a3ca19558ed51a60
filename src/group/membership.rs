//! One group, and what each change does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::assign::assign;
use super::record::{Change, Commit, Joining};
use crate::simulation::{Bug, is_planted};
use crate::types::{MemberId, ShardId, Timestamp, TopicName};

/// Members of one group.
pub const MEMBERS_MAX: usize = 256;
/// Topics of one group.
pub const TOPICS_MAX: usize = 16;
/// Shards of all topics of one group.
pub const SHARDS_MAX: usize = 4096;

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Rises whenever members come or go and shards change hands.
    pub generation: u64,
    /// What it reads: each topic's shards. Chosen by the first who joined.
    pub topics: BTreeMap<TopicName, Vec<ShardId>>,
    pub members: BTreeMap<MemberId, Member>,
    pub places: BTreeMap<ShardId, Place>,
}

/// Somebody who reads for the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What people know it by.
    pub name: String,
    /// It is dead once it was not heard for so long.
    pub session_timeout_ms: u32,
}

/// Where a group stands in a shard, and who reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub owner: Option<MemberId>,
    /// The generation in which the owner was given it.
    pub since: u64,
    /// Who is to have it once the owner yields.
    pub wanted: Option<Wanted>,
    /// The first timestamp that was not read.
    pub next: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub member: MemberId,
    /// The generation in which the owner was asked to yield.
    pub since: u64,
}

impl Member {
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.session_timeout_ms.into())
    }
}

impl Group {
    /// What `member` owns.
    pub fn held_by(&self, member: MemberId) -> impl Iterator<Item = (ShardId, &Place)> {
        self.places
            .iter()
            .filter(move |(_, place)| place.owner == Some(member))
            .map(|(shard, place)| (*shard, place))
    }

    /// Shards that changed hands as the newest generation began.
    pub fn moved_last(&self) -> usize {
        let is_new = |place: &&Place| place.owner.is_some() && place.since == self.generation;
        self.places.values().filter(is_new).count()
    }

    /// Whether a member may join for these topics: the group reads them, or none yet.
    pub fn reads(&self, topics: &BTreeMap<TopicName, Vec<ShardId>>) -> bool {
        self.topics.is_empty() || self.topics.keys().eq(topics.keys())
    }

    pub(super) fn fold(&mut self, change: Change) {
        match change {
            Change::Joined(joining) => self.join(joining),
            Change::Left { member } => self.leave(member),
            Change::Committed(commit) => self.commit(&commit),
            Change::Taken { member, generation } => self.take(member, generation),
            Change::Reset { to } if self.members.is_empty() => {
                self.generation += 1;
                self.places.values_mut().for_each(|place| place.next = to);
            }
            Change::Reset { .. } | Change::Deleted | Change::Whole { .. } => {}
        }
    }

    fn join(&mut self, joining: Joining) {
        let shards: usize = joining.topics.values().map(Vec::len).sum();
        let fits =
            self.members.len() < MEMBERS_MAX && joining.topics.len() <= TOPICS_MAX && shards <= SHARDS_MAX;
        if self.members.contains_key(&joining.member) || !self.reads(&joining.topics) || !fits {
            return;
        }
        for (topic, shards) in joining.topics {
            self.learn(topic, shards, joining.from);
        }
        let member = Member { name: joining.name, session_timeout_ms: joining.session_timeout_ms };
        self.members.insert(joining.member, member);
        self.share_out();
    }

    /// Takes a topic's shards for its own. A topic that was made anew has others, with higher ids, for shards are never numbered
    /// again: who still names the old ones only lags.
    fn learn(&mut self, topic: TopicName, shards: Vec<ShardId>, from: Timestamp) {
        let known = self.topics.entry(topic).or_default();
        if shards.first() <= known.first() {
            return;
        }
        for gone in std::mem::replace(known, shards) {
            self.places.remove(&gone);
        }
        for shard in known {
            self.places.entry(*shard).or_insert(Place { next: from, ..Place::default() });
        }
    }

    fn leave(&mut self, member: MemberId) {
        if self.members.remove(&member).is_some() {
            self.share_out();
        }
    }

    fn share_out(&mut self) {
        self.generation += 1;
        let members: BTreeSet<MemberId> = self.members.keys().copied().collect();
        assign(&mut self.places, &members, self.generation);
    }

    fn commit(&mut self, commit: &Commit) {
        for (shard, place) in &mut self.places {
            if place.counts(commit)
                && let Some(next) = commit.next_in(*shard)
            {
                let behind = if is_planted(Bug::GroupMovesBack) { Timestamp::ZERO } else { place.next };
                place.next = behind.max(next);
            }
        }
        let yields = |shard: &ShardId, place: &Place| place.counts(commit) && commit.yields.contains(shard);
        self.hand_over(yields);
    }

    fn take(&mut self, member: MemberId, generation: u64) {
        let is_late = |place: &Place| place.wanted.is_some_and(|wanted| wanted.since <= generation);
        self.hand_over(|_, place| place.owner == Some(member) && is_late(place));
    }

    /// Those that are wanted elsewhere of the shards chosen go there, all in one generation.
    fn hand_over(&mut self, chosen: impl Fn(&ShardId, &Place) -> bool) {
        let next = self.generation + 1;
        for (shard, place) in &mut self.places {
            if place.wanted.is_some() && chosen(shard, place) {
                place.hand_over(next);
                self.generation = next;
            }
        }
    }
}

impl Place {
    /// Whether a commit speaks of this shard: its member has owned it since the generation that it knows.
    fn counts(&self, commit: &Commit) -> bool {
        let is_owned = self.owner == Some(commit.member) || is_planted(Bug::CommitUnowned);
        is_owned && (self.since <= commit.generation || is_planted(Bug::StaleMemberCommits))
    }
}
