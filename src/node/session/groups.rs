//! What members of groups say, and questions about groups: answered by the leader of the group's shard from its fold.
//!
//! Whatever changes something is appended first, and the answer is what the fold did with it. What changes nothing is
//! answered once the fold holds all that this leader has in its log, so never from before something that was decided. A
//! leader that was deposed and does not know it yet may answer such a beat for as long as it takes a leader without a
//! majority to step down: it confirms what stood a moment ago, and commits nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::append::append_values;
use super::{answers, topics};
use crate::group::{
    Beat, Change, Group, GroupRecord, Groups, Heard, Joining, MEMBERS_MAX, SHARDS_MAX, Standing, TOPICS_MAX,
};
use crate::node::groups::{GROUPS_TOPIC, Hosted, encoded, shard_of};
use crate::node::shared::NodeShared;
use crate::types::{GroupName, MemberId, ShardId, Timestamp, TopicName};
use crate::wire::{
    DeleteGroupBody, DescribeGroupsBody, ErrorBody, ErrorCode, GroupBeatBody, GroupBody, GroupMemberBody,
    GroupPlaceBody, GroupStandingBody, GroupsBody, HeldShard, ResetGroupBody,
};

/// How long a question is held; its asker then asks again, here or elsewhere.
const HELD_MAX: Duration = Duration::from_secs(2);
const SESSION_TIMEOUT_MS: std::ops::RangeInclusive<u32> = 500..=60_000;
/// Times that a member is to be heard within its timeout.
const BEATS_PER_TIMEOUT: u32 = 5;
const NAME_BYTES_MAX: usize = 64;
/// Groups that are told of at once.
const PAGE: usize = 64;

/// One group's coordinator, as far as this node is it.
struct Coordinator<'a> {
    host: &'a NodeShared,
    hosted: Arc<Hosted>,
    group: GroupName,
}

pub(super) async fn beat(host: &NodeShared, request: GroupBeatBody) -> Result<GroupStandingBody, ErrorBody> {
    let group = group_name(&request.group)?;
    if request.member == 0 {
        return Err(invalid("a member's number is not 0"));
    }
    within(host, async {
        let coordinator = Coordinator::of(host, group).await?;
        coordinator.hosted.hear(&coordinator.group, MemberId(request.member));
        coordinator.beat(&request).await
    })
    .await
}

/// The groups of one shard, in short, or one in full.
pub(super) async fn describe(
    host: &NodeShared,
    request: &DescribeGroupsBody,
) -> Result<GroupsBody, ErrorBody> {
    within(host, async {
        if request.group.is_empty() {
            let hosted = leading(host, ShardId(request.shard)).await?;
            let groups = hosted.look(|groups| {
                let behind = groups.iter().filter(|(name, _)| name.as_str() > request.after.as_str());
                behind.take(PAGE).map(|(name, group)| in_short(name, group)).collect()
            });
            return Ok(GroupsBody { groups });
        }
        Coordinator::of(host, group_name(&request.group)?).await?.described()
    })
    .await
}

pub(super) async fn reset(host: &NodeShared, request: &ResetGroupBody) -> Result<GroupsBody, ErrorBody> {
    within(host, async {
        let coordinator = Coordinator::of(host, group_name(&request.group)?).await?;
        coordinator.check_idle("reset")?;
        coordinator.append(vec![Change::Reset { to: Timestamp(request.to_ns) }]).await?;
        // A member may have joined first.
        coordinator.check_idle("reset")?;
        coordinator.described()
    })
    .await
}

pub(super) async fn delete(host: &NodeShared, request: &DeleteGroupBody) -> Result<GroupsBody, ErrorBody> {
    within(host, async {
        let coordinator = Coordinator::of(host, group_name(&request.group)?).await?;
        coordinator.check_idle("deleted")?;
        coordinator.append(vec![Change::Deleted]).await?;
        if coordinator.look(|_| ()).is_some() {
            coordinator.check_idle("deleted")?;
        }
        Ok(GroupsBody::default())
    })
    .await
}

impl<'a> Coordinator<'a> {
    /// Refuses if another node coordinates the group. The fold then holds all that was decided.
    async fn of(host: &'a NodeShared, group: GroupName) -> Result<Self, ErrorBody> {
        let topic = topics::named(host, GROUPS_TOPIC).await?;
        let shard =
            shard_of(&topic, &group).ok_or_else(|| invalid("the topic of groups has no hash shards"))?;
        Ok(Self { host, hosted: leading(host, shard).await?, group })
    }

    fn look<T>(&self, at: impl FnOnce(&Group) -> T) -> Option<T> {
        self.hosted.look(|groups| groups.get(&self.group).map(at))
    }

