//! Questions about groups: which there are, who reads what, and how far behind they are.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::coordinator::{Coordinator, Whose, groups_topic};
use crate::client::core::{Core, unexpected};
use crate::client::error::Error;
use crate::client::fresh::{locate, now};
use crate::types::{GroupName, MemberId, NodeId, ShardId, Timestamp, TopicName};
use crate::wire::{
    DeleteGroupBody, DescribeGroupsBody, GroupBody, GroupMemberBody, GroupPlaceBody, RequestBody,
    ResetGroupBody, ResponseBody,
};

/// A group, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    pub name: GroupName,
    /// Rises whenever members come or go and shards change hands.
    pub generation: u64,
    pub topics: Vec<TopicName>,
    pub members: u32,
    pub shards: u32,
}

/// A group.
#[derive(Clone, Debug)]
pub struct GroupInfo {
    pub name: GroupName,
    pub generation: u64,
    pub topics: Vec<TopicName>,
    pub members: Vec<GroupMember>,
    pub places: Vec<GroupPlace>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub member: MemberId,
    /// What people know it by.
    pub name: String,
}

/// Where a group stands in a shard.
#[derive(Clone, Debug)]
pub struct GroupPlace {
    pub topic: TopicName,
    pub shard: ShardId,
    pub owner: Option<MemberId>,
    /// Who waits for it.
    pub wanted_by: Option<MemberId>,
    /// The first timestamp that was not committed as read.
    pub next: Timestamp,
    /// How far behind it is, or why nobody can tell.
    pub lag: Result<Lag, Error>,
}

/// What is there and was not committed as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    pub records: u64,
    /// How long ago the first such record was stamped, at least; 0 if there is none.
    pub ns: u64,
}

/// All groups, by name.
pub(in crate::client) async fn list(core: &Arc<Core>) -> Result<Vec<GroupSummary>, Error> {
    let Some(topic) = groups_topic(core).await? else { return Ok(Vec::new()) };
    let mut asking = JoinSet::new();
    for info in &topic.shards {
        asking.spawn(list_shard(Arc::clone(core), info.shard));
    }
    let listed: Vec<Vec<GroupSummary>> = asking.join_all().await.into_iter().collect::<Result<_, _>>()?;
    let mut groups: Vec<GroupSummary> = listed.into_iter().flatten().collect();
    groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(groups)
}

async fn list_shard(core: Arc<Core>, shard: ShardId) -> Result<Vec<GroupSummary>, Error> {
    let within = core.request_timeout;
    let coordinator = Coordinator::new(core, Whose::Shard(shard));
    let mut groups: Vec<GroupSummary> = Vec::new();
    loop {
        let after = groups.last().map(|group| group.name.to_string()).unwrap_or_default();
        let body = DescribeGroupsBody { group: String::new(), shard: shard.0, after };
        let ResponseBody::Groups(page) = coordinator.ask(RequestBody::DescribeGroups(body), within).await?
        else {
            return Err(unexpected(NodeId(0), "Groups"));
        };
        if page.groups.is_empty() {
            return Ok(groups);
        }
        for group in &page.groups {
            groups.push(GroupSummary::of(group).ok_or_else(|| unexpected(NodeId(0), "Groups with names"))?);
        }
    }
}

/// A group with its lag, by the time of a node whose clock is trusted.
pub(in crate::client) async fn describe(core: &Arc<Core>, name: &GroupName) -> Result<GroupInfo, Error> {
    let body = DescribeGroupsBody { group: name.to_string(), ..DescribeGroupsBody::default() };
    let body = ask(core, name, RequestBody::DescribeGroups(body)).await?;
    let body = body.ok_or_else(|| unexpected(NodeId(0), "Groups with that group"))?;
    let earliest = now(core, false).await?.interval.earliest;
    let summary = GroupSummary::of(&body).ok_or_else(|| unexpected(NodeId(0), "Groups with names"))?;
    let mut asking = JoinSet::new();
    for place in body.places {
        let core = Arc::clone(core);
        asking.spawn(async move { described(&core, &place, earliest).await });
    }
    let mut places: Vec<GroupPlace> = asking.join_all().await.into_iter().collect::<Result<_, _>>()?;
    places.sort_unstable_by_key(|place| place.shard);
    let member = |member: GroupMemberBody| GroupMember { member: MemberId(member.member), name: member.name };
    let members = body.members.into_iter().map(member).collect();
    let GroupSummary { name, generation, topics, .. } = summary;
    Ok(GroupInfo { name, generation, topics, members, places })
}

/// Moves a group without members to a timestamp: it reads on with the first record stamped at or after it.
pub(in crate::client) async fn reset(core: &Arc<Core>, name: &GroupName, to: Timestamp) -> Result<(), Error> {
    let body = ResetGroupBody { group: name.to_string(), to_ns: to.0 };
    ask(core, name, RequestBody::ResetGroup(body)).await.map(drop)
}

pub(in crate::client) async fn delete(core: &Arc<Core>, name: &GroupName) -> Result<(), Error> {
    ask(core, name, RequestBody::DeleteGroup(DeleteGroupBody { group: name.to_string() })).await.map(drop)
}

async fn ask(core: &Arc<Core>, name: &GroupName, body: RequestBody) -> Result<Option<GroupBody>, Error> {
    if groups_topic(core).await?.is_none() {
        return Err(Error::UnknownGroup { group: name.to_string() });
    }
    let coordinator = Coordinator::new(Arc::clone(core), Whose::Group(name.clone()));
    match coordinator.ask(body, core.request_timeout).await? {
        ResponseBody::Groups(mut body) => Ok(body.groups.pop()),
        _ => Err(unexpected(NodeId(0), "Groups")),
    }
}

async fn described(core: &Core, place: &GroupPlaceBody, earliest: Timestamp) -> Result<GroupPlace, Error> {
    let somebody = |member: u64| (member != 0).then_some(MemberId(member));
    let (shard, next) = (ShardId(place.shard), Timestamp(place.next_ns));
    let topic = place.topic.parse().map_err(|_| unexpected(NodeId(0), "Groups with topics"))?;
    let lag = lag(core, &topic, shard, next, earliest).await;
    Ok(GroupPlace {
        topic,
        shard,
        owner: somebody(place.owner),
        wanted_by: somebody(place.wanted_by),
        next,
        lag,
    })
}

/// As the shard's leader has it, or, if that is silent, another replica.
async fn lag(
    core: &Core,
    topic: &TopicName,
    shard: ShardId,
    next: Timestamp,
    earliest: Timestamp,
) -> Result<Lag, Error> {
    let topic = core.topic(topic).await?;
    let info =
        topic.shard(shard).ok_or_else(|| Error::UnknownShard { topic: topic.name.to_string(), shard })?;
    let others = info.replicas.iter().map(|replica| replica.node).filter(|node| Some(*node) != info.leader);
    let nodes: Vec<NodeId> = info.leader.into_iter().chain(others).collect();
    let located = locate(core, shard, &nodes, (next, false)).await?;
    let ns = if located.found_ns == 0 { 0 } else { earliest.ns_since(Timestamp(located.found_ns)) };
    Ok(Lag { records: located.released_offset.saturating_sub(located.offset), ns })
}

impl GroupSummary {
    fn of(body: &GroupBody) -> Option<Self> {
        Some(Self {
            name: body.name.parse().ok()?,
            generation: body.generation,
            topics: body.topics.iter().map(|topic| topic.parse().ok()).collect::<Option<_>>()?,
            members: body.member_count,
            shards: body.shard_count,
        })
    }
}
