//! A member of the group: it joins, reads what it holds in one order, commits, yields, leaves; or dies, or stands still and wakes.
//!
//! What the client library's members do, once more in virtual time (`src/client/group`): a standing is followed before anything
//! is handed out by it, and nothing is once a session timeout has passed since the last word that was answered.

use std::collections::BTreeMap;

use timberline::group::{Beat, Group, Place};
use timberline::lane::{Event, ReadAnswer, ReadRefusal, Ticket};
use timberline::merge::Merge;
use timberline::types::{MemberId, NodeId, ShardId, Timestamp};
use timberline_checkers::GroupRead;

use super::coordinator::SESSION_TIMEOUT_MS;
use super::letters::{Denied, Letter, Letters};
use super::reader::{Subscription, Taken};
use crate::plan::{MS, SECOND};
use crate::world::World;

const LOOK_NS: u64 = 50 * MS;
const SESSION_NS: u64 = SESSION_TIMEOUT_MS as u64 * MS;
const BEAT_NS: u64 = SESSION_NS / 5;
/// A word that is to be logged and is not answered for so long is said again.
const AGAIN_NS: u64 = 400 * MS;
const COMMIT_NS: u64 = 500 * MS;
const SHARD_BYTES_MAX: usize = 64 << 10;
/// Beside beats so many words may be unanswered.
const SAID_MAX: usize = 32;

pub(super) struct Member {
    client: u64,
    /// The coordinators, by their nodes.
    coordinators: BTreeMap<NodeId, u64>,
    /// Whom it takes for the leader of the group's log.
    leader: NodeId,
    attempts: u64,
    stands_still_until_ns: u64,
    rests_until_ns: u64,
    life: Option<Life>,
}

/// One membership, from its first word on.
struct Life {
    id: MemberId,
    end_ns: u64,
    end: End,
    /// What the coordinator said last; `None` before it has joined.
    standing: Option<Group>,
    valid_until_ns: u64,
    reading: Option<Reading>,
    /// Of the newest standing that holds just what is read.
    generation: u64,
    uncommitted: Option<(Timestamp, ShardId)>,
    committed_ns: u64,
    beaten_ns: u64,
    /// When what is to be logged was said last, and by which attempt.
    waits: Option<(u64, u64)>,
    said: BTreeMap<u64, (u64, Beat)>,
}

struct Reading {
    subscriptions: Vec<Subscription>,
    starts: BTreeMap<ShardId, Timestamp>,
    merge: Merge<()>,
}

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Leaves,
    Dies,
    /// It goes on after a while, whatever became of it meanwhile.
    StandsStill,
}

impl Member {
    pub(super) fn new(client: u64, coordinators: BTreeMap<NodeId, u64>) -> Self {
        let leader = *coordinators.keys().next().expect("some node has the group's log");
        let (attempts, stands_still_until_ns, rests_until_ns) = (0, 0, 0);
        Self { client, coordinators, leader, attempts, stands_still_until_ns, rests_until_ns, life: None }
    }

    pub(super) fn begin(&self, world: &mut World) {
        world.set_timer(self.client, LOOK_NS, 0);
    }

    pub(super) fn look(&mut self, world: &mut World, letters: &mut Letters) {
        world.set_timer(self.client, LOOK_NS, 0);
        if world.now_ns < self.stands_still_until_ns {
            return;
        }
        if self.life.is_none() && world.now_ns >= self.rests_until_ns {
            self.life = Some(Life::draw(world, self.client));
        }
        self.end_life(world);
        if world.now_ns < self.stands_still_until_ns {
            return;
        }
        let nodes: Vec<NodeId> = self.coordinators.keys().copied().collect();
        if let Some(reading) = self.life.as_mut().and_then(|life| life.reading.as_mut()) {
            reading.subscriptions.iter_mut().for_each(|subscription| subscription.watch(world, &nodes));
        }
        self.go_on(world, letters);
    }

    /// Dies or stands still, if it is time. Who leaves says so first.
    fn end_life(&mut self, world: &mut World) {
        let Some(life) = self.life.as_mut().filter(|life| !world.calm && world.now_ns >= life.end_ns) else {
            return;
        };
        match life.end {
            End::Leaves => {}
            End::Dies => self.forget(world),
            End::StandsStill => {
                self.stands_still_until_ns = world.now_ns + world.random.between(200 * MS, 4 * SECOND);
                life.end_ns = world.now_ns + world.random.below(6 * SECOND);
            }
        }
    }

    fn forget(&mut self, world: &mut World) {
        if let Some(reading) = self.life.take().and_then(|life| life.reading) {
            reading.stop(world);
        }
        self.rests_until_ns = world.now_ns + world.random.below(SECOND);
    }