    async fn beat(&self, request: &GroupBeatBody) -> Result<GroupStandingBody, ErrorBody> {
        let beat = beat_of(request);
        let changes = match self.hosted.look(|groups| beat.clone().heard(groups.get(&self.group))) {
            Heard::Joins => self.joining(request).await?,
            Heard::Changes(changes) => {
                self.check_commit(&beat).await?;
                changes
            }
            Heard::HasLeft => return Ok(GroupStandingBody::default()),
            Heard::IsStale => return Err(self.stale(beat.member)),
        };
        if !changes.is_empty() {
            self.append(changes).await?;
        }
        let told = |groups: &Groups| {
            let group = groups.get(&self.group);
            (beat.answered(group), group.and_then(|group| standing(group, beat.member)))
        };
        match self.hosted.look(told) {
            (Standing::Member, standing) => Ok(standing.unwrap_or_default()),
            (Standing::HasLeft, _) => Ok(GroupStandingBody::default()),
            (Standing::IsOvertaken, _) => Err(self.overtaken()),
            (Standing::IsStale, _) => Err(self.stale(beat.member)),
        }
    }

    /// A join, behind the founding of a group that is not there yet.
    async fn joining(&self, request: &GroupBeatBody) -> Result<Vec<Change>, ErrorBody> {
        if !SESSION_TIMEOUT_MS.contains(&request.session_timeout_ms) {
            let message = format!(
                "a session timeout of {} ms is out of range: give {} to {} ms",
                request.session_timeout_ms,
                SESSION_TIMEOUT_MS.start(),
                SESSION_TIMEOUT_MS.end()
            );
            return Err(invalid(&message));
        }
        if request.name.len() > NAME_BYTES_MAX
            || request.topics.is_empty()
            || request.topics.len() > TOPICS_MAX
        {
            let message = format!(
                "a member reads 1 to {TOPICS_MAX} topics and has a name of {NAME_BYTES_MAX} bytes at most"
            );
            return Err(invalid(&message));
        }
        let mut topics = BTreeMap::new();
        for name in &request.topics {
            let topic = topics::named(self.host, name).await?;
            topics.insert(topic.name.clone(), topic.shards.iter().map(|shard| shard.id).collect());
        }
        let shards: usize = topics.values().map(Vec::len).sum();
        let founded = self.look(|group| self.check_joining(group, &topics)).transpose()?.is_none();
        if shards > SHARDS_MAX {
            let message =
                format!("a group reads {SHARDS_MAX} shards at most, and these topics have {shards}");
            return Err(answers::error(ErrorCode::TooLarge, false, message));
        }
        self.check_room(founded, if founded { shards } else { 0 })?;
        let joining = Joining {
            member: MemberId(request.member),
            name: request.name.clone(),
            session_timeout_ms: request.session_timeout_ms,
            topics,
            from: Timestamp(request.from_ns),
        };
        Ok(self.hosted.look(|groups| groups.joining(&self.group, joining)))
    }

    fn check_joining(
        &self,
        group: &Group,
        topics: &BTreeMap<TopicName, Vec<ShardId>>,
    ) -> Result<(), ErrorBody> {
        if !group.reads(topics) {
            let reads: Vec<_> = group.topics.keys().map(TopicName::as_str).collect();
            let message = format!(
                "group {} reads {}: read the same topics, choose another group, or delete this one",
                self.group,
                reads.join(", ")
            );
            return Err(answers::error(ErrorCode::Conflict, false, message));
        }
        if group.members.len() >= MEMBERS_MAX {
            let message = format!("group {} has {MEMBERS_MAX} members, the most there may be", self.group);
            return Err(answers::error(ErrorCode::TooLarge, false, message));
        }
        Ok(())
    }

    /// Nothing beyond the present was read: who says so would make the group pass over what comes.
    async fn check_commit(&self, beat: &Beat) -> Result<(), ErrorBody> {
        if beat.read.is_none() && beat.yields.is_empty() {
            return Ok(());
        }
        let latest = self.host.lane.moment().await.map_err(answers::busy)?.reading.interval.latest;
        if beat.read.is_some_and(|(timestamp, _)| timestamp > latest) {
            return Err(invalid("a commit lies in the future"));
        }
        self.check_room(false, 0)
    }

    fn check_room(&self, founded: bool, places: usize) -> Result<(), ErrorBody> {
        let Some(refusal) = self.hosted.refusal(founded, places) else { return Ok(()) };
        let message =
            format!("group {} is in shard {} of {GROUPS_TOPIC}: {refusal}", self.group, self.hosted.shard);
        Err(answers::error(ErrorCode::Busy, true, message))
    }

    fn check_idle(&self, what: &str) -> Result<(), ErrorBody> {
        let members = self.look(|group| group.members.len()).ok_or_else(|| self.unknown())?;
        if members == 0 {
            return Ok(());
        }
        let message = format!(
            "group {} has {members} members and is not {what} under them: end them first",
            self.group
        );
        Err(answers::error(ErrorCode::Conflict, false, message))
    }

    /// Appends changes and waits until they are folded in here.
    async fn append(&self, changes: Vec<Change>) -> Result<(), ErrorBody> {
        let record = |change| GroupRecord { group: self.group.clone(), change };
        let values: Vec<_> = changes.into_iter().map(|change| encoded(&record(change))).collect();
        let receipt = append_values(self.host, self.hosted.shard, values).await?;
        self.hosted.folded(receipt.first_offset.plus(u64::from(receipt.record_count))).await;
        Ok(())
    }

