//! A reader of everything in one order: one subscription per shard, each on any node, under the production merge.

use std::collections::BTreeMap;

use timberline::codec::FrameHeader;
use timberline::lane::{ReadAnswer, ReadRefusal, Ticket};
use timberline::merge::Merge;
use timberline::types::{NodeId, Offset, Timestamp};
use timberline_checkers::{MergedRecord, MergedStream};

use super::reader::{Subscription, Taken};
use crate::plan::MS;
use crate::world::{EPOCH_NS, World, seen};

const WATCH_NS: u64 = 100 * MS;
const SHARD_BYTES_MAX: usize = 64 << 10;

/// A record on its way through the merge.
struct Item {
    offset: Offset,
    append: u64,
}

pub(super) struct MergedReader {
    client: u64,
    from: Timestamp,
    subscriptions: Vec<Subscription>,
    merge: Merge<Item>,
    /// Where its stream stands in the history.
    place: usize,
}

impl MergedReader {
    pub(super) fn new(client: u64, starts_late: bool, world: &mut World) -> Self {
        let from = if starts_late { Timestamp(EPOCH_NS + world.now_ns) } else { Timestamp::ZERO };
        let specs = world.specs.clone();
        let subscriptions = specs
            .iter()
            .map(|spec| {
                let replica = world.random.below(spec.replicas.len() as u64) as usize;
                Subscription::new(client, spec.shard, spec.replicas[replica].node, from, world)
            })
            .collect();
        let merge = Merge::new(specs.iter().map(|spec| (spec.shard, from.minus_ns(1))), SHARD_BYTES_MAX);
        let place = world.history.merged.len();
        world.history.merged.push(MergedStream {
            reader: client,
            from,
            kept_from: BTreeMap::new(),
            records: Vec::new(),
        });
        Self { client, from, subscriptions, merge, place }
    }

    pub(super) fn begin(&mut self, world: &mut World) {
        for subscription in &mut self.subscriptions {
            subscription.ask(world);
        }
        world.set_timer(self.client, WATCH_NS, 0);
    }

    pub(super) fn timer(&mut self, world: &mut World) {
        for subscription in &mut self.subscriptions {
            let placed = world.specs.iter().find(|spec| spec.shard == subscription.shard);
            let nodes: Vec<NodeId> = placed
                .map(|spec| spec.replicas.iter().map(|placed| placed.node).collect())
                .unwrap_or_default();
            subscription.watch(world, &nodes);
        }
        world.set_timer(self.client, WATCH_NS, 0);
    }

    pub(super) fn answer(
        &mut self,
        world: &mut World,
        ticket: Ticket,
        answer: (NodeId, Result<ReadAnswer, ReadRefusal>),
    ) {
        let Some(at) = self.subscriptions.iter().position(|subscription| subscription.awaits(ticket)) else {
            return;
        };
        match self.subscriptions[at].take(world, ticket, answer) {
            Taken::Answer(taken) => {
                self.take(world, at, &taken);
                self.subscriptions[at].ask(world);
            }
            Taken::Trimmed => self.start_over(world),
            Taken::Nothing => {}
        }
    }

    /// It fell behind, and was told: all of it begins again, at what is kept now.
    fn start_over(&mut self, world: &mut World) {
        *self = Self::new(self.client, false, world);
        for subscription in &mut self.subscriptions {
            subscription.ask(world);
        }
    }

    fn take(&mut self, world: &mut World, at: usize, answer: &ReadAnswer) {
        let shard = self.subscriptions[at].shard;
        if self.from == Timestamp::ZERO {
            // Where it was told to begin; later answers change nothing.
            let kept_from = &mut world.history.merged[self.place].kept_from;
            kept_from.entry(shard).or_insert(answer.kept_from);
        }
        for frame in &answer.frames {
            let FrameHeader { first_timestamp, first_offset, record_count, .. } = frame.header;
            let append = seen(frame).append;
            for n in 0..u64::from(record_count) {
                let timestamp = first_timestamp.plus_ns(n);
                if timestamp >= self.from {
                    let item = Item { offset: Offset(first_offset.0 + n), append };
                    self.merge.push(shard, timestamp, 64, item);
                }
            }
        }
        if answer.closed > self.merge.closed(shard) {
            self.merge.close(shard, answer.closed);
        }
        let records = &mut world.history.merged[self.place].records;
        while let Some(popped) = self.merge.pop() {
            world.totals.merged += 1;
            records.push(MergedRecord {
                timestamp: popped.place.timestamp,
                shard: popped.place.shard,
                offset: popped.item.offset,
                append: popped.item.append,
            });
        }
    }

    /// The last record it was given.
    pub(super) fn last(&self, world: &World) -> Option<MergedRecord> {
        world.history.merged[self.place].records.last().copied()
    }

    pub(super) fn starts_late(&self) -> bool {
        self.from > Timestamp::ZERO
    }
}
