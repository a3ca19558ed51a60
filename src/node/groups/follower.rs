//! Follows the topic of groups: one task per hosted shard folds it, and one looks after its members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, sleep};

use super::hosted::Hosted;
use super::records::{decoded, encoded};
use super::shape::GROUPS_TOPIC;
use crate::codec::{Frame, FrameKind, decode_records};
use crate::group::{GroupRecord, Keeping};
use crate::lane::{ReadAnswer, ReadFrom};
use crate::node::metadata::View;
use crate::node::session;
use crate::node::shared::NodeShared;
use crate::types::{NodeId, Offset, ShardId, Timestamp};

/// What is read of the log at once.
const READ_BYTES: usize = 1 << 20;
/// A shard that could not be read is read again after so long.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often members are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Follows whichever shards of the topic of groups this node has, until dropped.
pub(crate) async fn run(host: Arc<NodeShared>) {
    let mut progress = host.lane.progress();
    let mut followed: BTreeMap<ShardId, JoinSet<()>> = BTreeMap::new();
    loop {
        let wanted = shards_here(&progress.borrow_and_update().view, host.node);
        followed.retain(|shard, _| {
            let stays = wanted.contains(shard);
            if !stays {
                host.groups.forget(*shard);
            }
            stays
        });
        for shard in wanted {
            followed.entry(shard).or_insert_with(|| {
                let hosted = host.groups.host(shard, Keeping::of(host.limits.groups_kept_bytes));
                let mut tasks = JoinSet::new();
                tasks.spawn(follow(Arc::clone(&host), Arc::clone(&hosted)));
                tasks.spawn(look_after(Arc::clone(&host), hosted));
                tasks
            });
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

fn shards_here(view: &View, node: NodeId) -> Vec<ShardId> {
    let name = GROUPS_TOPIC.parse().expect("a good name");
    let Some(topic) = view.topic_named(&name) else { return Vec::new() };
    topic.shards.iter().filter(|shard| shard.is_on(node)).map(|shard| shard.id).collect()
}

async fn follow(host: Arc<NodeShared>, hosted: Arc<Hosted>) {
    loop {
        // Not open yet, damaged, or trimmed faster than it was read: it is begun again.
        follow_from_start(&host, &hosted).await;
        sleep(AGAIN_AFTER).await;
    }
}

async fn follow_from_start(host: &NodeShared, hosted: &Hosted) {
    let mut from = ReadFrom::Time(Timestamp::ZERO);
    loop {
        let Ok(pending) = host.lane.read(hosted.shard, from, READ_BYTES, Timestamp::MAX) else { return };
        let Ok(Ok(answer)) = pending.await else { return };
        if matches!(from, ReadFrom::Time(_)) {
            let first = answer.frames.first().map(|frame| frame.header.first_offset);
            hosted.begin(first.unwrap_or(answer.next_offset));
        }
        from = ReadFrom::Index(answer.next);
        hosted.fold(records_of(hosted.shard, &answer), answer.next_offset, &host.metrics.groups);
    }
}

/// The groups' records, each with its offset and its share of the log's bytes.
fn records_of(shard: ShardId, answer: &ReadAnswer) -> Vec<(Offset, u64, GroupRecord)> {
    let data = answer.frames.iter().filter(|frame| frame.header.kind == FrameKind::Data);
    data.flat_map(|frame| records_of_frame(shard, frame)).collect()
}

fn records_of_frame(shard: ShardId, frame: &Frame) -> Vec<(Offset, u64, GroupRecord)> {
    let header = &frame.header;
    let records = match decode_records(&frame.body, header.compression, header.record_count) {
        Ok(records) => records,
        Err(problem) => {
            // Its CRC was proved and its records were before they were appended: a build that writes what this one cannot read.
            tracing::error!(shard = shard.0, index = header.index.0, %problem, "a frame of groups is stepped over");
            return Vec::new();
        }
    };
    let bytes = (frame.header_bytes.len() + frame.body.len()) as u64 / records.len().max(1) as u64;
    let known = records.iter().enumerate().filter_map(|(at, record)| {
        let offset = header.first_offset.plus(at as u64);
        Some((offset, bytes, decoded(record.value.as_deref()?)?))
    });
    known.collect()
}

/// While this node leads the shard: gives up members that are silent, takes what is not yielded, writes groups whole.
async fn look_after(host: Arc<NodeShared>, hosted: Arc<Hosted>) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        // Most shards have no group with members: nothing is asked for them.
        let has_members = hosted.look(|groups| groups.iter().any(|(_, group)| !group.members.is_empty()));
        if !has_members && !hosted.is_led() {
            continue;
        }
        let Ok(statuses) = host.lane.statuses(Some(vec![hosted.shard])).await else { continue };
        let leading_since = statuses.first().and_then(|status| status.leading_since);
        if leading_since.is_none() {
            hosted.lead(false);
        }
        let due = hosted.due(leading_since);
        if due.is_empty() {
            continue;
        }
        for record in &due {
            tracing::info!(group = %record.group, change = record.change.name(), "the coordinator speaks for a group");
        }
        let values: Vec<_> = due.iter().map(encoded).collect();
        // A refusal passes: what is due stays due.
        if let Ok(receipt) = session::append_values(&host, hosted.shard, values).await {
            hosted.folded(receipt.first_offset.plus(u64::from(receipt.record_count))).await;
        }
    }
}