    pub(super) fn hear(&mut self, world: &mut World, letters: &mut Letters, letter: Letter) {
        if world.now_ns < self.stands_still_until_ns {
            letters.keep(world, self.client, letter);
            return;
        }
        let Letter::Answered { attempt, answer } = letter else { return };
        let Some(life) = &mut self.life else { return };
        let Some((sent_ns, beat)) = life.said.remove(&attempt) else { return };
        if life.waits.is_some_and(|(_, awaited)| awaited == attempt) {
            life.waits = None;
        }
        match answer {
            Ok(_) if beat.leaves => self.forget(world),
            Ok(group) => {
                life.learn(sent_ns, &beat, group, world.now_ns);
                self.go_on(world, letters);
            }
            Err(Denied::Stale) => self.forget(world),
            Err(Denied::NotLeader(leader)) => {
                let known = leader.filter(|leader| self.coordinators.contains_key(leader));
                self.leader = known.unwrap_or_else(|| self.any_node(world));
            }
            Err(Denied::Busy) => {}
        }
    }

    fn any_node(&self, world: &mut World) -> NodeId {
        let nodes: Vec<NodeId> = self.coordinators.keys().copied().collect();
        world.random.pick(&nodes)
    }

    pub(super) fn read(
        &mut self,
        world: &mut World,
        letters: &mut Letters,
        ticket: Ticket,
        answer: (NodeId, Result<ReadAnswer, ReadRefusal>),
    ) {
        if world.now_ns < self.stands_still_until_ns {
            // What was on its way to it waits in its sockets no longer than a read is held.
            return;
        }
        let Some(reading) = self.life.as_mut().and_then(|life| life.reading.as_mut()) else { return };
        reading.take(world, ticket, answer);
        self.go_on(world, letters);
    }

    /// Says what is to be said, and hands out what may be.
    fn go_on(&mut self, world: &mut World, letters: &mut Letters) {
        let Some(life) = &mut self.life else { return };
        let Some(beat) = life.next_word(world, self.client) else { return };
        let is_logged = beat.generation == 0 || beat.read.is_some() || beat.leaves || !beat.yields.is_empty();
        self.attempts += 1;
        if is_logged {
            if life.waits.is_some() {
                // The last attempt had no answer.
                self.leader = *self
                    .coordinators
                    .keys()
                    .nth(self.attempts as usize % self.coordinators.len())
                    .expect("some node has the group's log");
            }
            life.waits = Some((world.now_ns, self.attempts));
        }
        life.beaten_ns = world.now_ns;
        life.said.insert(self.attempts, (world.now_ns, beat.clone()));
        while life.said.len() > SAID_MAX {
            life.said.pop_first();
        }
        let letter = Letter::Said { from: self.client, attempt: self.attempts, beat };
        letters.send(world, self.coordinators[&self.leader], letter);
    }
}

impl Life {
    fn draw(world: &mut World, client: u64) -> Self {
        let id = MemberId(client << 32 | world.random.below(1 << 32));
        let end = world.random.pick(&[End::Leaves, End::Dies, End::StandsStill]);
        let end_ns = world.now_ns + world.random.between(SECOND / 2, 8 * SECOND);
        Self {
            id,
            end_ns,
            end,
            standing: None,
            valid_until_ns: 0,
            reading: None,
            generation: 0,
            uncommitted: None,
            committed_ns: 0,
            beaten_ns: 0,
            waits: None,
            said: BTreeMap::new(),
        }
    }

    /// The coordinator answered what was sent then. Answers may overtake each other: the newest generation counts, and within
    /// one the furthest positions.
    fn learn(&mut self, sent_ns: u64, beat: &Beat, mut group: Group, now_ns: u64) {
        if beat.read.is_some() {
            self.committed_ns = now_ns;
            self.uncommitted = self.uncommitted.filter(|place| Some(*place) != beat.read);
        }
        if let Some(known) = &self.standing {
            if known.generation > group.generation {
                return;
            }
            if known.generation == group.generation {
                for (shard, place) in &mut group.places {
                    let before = known.places.get(shard).map_or(Timestamp::ZERO, |place| place.next);
                    place.next = place.next.max(before);
                }
            }
        }
        self.valid_until_ns = self.valid_until_ns.max(sent_ns + SESSION_NS);
        self.standing = Some(group);
    }

    fn held(&self) -> BTreeMap<ShardId, Place> {
        let held = self.standing.iter().flat_map(|group| group.held_by(self.id));
        held.map(|(shard, place)| (shard, *place)).collect()
    }

