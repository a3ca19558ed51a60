//! All subscriptions of a consumer, and the merge that their deliveries go into.
//!
//! Knows nothing of where a read ends or what was handed out. Each shard's gate has as many permits as deliveries may be on
//! their way; a delivery's permit comes back once its records fit the shard's buffer. So a full buffer stops one shard's
//! stream and no other, and the merge always gets what it waits for.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::bound::tell_time;
use super::plan::Plan;
use super::proof::{Delivered, Progress};
use super::subscription::{News, Subscription, weight};
use super::{Cursor, Item, Order};
use crate::merge::{Merge, Place};
use crate::types::{ShardId, Timestamp};

/// Deliveries of one shard that may be on their way to the merge.
const DELIVERIES_AHEAD: usize = 2;
/// The smallest buffer of one shard.
const SHARD_BYTES_LEAST: usize = 64 << 10;

/// The streams from one place on. Dropping them ends the subscriptions.
pub(super) struct Streams {
    /// One merge of all shards; under `Order::EachShard` one of each shard, which holds nobody back.
    merges: Vec<Merge<Item>>,
    lanes: HashMap<ShardId, Lane>,
    /// The merge that is asked first: it had something last time.
    turn: usize,
    pub(super) news: mpsc::Receiver<(ShardId, News)>,
    #[expect(dead_code, reason = "held for its drop")]
    subscriptions: JoinSet<()>,
}

/// One shard's way into its merge.
struct Lane {
    merge: usize,
    gate: Arc<Semaphore>,
    /// Permits kept back while the shard's buffer is full.
    kept: usize,
}

impl Lane {
    fn open(&mut self) {
        self.gate.add_permits(std::mem::take(&mut self.kept));
    }
}

impl Streams {
    /// Subscribes to every shard of the plan, right after `cursor`.
    pub(super) fn open(plan: &Plan, cursor: Cursor) -> Self {
        Self::open_each(plan, |shard| cursor.start_of(shard))
    }

    /// Subscribes to every shard of the plan, each from the first timestamp that was not read of it.
    pub(super) fn open_each(plan: &Plan, start_of: impl Fn(ShardId) -> Timestamp) -> Self {
        let Plan { core, shards, options, .. } = plan;
        let shard_bytes_max = (options.buffer_bytes_max / shards.len()).max(SHARD_BYTES_LEAST);
        // What was read already counts as closed: the merge waits for what comes after the cursor.
        let closed = |shard: &ShardId| (*shard, start_of(*shard).minus_ns(1));
        let each = options.order == Order::EachShard;
        let merges = if each {
            shards.iter().map(|shard| Merge::new([closed(shard)], shard_bytes_max)).collect()
        } else {
            vec![Merge::new(shards.iter().map(closed), shard_bytes_max)]
        };
        let (sender, news) = mpsc::channel(shards.len() * DELIVERIES_AHEAD);
        let mut lanes = HashMap::new();
        let mut subscriptions = JoinSet::new();
        for (at, shard) in shards.iter().copied().enumerate() {
            let gate = Arc::new(Semaphore::new(DELIVERIES_AHEAD));
            let merge = if each { at } else { 0 };
            lanes.insert(shard, Lane { merge, gate: Arc::clone(&gate), kept: 0 });
            let topic = plan.topic_of(shard).expect("only shards of the topics are read");
            let progress = Progress::new(topic, shard, start_of(shard), options.keys.clone());
            let subscription = Subscription {
                core: Arc::clone(core),
                topic: Arc::clone(topic),
                shard,
                node: options.node,
                timeout: options.timeout,
                on_trimmed: options.on_trimmed,
                gate,
                news: sender.clone(),
            };
            subscriptions.spawn(subscription.run(progress));
        }
        if let Some(age) = options.bound_while_following() {
            subscriptions.spawn(tell_time(Arc::clone(core), age, sender));
        }
        Self { merges, lanes, turn: 0, news, subscriptions }
    }

    /// Takes a delivery into its merge.
    pub(super) fn hear(&mut self, shard: ShardId, delivered: Delivered) {
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        let merge = &mut self.merges[lane.merge];
        for item in delivered.items {
            merge.push(shard, item.timestamp(), weight(&item), item);
        }
        merge.close(shard, delivered.closed);
        lane.kept += 1;
        if !merge.is_paused(shard) {
            lane.open();
        }
    }

    /// The next item that nothing can come before, unless it is stamped after `until`.
    pub(super) fn pop(&mut self, until: Option<Timestamp>) -> Option<(Place, Item)> {
        for _ in 0..self.merges.len() {
            let merge = &mut self.merges[self.turn];
            if !merge.is_over(until)
                && let Some(popped) = merge.pop()
            {
                if popped.resumes
                    && let Some(lane) = self.lanes.get_mut(&popped.place.shard)
                {
                    lane.open();
                }
                return Some((popped.place, popped.item));
            }
            self.turn = (self.turn + 1) % self.merges.len();
        }
        None
    }

    /// The timestamp up to which everything was popped, whichever the shard.
    pub(super) fn closed(&mut self) -> Timestamp {
        let frontier = self.merges.iter_mut().filter_map(Merge::frontier).min();
        frontier.map_or(Timestamp::MAX, |place| place.timestamp.minus_ns(1))
    }

    /// Whether items come in one order over all shards.
    pub(super) fn is_merged(&self) -> bool {
        self.merges.len() == 1
    }

    /// Whether nothing stamped at or before `until` can come any more.
    pub(super) fn is_done(&mut self, until: Option<Timestamp>) -> bool {
        self.merges.iter_mut().all(|merge| merge.is_over(until))
    }
}
