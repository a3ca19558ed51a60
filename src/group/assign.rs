//! Who is to have which shard: as even as can be, with as little moved as that takes.
//!
//! A shard that moves is handed over: it stays with its owner until that one yields it. Invariants: after each assignment
//! the numbers of shards that members are to have differ by one at most; a join moves no more than the newcomer's share, an
//! end only what the one that left had or was to have.

use std::collections::{BTreeMap, BTreeSet};

use super::membership::{Place, Wanted};
use crate::types::{MemberId, ShardId};

/// Whose each shard is to be; `None` while that is open.
type Targets = BTreeMap<ShardId, Option<MemberId>>;

/// Gives every shard to one of the members, after some came or went. What changes hands does so in `generation`.
pub(super) fn assign(places: &mut BTreeMap<ShardId, Place>, members: &BTreeSet<MemberId>, generation: u64) {
    let mut targets = standing(places, members);
    if members.is_empty() {
        return;
    }
    let mut room = room(&targets, members);
    shed(&mut targets, places, &mut room);
    fill(&mut targets, places, &mut room);
    for (shard, target) in targets {
        let target = target.expect("quotas add up to all shards");
        places.get_mut(&shard).expect("targets are of places").go_to(target, generation);
    }
}

/// What stays as it is once those who are gone are forgotten.
fn standing(places: &mut BTreeMap<ShardId, Place>, members: &BTreeSet<MemberId>) -> Targets {
    let is_here = |member: &MemberId| members.contains(member);
    places
        .iter_mut()
        .map(|(shard, place)| {
            place.owner = place.owner.filter(is_here);
            let target = match place.wanted {
                Some(wanted) => Some(wanted.member).filter(is_here),
                None => place.owner,
            };
            if target.is_none() {
                place.wanted = None;
            }
            (*shard, target)
        })
        .collect()
}

/// What is missing to each one's share, less than 0 for who has more. What does not divide goes to those who have the most
/// already.
fn room(targets: &Targets, members: &BTreeSet<MemberId>) -> BTreeMap<MemberId, i64> {
    let mut counts: BTreeMap<MemberId, i64> = members.iter().map(|member| (*member, 0)).collect();
    for target in targets.values().flatten() {
        *counts.entry(*target).or_default() += 1;
    }
    let mut ranked: Vec<(MemberId, i64)> = counts.into_iter().collect();
    ranked.sort_by_key(|(member, count)| (-count, *member));
    let (share, left_over) = (targets.len() / members.len(), targets.len() % members.len());
    let missing = |(rank, (member, count)): (usize, (MemberId, i64))| {
        let quota = share + usize::from(rank < left_over);
        (member, i64::try_from(quota).expect("shards are few") - count)
    };
    ranked.into_iter().enumerate().map(missing).collect()
}

/// Opens what members have beyond their share: first what is still on its way to them.
fn shed(targets: &mut Targets, places: &BTreeMap<ShardId, Place>, room: &mut BTreeMap<MemberId, i64>) {
    for on_its_way in [true, false] {
        for (shard, target) in targets.iter_mut().rev() {
            if let Some(member) = *target
                && places[shard].wanted.is_some() == on_its_way
                && let Some(left) = room.get_mut(&member).filter(|left| **left < 0)
            {
                *left += 1;
                *target = None;
            }
        }
    }
}

/// Gives what is open to its owner, if that one has room, else to any who has.
fn fill(targets: &mut Targets, places: &BTreeMap<ShardId, Place>, room: &mut BTreeMap<MemberId, i64>) {
    for owners in [true, false] {
        for (shard, target) in targets.iter_mut().filter(|(_, target)| target.is_none()) {
            let has_room = |member: &MemberId| room[member] > 0;
            let chosen = if owners {
                places[shard].owner.filter(has_room)
            } else {
                room.keys().find(|member| has_room(member)).copied()
            };
            if let Some(chosen) = chosen {
                *room.get_mut(&chosen).expect("it was found there") -= 1;
                *target = Some(chosen);
            }
        }
    }
}

impl Place {
    fn go_to(&mut self, target: MemberId, generation: u64) {
        match self.owner {
            Some(owner) if owner == target => self.wanted = None,
            Some(_) if self.wanted.is_some_and(|wanted| wanted.member == target) => {}
            Some(_) => self.wanted = Some(Wanted { member: target, since: generation }),
            None => (self.owner, self.since, self.wanted) = (Some(target), generation, None),
        }
    }

    /// The one who waits for it has it now.
    pub(super) fn hand_over(&mut self, generation: u64) {
        if let Some(wanted) = self.wanted.take() {
            (self.owner, self.since) = (Some(wanted.member), generation);
        }
    }
}
