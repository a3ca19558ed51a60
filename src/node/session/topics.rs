//! Topics: created and deleted by records of the system topic, described from the view.
//!
//! A change is appended by the system shard's leader only; others name it. The view then tells what became
//! of the record: a plan that another one overtook is made again, a taken name is a conflict.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::{answers, append, current};
use crate::lane::ReplicaStatus;
use crate::node::groups;
use crate::node::lane_thread::Progress;
use crate::node::metadata::{PlanError, Topic, TopicPlan, View};
use crate::node::shared::NodeShared;
use crate::types::{Durability, NodeId, Receipt, Retention, ShardId, TopicName};
use crate::wire::{
    CreateTopicBody, ErrorBody, ErrorCode, ReplicaBody, ShardBody, SystemRecord, TopicBody, TopicsBody,
};

/// How often a creation is planned again when others were faster.
const PLANS_MAX: usize = 8;
/// How long a change may take before its asker is told that its fate is unknown.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// Creates a topic; answers once its shards on this node are open.
pub(super) async fn create(host: &NodeShared, request: CreateTopicBody) -> Result<TopicBody, ErrorBody> {
    let plan = parse(&request)?;
    groups::check_shape(&plan, host.limits.groups_kept_bytes)
        .map_err(|problem| answers::error(ErrorCode::Denied, false, problem))?;
    within(&request.name, create_planned(host, &plan)).await
}

async fn create_planned(host: &NodeShared, plan: &TopicPlan) -> Result<TopicBody, ErrorBody> {
    let _turn = host.changing.lock().await;
    for _ in 0..PLANS_MAX {
        let view = host.view();
        let nodes = host.nodes();
        check_room(host, plan, &view)?;
        let record = plan.record(&view, &nodes).map_err(|error| unplannable(&error))?;
        let receipt = append_system(host, &record).await?;
        let after = receipt.first_offset.plus(1);
        let progress = wait(host, |progress| progress.settled >= after).await?;
        match progress.view.topic_named(&plan.name) {
            Some(topic) if topic.created == receipt.first_timestamp => return Ok(told(host, topic).await),
            Some(_) => return Err(unplannable(&PlanError::Exists(plan.name.clone()))),
            None => {}
        }
    }
    let message =
        format!("topic {}: other changes of topics were faster {PLANS_MAX} times; try again", plan.name);
    Err(answers::error(ErrorCode::Busy, true, message))
}

/// Deletes a topic and answers with what it was, once this node's replicas of it are gone.
pub(super) async fn delete(host: &NodeShared, name: &str) -> Result<TopicBody, ErrorBody> {
    within(name, async {
        let _turn = host.changing.lock().await;
        let topic = named(host, name).await?;
        let body = told(host, &topic).await;
        let receipt = append_system(host, &topic.deletion()).await?;
        let after = receipt.first_offset.plus(1);
        wait(host, |progress| progress.settled >= after).await?;
        Ok(body)
    })
    .await
}

pub(super) async fn describe(host: &NodeShared, name: &str) -> Result<TopicBody, ErrorBody> {
    let topic = named(host, name).await?;
    Ok(told(host, &topic).await)
}

pub(super) async fn list(host: &NodeShared) -> Result<TopicsBody, ErrorBody> {
    let view = current::view(host).await?;
    let statuses = host.lane.statuses(None).await.map_err(answers::busy)?;
    let leaders = leaders(&statuses);
    Ok(TopicsBody { topics: view.topics().map(|topic| body_of(topic, &leaders)).collect() })
}

/// The topic of that name. That there is none is only said by a node that knows of everything before the question.
pub(super) async fn named(host: &NodeShared, name: &str) -> Result<std::sync::Arc<Topic>, ErrorBody> {
    let name: TopicName = parse_name(name)?;
    if let Some(topic) = host.view().topic_named(&name) {
        return Ok(std::sync::Arc::clone(topic));
    }
    current::view(host).await?.topic_named(&name).cloned().ok_or_else(|| {
        let message = format!("node {} knows no topic {name}; list the topics, or create it", host.node);
        answers::error(ErrorCode::UnknownTopic, false, message)
    })
}

/// Appends one record to the system topic and waits for its receipt.
pub(crate) async fn append_system(host: &NodeShared, record: &SystemRecord) -> Result<Receipt, ErrorBody> {
    append::append_values(host, ShardId::SYSTEM, vec![record.encoded()]).await
}

async fn within<T>(name: &str, change: impl Future<Output = Result<T, ErrorBody>>) -> Result<T, ErrorBody> {
    tokio::time::timeout(CHANGE_TIMEOUT, change).await.unwrap_or_else(|_| {
        let message = format!(
            "topic {name}: no answer within {} s, so what became of the change is unknown; look with a list",
            CHANGE_TIMEOUT.as_secs()
        );
        Err(answers::unknown(ErrorCode::Timeout, message))
    })
}

