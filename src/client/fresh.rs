//! Questions of time: what time it is, where a timestamp stands in a topic's shards.
//!
//! Knows nothing of records. Invariants: a time comes from a node whose clock is trusted, never from the client's own; what lies
//! beyond everything that may be stamped by now is refused, never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio::task::JoinSet;

use super::core::{Core, list, unexpected};
use super::error::{Error, Kind};
use super::topic::{ShardInfo, Topic};
use crate::clock::TimeInterval;
use crate::types::{NodeId, Offset, ShardId, Timestamp};
use crate::wire::{LocateBody, LocatedBody, NowRequestBody, RequestBody, ResponseBody};

/// How long is asked whether a time lies in the future: where no clock can tell, a reader waits instead.
const FUTURE_TIMEOUT: Duration = Duration::from_secs(1);

/// The time by a node whose clock is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub node: NodeId,
    /// Whatever was acknowledged before the question is stamped below `latest`; whatever is sent after the answer is stamped above
    /// `earliest`.
    pub interval: TimeInterval,
    /// Nothing is stamped later than this by now.
    pub admissible: Timestamp,
}

/// The consistent snapshot of a topic at a timestamp: of each shard the records below an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub at: Timestamp,
    /// The first offset of each shard that is stamped after `at`.
    pub offsets: BTreeMap<ShardId, Offset>,
}

/// Asks one node after the other; with `by_majority` only those answer whose clock a majority agreed with a moment ago.
pub(super) async fn now(core: &Core, by_majority: bool) -> Result<Now, Error> {
    now_within(core, by_majority, core.request_timeout).await
}

async fn now_within(core: &Core, by_majority: bool, limit: Duration) -> Result<Now, Error> {
    let body = RequestBody::Now(NowRequestBody { by_majority });
    let (node, answer) = core.ask_any_within("the time", body, limit).await.answer?;
    let ResponseBody::Now(body) = answer else { return Err(unexpected(node, "Now")) };
    let interval = TimeInterval { earliest: Timestamp(body.earliest_ns), latest: Timestamp(body.latest_ns) };
    Ok(Now { node, interval, admissible: Timestamp(body.admissible_ns) })
}

/// Refuses a time that no record may be stamped with by now. If no clock can tell, it is let pass: what was closed before stays
/// readable while no clock is trusted.
pub(super) async fn refuse_future(core: &Core, at: Timestamp) -> Result<(), Error> {
    if at <= core.session.seen() {
        return Ok(());
    }
    match now_within(core, false, FUTURE_TIMEOUT).await {
        Ok(now) => check_future(at, &now),
        Err(error) if error.kind() == Kind::Unavailable || error.is_unsupported() => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn check_future(at: Timestamp, now: &Now) -> Result<(), Error> {
    let admissible = now.admissible;
    if at > admissible { Err(Error::Future { at, admissible }) } else { Ok(()) }
}

/// A time after which whatever is sent is stamped later, waited out: the clock-wait of a reader that begins now.
pub(super) async fn passed_now(core: &Core) -> Result<Timestamp, Error> {
    let end = now(core, true).await?.interval.latest;
    loop {
        let earliest = now(core, true).await?.interval.earliest;
        if earliest > end {
            return Ok(end);
        }
        tokio::time::sleep(Duration::from_nanos(end.next().ns_since(earliest))).await;
    }
}

/// How far all these shards are closed on replicas that answer, each on any or on `node`.
pub(super) async fn reached(
    core: &Arc<Core>,
    shards: Vec<ShardInfo>,
    node: Option<NodeId>,
) -> Result<Timestamp, Error> {
    let located = locate_all(core, shards, node, (Timestamp::MAX, false)).await?;
    Ok(located.iter().map(|body| Timestamp(body.closed_ns)).min().unwrap_or_default())
}

pub(super) async fn cut(core: &Arc<Core>, topic: &Topic, at: Timestamp) -> Result<Cut, Error> {
    if at < topic.created {
        let (topic, created) = (topic.name.to_string(), topic.created);
        return Err(Error::BeforeTopic { topic, at, created });
    }
    refuse_future(core, at).await?;
    let located = locate_all(core, topic.shards.clone(), None, (at.next(), true)).await?;
    let offsets = located.iter().map(|body| (ShardId(body.shard), Offset(body.offset))).collect();
    Ok(Cut { at, offsets })
}

async fn locate_all(
    core: &Arc<Core>,
    shards: Vec<ShardInfo>,
    node: Option<NodeId>,
    (at, waits_closed): (Timestamp, bool),
) -> Result<Vec<LocatedBody>, Error> {
    let mut asking = JoinSet::new();
    for info in shards {
        let (core, nodes) = (Arc::clone(core), replicas(&info, node)?);
        asking.spawn(async move { locate(&core, info.shard, &nodes, (at, waits_closed)).await });
    }
    asking.join_all().await.into_iter().collect()
}

/// Where a timestamp stands in a shard, as the first of these nodes says that answers; each is asked beside those that are silent.
pub(super) async fn locate(
    core: &Core,
    shard: ShardId,
    nodes: &[NodeId],
    (at, waits_closed): (Timestamp, bool),
) -> Result<LocatedBody, Error> {
    let body = RequestBody::Locate(LocateBody { shard: shard.0, at_ns: at.0, waits_closed });
    let (node, answer) = core.ask_in_turn(nodes, &format!("shard {shard} at {at}"), body).await.answer?;
    let ResponseBody::Located(located) = answer else { return Err(unexpected(node, "Located")) };
    if located.shard == shard.0 { Ok(located) } else { Err(unexpected(node, "Located of that shard")) }
}

/// The nodes that have a replica, in any order; or `node`, if it has one.
fn replicas(info: &ShardInfo, node: Option<NodeId>) -> Result<Vec<NodeId>, Error> {
    let mut replicas: Vec<NodeId> = info.replicas.iter().map(|replica| replica.node).collect();
    replicas.shuffle(&mut rand::rng());
    match node {
        None => Ok(replicas),
        Some(node) if replicas.contains(&node) => Ok(vec![node]),
        Some(node) => Err(Error::NoReplica { shard: info.shard, node, replicas: list(&replicas) }),
    }
}