    fn described(&self) -> Result<GroupsBody, ErrorBody> {
        let group = self.look(|group| in_full(&self.group, group)).ok_or_else(|| self.unknown())?;
        Ok(GroupsBody { groups: vec![group] })
    }

    fn unknown(&self) -> ErrorBody {
        let message = format!("there is no group {}; list the groups", self.group);
        answers::error(ErrorCode::UnknownGroup, false, message)
    }

    /// A join that came to nothing: others joined for other topics meanwhile, or were the last there was room for; or the
    /// group was deleted.
    fn overtaken(&self) -> ErrorBody {
        let message = format!("group {} changed while this member joined; try again", self.group);
        answers::error(ErrorCode::Busy, true, message)
    }

    fn stale(&self, member: MemberId) -> ErrorBody {
        let message = format!(
            "member {:016x} of group {} was taken for dead, or left: what it says counts no more, and others read on from its \
             last commit; join anew",
            member.0, self.group
        );
        answers::error(ErrorCode::StaleMember, false, message)
    }
}

/// This node's shard of groups, if it leads it; its fold then holds all that its log has.
async fn leading(host: &NodeShared, shard: ShardId) -> Result<Arc<Hosted>, ErrorBody> {
    let Some(hosted) = host.groups.hosted(shard) else { return Err(answers::unknown_shard(host, shard)) };
    let statuses = host.lane.statuses(Some(vec![shard])).await.map_err(answers::busy)?;
    let status = statuses.first().ok_or_else(|| answers::unknown_shard(host, shard))?;
    if status.leading_since.is_none() || host.is_draining() {
        let leader = status.leader.filter(|leader| *leader != host.node).map_or(0, |leader| leader.0);
        let message =
            format!("node {} does not lead shard {shard} of {GROUPS_TOPIC}; ask its leader", host.node);
        return Err(ErrorBody { leader, ..answers::error(ErrorCode::NotLeader, true, message) });
    }
    hosted.folded(status.appended).await;
    hosted.lead(true);
    Ok(hosted)
}

fn beat_of(request: &GroupBeatBody) -> Beat {
    Beat {
        member: MemberId(request.member),
        generation: request.generation,
        read: request.read.map(|read| (Timestamp(read.timestamp_ns), ShardId(read.shard))),
        yields: request.yields.iter().copied().map(ShardId).collect(),
        leaves: request.leaves,
    }
}

/// What a member holds.
fn standing(group: &Group, member: MemberId) -> Option<GroupStandingBody> {
    let known = group.members.get(&member)?;
    let topics = topics_by_shard(group);
    let held = group.held_by(member).map(|(shard, place)| HeldShard {
        topic: topics[&shard].to_string(),
        shard: shard.0,
        next_ns: place.next.0,
        is_wanted: place.wanted.is_some(),
    });
    let beat_every_ms = known.session_timeout_ms / BEATS_PER_TIMEOUT;
    Some(GroupStandingBody { generation: group.generation, held: held.collect(), beat_every_ms })
}

fn topics_by_shard(group: &Group) -> BTreeMap<ShardId, &TopicName> {
    let topics = group.topics.iter();
    topics.flat_map(|(topic, shards)| shards.iter().map(move |shard| (*shard, topic))).collect()
}

fn in_short(name: &GroupName, group: &Group) -> GroupBody {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    GroupBody {
        name: name.to_string(),
        generation: group.generation,
        topics: group.topics.keys().map(ToString::to_string).collect(),
        members: Vec::new(),
        places: Vec::new(),
        shard_count: count(group.places.len()),
        member_count: count(group.members.len()),
    }
}

fn in_full(name: &GroupName, group: &Group) -> GroupBody {
    let topics = topics_by_shard(group);
    let members = group
        .members
        .iter()
        .map(|(member, known)| GroupMemberBody { member: member.0, name: known.name.clone() });
    let places = group.places.iter().map(|(shard, place)| GroupPlaceBody {
        topic: topics[shard].to_string(),
        shard: shard.0,
        owner: place.owner.map_or(0, |owner| owner.0),
        wanted_by: place.wanted.map_or(0, |wanted| wanted.member.0),
        next_ns: place.next.0,
    });
    GroupBody { members: members.collect(), places: places.collect(), ..in_short(name, group) }
}

fn group_name(name: &str) -> Result<GroupName, ErrorBody> {
    name.parse().map_err(|problem: crate::types::InvalidName| invalid(&problem.to_string()))
}

fn invalid(message: &str) -> ErrorBody {
    answers::error(ErrorCode::Invalid, false, message)
}

async fn within<T>(
    host: &NodeShared,
    asked: impl Future<Output = Result<T, ErrorBody>>,
) -> Result<T, ErrorBody> {
    tokio::time::timeout(HELD_MAX, asked).await.unwrap_or_else(|_| {
        let message = format!("node {} had no answer about the group in time; ask again", host.node);
        Err(answers::unknown(ErrorCode::Timeout, message))
    })
}
