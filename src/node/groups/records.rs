//! Changes of groups as the values of records, and back. A value that is none is stepped over by every node alike.

use bytes::Bytes;

use crate::group::{Change, Commit, Group, GroupRecord, Joining, Member, Place, Wanted};
use crate::types::{MemberId, Offset, ShardId, Timestamp, TopicName};
use crate::wire::{
    GroupChange, GroupCommitted, GroupJoined, GroupLogRecord, GroupTaken, GroupTopic, GroupWhole, ReadPlace,
    WholeMember, WholePlace,
};

/// A change as a record's value.
pub(crate) fn encoded(record: &GroupRecord) -> Bytes {
    let change = match &record.change {
        Change::Joined(joining) => GroupChange::Joined(GroupJoined {
            member: joining.member.0,
            name: joining.name.clone(),
            session_timeout_ms: joining.session_timeout_ms,
            topics: joining.topics.iter().map(topic_body).collect(),
            from_ns: joining.from.0,
        }),
        Change::Left { member } => GroupChange::Left(member.0),
        Change::Committed(commit) => GroupChange::Committed(GroupCommitted {
            member: commit.member.0,
            generation: commit.generation,
            read: commit
                .read
                .map(|(timestamp, shard)| ReadPlace { timestamp_ns: timestamp.0, shard: shard.0 }),
            yields: commit.yields.iter().map(|shard| shard.0).collect(),
        }),
        Change::Taken { member, generation } => {
            GroupChange::Taken(GroupTaken { member: member.0, generation: *generation })
        }
        Change::Reset { to } => GroupChange::Reset(to.0),
        Change::Deleted => GroupChange::Deleted(true),
        Change::Whole { at, group } => GroupChange::Whole(whole_body(*at, group)),
    };
    GroupLogRecord { group: record.group.to_string(), change: Some(change) }.encoded()
}

/// A record's value as a change; `None` if it is none that this build knows.
pub(super) fn decoded(value: &[u8]) -> Option<GroupRecord> {
    let GroupLogRecord { group, change } = GroupLogRecord::decoded(value)?;
    let change = match change? {
        GroupChange::Joined(joined) => Change::Joined(Joining {
            member: MemberId(joined.member),
            name: joined.name,
            session_timeout_ms: joined.session_timeout_ms,
            topics: joined.topics.into_iter().map(topic_of).collect::<Option<_>>()?,
            from: Timestamp(joined.from_ns),
        }),
        GroupChange::Left(member) => Change::Left { member: MemberId(member) },
        GroupChange::Committed(body) => Change::Committed(Commit {
            member: MemberId(body.member),
            generation: body.generation,
            read: body.read.map(|read| (Timestamp(read.timestamp_ns), ShardId(read.shard))),
            yields: body.yields.into_iter().map(ShardId).collect(),
        }),
        GroupChange::Taken(body) => {
            Change::Taken { member: MemberId(body.member), generation: body.generation }
        }
        GroupChange::Reset(to) => Change::Reset { to: Timestamp(to) },
        GroupChange::Deleted(_) => Change::Deleted,
        GroupChange::Whole(whole) => Change::Whole { at: Offset(whole.at), group: group_of(whole)? },
    };
    Some(GroupRecord { group: group.parse().ok()?, change })
}

fn topic_body((name, shards): (&TopicName, &Vec<ShardId>)) -> GroupTopic {
    GroupTopic { name: name.to_string(), shards: shards.iter().map(|shard| shard.0).collect() }
}

fn topic_of(topic: GroupTopic) -> Option<(TopicName, Vec<ShardId>)> {
    Some((topic.name.parse().ok()?, topic.shards.into_iter().map(ShardId).collect()))
}

fn whole_body(at: Offset, group: &Group) -> GroupWhole {
    let members = group.members.iter().map(|(member, known)| WholeMember {
        member: member.0,
        name: known.name.clone(),
        session_timeout_ms: known.session_timeout_ms,
    });
    let places = group.places.iter().map(|(shard, place)| WholePlace {
        shard: shard.0,
        owner: place.owner.map_or(0, |owner| owner.0),
        since: place.since,
        wanted_by: place.wanted.map_or(0, |wanted| wanted.member.0),
        wanted_since: place.wanted.map_or(0, |wanted| wanted.since),
        next_ns: place.next.0,
    });
    GroupWhole {
        at: at.0,
        generation: group.generation,
        topics: group.topics.iter().map(topic_body).collect(),
        members: members.collect(),
        places: places.collect(),
    }
}

fn group_of(whole: GroupWhole) -> Option<Group> {
    let somebody = |member: u64| (member != 0).then_some(MemberId(member));
    let members = whole.members.into_iter().map(|member| {
        let known = Member { name: member.name, session_timeout_ms: member.session_timeout_ms };
        (MemberId(member.member), known)
    });
    let places = whole.places.into_iter().map(|place| {
        let wanted = somebody(place.wanted_by).map(|member| Wanted { member, since: place.wanted_since });
        let (owner, since, next) = (somebody(place.owner), place.since, Timestamp(place.next_ns));
        (ShardId(place.shard), Place { owner, since, wanted, next })
    });
    Some(Group {
        generation: whole.generation,
        topics: whole.topics.into_iter().map(topic_of).collect::<Option<_>>()?,
        members: members.collect(),
        places: places.collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_change_survives_its_bytes_and_other_bytes_are_none() {
        let member = MemberId(u64::MAX);
        let topics = BTreeMap::from([("a".parse().unwrap(), vec![ShardId(3), ShardId(4)])]);
        let wanted = Some(Wanted { member: MemberId(2), since: 8 });
        let (owner, next) = (Some(member), Timestamp(77));
        let group = Group {
            generation: 9,
            topics: topics.clone(),
            members: BTreeMap::from([(member, Member { name: "m".into(), session_timeout_ms: 700 })]),
            places: BTreeMap::from([
                (ShardId(3), Place { owner, since: 7, wanted, next }),
                (ShardId(4), Place::default()),
            ]),
        };
        let joining = Joining { member, name: "m".into(), session_timeout_ms: 1, topics, from: Timestamp(5) };
        let read = Some((Timestamp(1), ShardId(2)));
        let changes = [
            Change::Joined(joining),
            Change::Left { member },
            Change::Committed(Commit { member, generation: 3, read, yields: vec![ShardId(0)] }),
            Change::Committed(Commit { member, generation: 3, read: None, yields: Vec::new() }),
            Change::Taken { member, generation: 4 },
            Change::Reset { to: Timestamp(0) },
            Change::Deleted,
            Change::Whole { at: Offset(12), group },
            Change::Whole { at: Offset(0), group: Group::default() },
        ];
        for change in changes {
            let record = GroupRecord { group: "g".parse().unwrap(), change };
            assert_eq!(decoded(&encoded(&record)), Some(record));
        }
        for bytes in [&b""[..], b"\xff\xff", b"\x0a\x01g"] {
            assert_eq!(decoded(bytes), None, "{bytes:?}");
        }
    }
}