    /// Takes the steps that need no word, and gives the word that the next one needs, if it is due.
    fn next_word(&mut self, world: &mut World, client: u64) -> Option<Beat> {
        let is_silent = self.waits.is_none_or(|(said_ns, _)| world.now_ns - said_ns >= AGAIN_NS);
        let Some(generation) = self.standing.as_ref().map(|group| group.generation) else {
            return is_silent.then(|| Beat { member: self.id, ..Beat::default() });
        };
        let held = self.held();
        let wanted: Vec<ShardId> =
            held.iter().filter(|(_, place)| place.wanted.is_some()).map(|(shard, _)| *shard).collect();
        let reads = |reading: &Reading| reading.starts.keys().eq(held.keys());
        let goes_on = self.reading.as_ref().map_or(held.is_empty(), reads) && wanted.is_empty();
        let leaves = self.end == End::Leaves && !world.calm && world.now_ns >= self.end_ns;
        let beat = Beat { member: self.id, generation: self.generation.max(1), ..Beat::default() };
        if goes_on {
            self.generation = generation;
            if !leaves {
                self.hand_out(world);
            }
        }
        let is_due = !goes_on || leaves || world.now_ns - self.committed_ns >= COMMIT_NS;
        if self.uncommitted.is_some() && is_due {
            let read = self.uncommitted;
            return is_silent.then_some(Beat { read, ..beat });
        }
        if leaves {
            return is_silent.then_some(Beat { leaves, ..beat });
        }
        if !goes_on {
            // Nothing is read any more, and what was is committed.
            if let Some(reading) = self.reading.take() {
                reading.stop(world);
            }
            if !wanted.is_empty() {
                return is_silent.then_some(Beat { generation, yields: wanted, ..beat });
            }
            let starts = held.iter().map(|(shard, place)| (*shard, place.next)).collect();
            self.reading = Some(Reading::begin(starts, world, client));
            self.generation = generation;
        }
        (world.now_ns - self.beaten_ns >= BEAT_NS)
            .then_some(Beat { generation: self.generation.max(1), ..beat })
    }

    fn hand_out(&mut self, world: &mut World) {
        let Some(reading) = self.reading.as_mut().filter(|_| world.now_ns < self.valid_until_ns) else {
            return;
        };
        while let Some(popped) = reading.merge.pop() {
            let (timestamp, shard) = (popped.place.timestamp, popped.place.shard);
            self.uncommitted = Some((timestamp, shard));
            world.totals.group_reads += 1;
            let (member, generation, at_ns) = (self.id.0, self.generation, world.true_ns());
            world.history.group_reads.push(GroupRead { member, generation, shard, timestamp, at_ns });
        }
    }
}

impl Reading {
    fn begin(starts: BTreeMap<ShardId, Timestamp>, world: &mut World, client: u64) -> Self {
        let subscriptions = starts.iter().map(|(shard, from)| {
            let spec =
                world.specs.iter().find(|spec| spec.shard == *shard).expect("groups read known shards");
            let nodes: Vec<NodeId> = spec.replicas.iter().map(|placed| placed.node).collect();
            let node = world.random.pick(&nodes);
            let mut subscription = Subscription::new(client, *shard, node, *from, world);
            subscription.ask(world);
            subscription
        });
        let subscriptions = subscriptions.collect();
        let merge =
            Merge::new(starts.iter().map(|(shard, from)| (*shard, from.minus_ns(1))), SHARD_BYTES_MAX);
        Self { subscriptions, starts, merge }
    }

    fn take(&mut self, world: &mut World, ticket: Ticket, answer: (NodeId, Result<ReadAnswer, ReadRefusal>)) {
        let Some(at) = self.subscriptions.iter().position(|subscription| subscription.awaits(ticket)) else {
            return;
        };
        let Taken::Answer(answer) = self.subscriptions[at].take(world, ticket, answer) else { return };
        let shard = self.subscriptions[at].shard;
        for frame in &answer.frames {
            for nth in 0..u64::from(frame.header.record_count) {
                let timestamp = frame.header.first_timestamp.plus_ns(nth);
                if timestamp >= self.starts[&shard] {
                    self.merge.push(shard, timestamp, 64, ());
                }
            }
        }
        if answer.closed > self.merge.closed(shard) {
            self.merge.close(shard, answer.closed);
        }
        self.subscriptions[at].ask(world);
    }

    fn stop(self, world: &mut World) {
        for (node, ticket) in self.subscriptions.iter().filter_map(Subscription::waits) {
            world.request(node, Event::CancelRead(ticket));
        }
    }
}
