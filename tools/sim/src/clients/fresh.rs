//! A reader by consistency levels: one read after the other, each of all shards, each on replicas drawn anew.
//!
//! It asks for as little as tells where a read ends: of each shard the place right behind its mark. What a mark is, whose clock
//! may give one and when a read of many shards is over, production code decides.

use std::collections::BTreeMap;
use std::time::Duration;

use timberline::clock::{Level, TimeInterval, Unfit};
use timberline::lane::{Event, ReadAnswer, ReadCommand, ReadFrom, ReadRefusal, Ticket};
use timberline::merge::Merge;
use timberline::types::{NodeId, Offset, ShardId, Timestamp, Token};
use timberline_checkers::{Append, Demand, FreshRead, Outcome};

use crate::plan::{MS, SECOND};
use crate::world::{Asker, World};

const LOOK_NS: u64 = 100 * MS;
/// Between two reads, at most.
const REST_NS: u64 = SECOND;
/// A question that is not answered for so long is asked of another node.
const ANSWER_NS: u64 = 500 * MS;
/// A read that takes longer is given up: nothing is promised of it.
const PATIENCE_NS: u64 = 4 * SECOND;
const AGE_NS_MAX: u64 = 3 * SECOND;
const NO_TIME: TimeInterval = TimeInterval { earliest: Timestamp::ZERO, latest: Timestamp::ZERO };

pub(super) struct FreshReader {
    client: u64,
    rests_until_ns: u64,
    read: Option<Read>,
}

/// A read under way.
struct Read {
    level: Level,
    demand: Demand,
    own: Token,
    invoked_ns: u64,
    began_ns: u64,
    /// When the time was last asked, while no mark is known.
    asked_time_ns: Option<u64>,
    marked: Option<Marked>,
}

struct Marked {
    mark: Timestamp,
    merge: Merge<()>,
    waits: BTreeMap<ShardId, (Ticket, NodeId, u64)>,
    ends: BTreeMap<ShardId, Offset>,
}

impl FreshReader {
    pub(super) fn new(client: u64) -> Self {
        Self { client, rests_until_ns: 0, read: None }
    }

    pub(super) fn begin(&self, world: &mut World) {
        world.set_timer(self.client, LOOK_NS, 0);
    }

    pub(super) fn timer(&mut self, world: &mut World) {
        if self.read.as_ref().is_some_and(|read| world.now_ns - read.began_ns > PATIENCE_NS) {
            self.end(world);
        }
        if self.read.is_none() && world.now_ns >= self.rests_until_ns {
            self.read = Some(Read::draw(world));
        }
        self.ask(world);
        world.set_timer(self.client, LOOK_NS, 0);
    }

    /// Asks for what is missing and not on its way.
    fn ask(&mut self, world: &mut World) {
        let client = self.client;
        let Some(read) = &mut self.read else { return };
        if read.marked.is_none() && !read.level.needs_clock() {
            read.mark_by(NO_TIME, world);
        }
        if let Some(marked) = &mut read.marked {
            marked.ask(client, world);
            return;
        }
        let overdue = |asked_ns: u64| world.now_ns.saturating_sub(asked_ns) > ANSWER_NS;
        if read.asked_time_ns.is_none_or(overdue) {
            read.asked_time_ns = Some(world.now_ns);
            let nodes = world.node_ids();
            let node = world.random.pick(&nodes);
            world.ask_time(client, node, read.level.needs_majority());
        }
    }

    pub(super) fn told_time(&mut self, world: &mut World, told: Result<TimeInterval, Unfit>) {
        let Some(read) = self.read.as_mut().filter(|read| read.marked.is_none()) else { return };
        match told {
            Ok(interval) => {
                read.mark_by(interval, world);
                self.ask(world);
            }
            // The next look asks another node.
            Err(_) => read.asked_time_ns = None,
        }
    }