async fn wait(host: &NodeShared, done: impl Fn(&Progress) -> bool) -> Result<Progress, ErrorBody> {
    let mut progress = host.lane.progress();
    let done = progress.wait_for(done).await.map_err(|_| answers::stopped())?;
    Ok(done.clone())
}

fn parse_name(name: &str) -> Result<TopicName, ErrorBody> {
    name.parse().map_err(|invalid: crate::types::InvalidName| {
        answers::error(ErrorCode::Invalid, false, invalid.to_string())
    })
}

fn parse(request: &CreateTopicBody) -> Result<TopicPlan, ErrorBody> {
    let split_at = request.range_partitioned.then(|| request.split_at.clone());
    if split_at.is_none() && !request.split_at.is_empty() {
        let message = "split keys belong to range partitioning; leave them out, or ask for ranges";
        return Err(answers::error(ErrorCode::Invalid, false, message));
    }
    let retention = Retention::from_numbers(request.retention_ns, request.retention_bytes)
        .map_err(|problem| answers::error(ErrorCode::Invalid, false, problem.to_string()))?;
    Ok(TopicPlan {
        name: parse_name(&request.name)?,
        shards: request.shards,
        replicas: request.replicas,
        split_at,
        durability: durability_of(request)?,
        retention,
    })
}

fn durability_of(request: &CreateTopicBody) -> Result<Durability, ErrorBody> {
    match request.durability {
        0 => Ok(Durability::Disk),
        1 => Ok(Durability::Memory),
        other => {
            let message = format!("durability {other} is not one this build knows: 0 is disk, 1 is memory");
            Err(answers::error(ErrorCode::Invalid, false, message))
        }
    }
}

fn unplannable(error: &PlanError) -> ErrorBody {
    let code = if matches!(error, PlanError::Exists(_)) { ErrorCode::Conflict } else { ErrorCode::Invalid };
    answers::error(code, false, error.to_string())
}

/// Refuses what would place more replicas on the nodes than they take on.
fn check_room(host: &NodeShared, plan: &TopicPlan, view: &View) -> Result<(), ErrorBody> {
    let nodes = host.addresses.len();
    let each = if plan.replicas == 0 { nodes.min(3) } else { plan.replicas as usize };
    let placed: usize = view.topics().flat_map(|topic| &topic.shards).map(|shard| shard.replicas.len()).sum();
    let wanted = placed + each * plan.shards as usize;
    let room = host.limits.shards * nodes;
    if wanted <= room {
        return Ok(());
    }
    let message = format!(
        "topic {} would make {wanted} replicas on {nodes} nodes, the limit is {} on each (limits.shards): ask for \
         fewer shards, or delete topics",
        plan.name, host.limits.shards
    );
    Err(answers::error(ErrorCode::TooLarge, false, message))
}

type Leaders = HashMap<ShardId, (NodeId, u64)>;

fn leaders(statuses: &[ReplicaStatus]) -> Leaders {
    statuses.iter().filter_map(|s| Some((s.shard, (s.leader?, s.term.0)))).collect()
}

/// The topic with its leaders, as far as this node's replicas know them.
async fn told(host: &NodeShared, topic: &Topic) -> TopicBody {
    let shards = topic.shards.iter().map(|shard| shard.id).collect();
    // A lane too busy to say who leads is no reason to fail: leaders are hints.
    let statuses = host.lane.statuses(Some(shards)).await.unwrap_or_default();
    body_of(topic, &leaders(&statuses))
}

fn body_of(topic: &Topic, leaders: &Leaders) -> TopicBody {
    let shards = topic.shards.iter().map(|shard| {
        let (leader, term) = leaders.get(&shard.id).map_or((0, 0), |(leader, term)| (leader.0, *term));
        let replicas = shard
            .replicas
            .iter()
            .map(|placed| ReplicaBody { node: placed.node.0, replica: placed.replica.0 });
        ShardBody {
            shard: shard.id.0,
            hash_start: shard.hash_start,
            key_start: shard.key_start.clone(),
            replicas: replicas.collect(),
            leader,
            term,
        }
    });
    let (retention_ns, retention_bytes) = topic.retention.numbers();
    TopicBody {
        id: topic.id.0,
        name: topic.name.to_string(),
        range_partitioned: topic.range_partitioned,
        shards: shards.collect(),
        durability: answers::durability_number(topic.durability),
        created_ns: topic.created.0,
        retention_ns,
        retention_bytes,
    }
}

/// Replicas and led shards by node, for the cluster's description.
pub(super) fn counts(view: &View, statuses: &[ReplicaStatus]) -> BTreeMap<NodeId, (u32, u32)> {
    let mut counts: BTreeMap<NodeId, (u32, u32)> = BTreeMap::new();
    for replica in view.topics().flat_map(|topic| &topic.shards).flat_map(|shard| &shard.replicas) {
        counts.entry(replica.node).or_default().0 += 1;
    }
    for leader in statuses.iter().filter(|s| s.shard != ShardId::SYSTEM).filter_map(|status| status.leader) {
        counts.entry(leader).or_default().1 += 1;
    }
    counts
}