    pub(super) fn answer(
        &mut self,
        world: &mut World,
        ticket: Ticket,
        answer: Result<ReadAnswer, ReadRefusal>,
    ) {
        let Some(marked) = self.read.as_mut().and_then(|read| read.marked.as_mut()) else { return };
        let waits = marked.waits.iter().find(|(_, (awaited, ..))| *awaited == ticket);
        let Some(shard) = waits.map(|(shard, _)| *shard) else { return };
        marked.waits.remove(&shard);
        match answer {
            Ok(answer) => {
                marked.ends.insert(shard, answer.offset_of(marked.mark.next()));
                marked.merge.close(shard, answer.closed);
            }
            // What is wanted was read by those who came in time.
            Err(ReadRefusal::Trimmed { kept_from, .. }) => {
                marked.ends.insert(shard, kept_from);
                marked.merge.close(shard, marked.mark);
            }
            // The next look asks another replica.
            Err(_) => return,
        }
        if marked.merge.is_over(Some(marked.mark)) {
            self.note(world);
            self.end(world);
        }
    }

    fn note(&self, world: &mut World) {
        let Some(Read { demand, invoked_ns, marked: Some(marked), .. }) = &self.read else { return };
        let (mark, ends) = (marked.mark, marked.ends.clone());
        world.totals.fresh_reads += 1;
        world.history.fresh_reads.push(FreshRead {
            client: self.client,
            demand: *demand,
            invoked_ns: *invoked_ns,
            mark,
            ends,
        });
    }

    fn end(&mut self, world: &mut World) {
        if let Some(marked) = self.read.take().and_then(|read| read.marked) {
            for (ticket, node, _) in marked.waits.into_values() {
                world.request(node, Event::CancelRead(ticket));
            }
        }
        self.rests_until_ns = world.now_ns + world.random.below(REST_NS);
    }
}

impl Read {
    fn draw(world: &mut World) -> Self {
        let producer = world.random.between(1, world.plan.producers);
        let own = seen(world, |append| append.producer == producer);
        let told = seen(world, |_| true);
        let age_ns = world.random.below(AGE_NS_MAX);
        let (level, demand) = match world.random.below(5) {
            0 | 1 => (Level::Linearizable, Demand::Everything),
            2 => (Level::Session, Demand::Own { producer }),
            3 => (Level::Causal(told), Demand::Told { token: told.0 }),
            _ => (Level::Bounded(Duration::from_nanos(age_ns)), Demand::OlderThan { age_ns }),
        };
        let (invoked_ns, began_ns) = (world.true_ns(), world.now_ns);
        Self { level, demand, own, invoked_ns, began_ns, asked_time_ns: None, marked: None }
    }

    fn mark_by(&mut self, now: TimeInterval, world: &World) {
        let mark = self.level.mark(now, self.own);
        // Everything up to the mark counts as read but for the mark itself: whether it may still come is what is asked.
        let shards = world.specs.iter().map(|spec| (spec.shard, mark.minus_ns(1)));
        let (waits, ends) = (BTreeMap::new(), BTreeMap::new());
        self.marked = Some(Marked { mark, merge: Merge::new(shards, usize::MAX), waits, ends });
    }
}

impl Marked {
    fn ask(&mut self, client: u64, world: &mut World) {
        for spec in world.specs.clone() {
            let shard = spec.shard;
            if self.ends.contains_key(&shard) {
                continue;
            }
            if let Some((ticket, node, asked_ns)) = self.waits.get(&shard).copied() {
                if world.now_ns.saturating_sub(asked_ns) <= ANSWER_NS {
                    continue;
                }
                world.request(node, Event::CancelRead(ticket));
            }
            let nodes: Vec<NodeId> = spec.replicas.iter().map(|placed| placed.node).collect();
            let node = world.random.pick(&nodes);
            world.readers += 1;
            let ticket = world.draw_ticket(Asker { client, shard, reader: world.readers });
            self.waits.insert(shard, (ticket, node, world.now_ns));
            let from = ReadFrom::Time(self.mark.next());
            let closed_above = self.mark.minus_ns(1);
            world.request(node, Event::Read(ReadCommand { ticket, shard, from, max_bytes: 1, closed_above }));
        }
    }
}

/// The last timestamp of what was acknowledged so far to some producers.
fn seen(world: &World, whose: impl Fn(&Append) -> bool) -> Token {
    let last = world.history.appends.iter().filter(|append| whose(append)).filter_map(|append| {
        let Outcome::Acknowledged { stamp, .. } = append.outcome else { return None };
        Some(stamp.timestamp.plus_ns(u64::from(append.count.saturating_sub(1))))
    });
    Token(last.max().unwrap_or_default())
}
