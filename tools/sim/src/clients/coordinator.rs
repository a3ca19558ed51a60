//! A node's part in the group: it folds its replica of the group's log, and speaks for the group while that replica leads.
//!
//! What becomes of a word, and who is given up, production code decides (`timberline::group`); this carries it from the log
//! and into it, as a node's tasks do. It lives and dies with the node's process.

use timberline::codec::EncodedBatch;
use timberline::group::{
    Beat, Change, Commit, GroupRecord, Groups, Heard, Joining, Keeping, Liveness, Standing,
};
use timberline::lane::{AppendCommand, Event, ReadAnswer, ReadRefusal, Ticket};
use timberline::shard::{Outcome as Fate, Refusal};
use timberline::types::{
    AppendTerms, BatchId, GroupName, Monotonic, NodeId, Offset, Receipt, ShardId, Timestamp,
};
use timberline_checkers::{Append, GroupPlace, GroupStep, Outcome, Stamp, Terms};

use super::letters::{Denied, Letter, Letters};
use super::producer::encode_values;
use super::reader::{Subscription, Taken};
use crate::plan::{MS, SECOND};
use crate::world::{Asker, World, seen, with_records};

/// How often members are looked at.
const LOOK_NS: u64 = 100 * MS;
/// How long a question is held.
const HELD_NS: u64 = 2 * SECOND;
/// What a record of the log counts for, and what the log is taken to keep: groups are written whole every forty records.
const RECORD_BYTES: u64 = 100;
const KEPT_BYTES: u64 = 16_000;
pub(super) const SESSION_TIMEOUT_MS: u32 = 1_000;

pub(super) struct Coordinator {
    client: u64,
    node: NodeId,
    log: ShardId,
    /// What is in memory of the process that runs, by its number.
    life: Option<(u64, Memory)>,
    /// Records below this were folded by some life of the node.
    noted: Offset,
}

struct Memory {
    reading: Subscription,
    groups: Groups,
    has_begun: bool,
    liveness: Liveness,
    questions: Vec<Question>,
    /// What it appends by itself is under way, since then.
    own: Option<(Step, u64)>,
}

struct Question {
    from: u64,
    attempt: u64,
    beat: Beat,
    asked_ns: u64,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Waits until the fold holds all that this leader had.
    Folds(Offset),
    /// Waits for the receipt, of the append that stands there in the history.
    Appends(Ticket, usize),
    /// Waits until the fold holds what was appended.
    Ends(Offset),
}

pub(super) fn group() -> GroupName {
    "readers".parse().expect("a good name")
}

impl Coordinator {
    pub(super) fn new(client: u64, node: NodeId, log: ShardId) -> Self {
        Self { client, node, log, life: None, noted: Offset(0) }
    }

    pub(super) fn begin(&self, world: &mut World) {
        world.set_timer(self.client, LOOK_NS, 0);
    }

    /// Its own timer rings: it looks after members.
    pub(super) fn look(&mut self, world: &mut World, letters: &mut Letters) {
        world.set_timer(self.client, LOOK_NS, 0);
        self.wake(world);
        let (client, node, log) = (self.client, self.node, self.log);
        let Some((_, memory)) = self.life.as_mut().filter(|_| world.is_awake(node)) else { return };
        memory.reading.watch(world, &[]);
        let held = |question: &Question| world.now_ns - question.asked_ns < HELD_NS;
        memory.questions.retain(held);
        memory.own = memory.own.filter(|(_, since_ns)| world.now_ns - since_ns < HELD_NS);
        let leading_since = world.statuses(node).into_iter().find(|status| status.shard == log);
        let leading_since = leading_since.and_then(|status| status.leading_since);
        let due = memory.liveness.due(Monotonic(world.now_ns), leading_since, &memory.groups);
        if memory.own.is_none() && !due.is_empty() {
            memory.own = Some((append(world, letters, (client, node, log), due), world.now_ns));
        }
    }

    /// Begins anew if its process did.
    fn wake(&mut self, world: &mut World) {
        let life = world.life(self.node);
        if self.life.as_ref().map(|(life, _)| *life) == life {
            return;
        }
        self.life = life.map(|life| {
            let mut reading = Subscription::new(self.client, self.log, self.node, Timestamp::ZERO, world);
            reading.ask(world);
            let liveness = Liveness::new(Monotonic(world.now_ns), Keeping::of(KEPT_BYTES));
            let groups = Groups::default();
            (life, Memory { reading, groups, has_begun: false, liveness, questions: Vec::new(), own: None })
        });
    }

    /// A letter is there.
    pub(super) fn hear(&mut self, world: &mut World, letters: &mut Letters, letter: Letter) {
        self.wake(world);
        let Some((_, memory)) = &mut self.life else { return };
        if !world.is_awake(self.node) {
            letters.keep(world, self.client, letter);
            return;
        }
        let Letter::Said { from, attempt, beat } = letter else { return };
        let status = world.statuses(self.node).into_iter().find(|status| status.shard == self.log);
        match status {
            Some(status) if status.leading_since.is_some() => {
                memory.liveness.hear(&group(), beat.member, Monotonic(world.now_ns));
                let step = Step::Folds(status.appended);
                memory.questions.push(Question { from, attempt, beat, asked_ns: world.now_ns, step });
                self.advance(world, letters);
            }
            status => {
                let leader = status.and_then(|status| status.leader);
                let answer = Err(Denied::NotLeader(leader));
                letters.send(world, from, Letter::Answered { attempt, answer });
            }
        }
    }

    pub(super) fn read(
        &mut self,
        world: &mut World,
        letters: &mut Letters,
        ticket: Ticket,
        answer: (NodeId, Result<ReadAnswer, ReadRefusal>),
    ) {
        let Some((life, memory)) = &mut self.life else { return };
        if world.life(self.node) != Some(*life) {
            return;
        }
        let Taken::Answer(answer) = memory.reading.take(world, ticket, answer) else { return };
        memory.reading.ask(world);
        if !std::mem::replace(&mut memory.has_begun, true) {
            memory.groups = Groups::from(answer.kept_from);
        }
        for frame in with_records(&answer.frames) {
            let Some(records) = letters.logged.get(&seen(frame).append) else { continue };
            for (nth, record) in (0..).zip(records) {
                let offset = frame.header.first_offset.plus(nth);
                memory.groups.fold(offset, RECORD_BYTES, record.clone());
                if offset >= self.noted {
                    self.noted = offset.plus(1);
                    note(world, self.node, offset, record, &memory.groups);
                }
            }
        }
        memory.groups.skip_to(answer.next_offset);
        self.advance(world, letters);
    }

    pub(super) fn appended(
        &mut self,
        world: &mut World,
        letters: &mut Letters,
        ticket: Ticket,
        result: &Result<Receipt, Refusal>,
    ) {
        let Some((_, memory)) = &mut self.life else { return };
        let waits = |step: &Step| matches!(step, Step::Appends(awaited, _) if *awaited == ticket);
        let own = memory.own.as_mut().map(|(step, _)| step).filter(|step| waits(step));
        let asked = memory.questions.iter_mut().map(|question| &mut question.step).find(|step| waits(step));
        let Some(step) = own.or(asked) else { return };
        let Step::Appends(_, place) = *step else { return };
        let at_ns = world.true_ns();
        match result {
            Ok(receipt) => {
                let stamp = Stamp { offset: receipt.first_offset, timestamp: receipt.first_timestamp };
                world.history.appends[place].outcome = Outcome::Acknowledged { at_ns, stamp };
                *step = Step::Ends(receipt.first_offset.plus(u64::from(receipt.record_count)));
            }
            Err(refusal) => {
                if refusal.outcome() == Fate::NotApplied {
                    world.history.appends[place].outcome = Outcome::Failed;
                }
                memory.own = memory.own.filter(|(step, _)| !waits(step));
                if let Some(at) = memory.questions.iter().position(|question| waits(&question.step)) {
                    let Question { from, attempt, .. } = memory.questions.remove(at);
                    letters.send(world, from, Letter::Answered { attempt, answer: Err(Denied::Busy) });
                }
            }
        }
        self.advance(world, letters);
    }

    /// How far it has folded, and what it does not see committed of what these shards hold.
    pub(super) fn lag(&self, world: &World) -> (Offset, Option<String>) {
        let Some((_, memory)) = &self.life else { return (Offset(0), None) };
        let group = memory.groups.get(&group());
        let behind = world.history.logs.iter().filter(|log| log.shard != self.log).find_map(|log| {
            let last = log.entries.last()?.last_timestamp();
            let place = group.and_then(|group| group.places.get(&log.shard));
            let is_read = place.is_some_and(|place| place.next > last);
            (!is_read).then(|| format!("the group stands in shard {} at {place:?}, before {last}", log.shard))
        });
        (memory.groups.next(), behind)
    }

    /// Takes every question as far as it goes by now.
    fn advance(&mut self, world: &mut World, letters: &mut Letters) {
        let (client, node, log) = (self.client, self.node, self.log);
        let Some((_, memory)) = &mut self.life else { return };
        let folded = memory.groups.next();
        let is_folded = |step: Step| matches!(step, Step::Folds(end) | Step::Ends(end) if folded >= end);
        memory.own = memory.own.filter(|(step, _)| !is_folded(*step));
        for mut question in std::mem::take(&mut memory.questions) {
            if !is_folded(question.step) {
                memory.questions.push(question);
                continue;
            }
            let known = memory.groups.get(&group());
            let answer = match question.step {
                Step::Folds(_) => match heard(world, node, &question.beat, &memory.groups) {
                    Ok(changes) if changes.is_empty() => answered(&question.beat, known),
                    Ok(changes) => {
                        let records =
                            changes.into_iter().map(|change| GroupRecord { group: group(), change });
                        question.step = append(world, letters, (client, node, log), records.collect());
                        memory.questions.push(question);
                        continue;
                    }
                    Err(answer) => answer,
                },
                Step::Appends(..) | Step::Ends(_) => answered(&question.beat, known),
            };
            letters.send(world, question.from, Letter::Answered { attempt: question.attempt, answer });
        }
    }
}

type Answer = Result<timberline::group::Group, Denied>;

/// What is to be appended for a word, or how it is answered without.
fn heard(world: &mut World, node: NodeId, beat: &Beat, groups: &Groups) -> Result<Vec<Change>, Answer> {
    let latest = world.latest(node);
    if beat.read.is_some_and(|(timestamp, _)| timestamp > latest) {
        return Err(Err(Denied::Busy));
    }
    match beat.clone().heard(groups.get(&group())) {
        Heard::Joins => {
            let shards = world.specs.iter().skip(1).map(|spec| spec.shard).collect();
            let joining = Joining {
                member: beat.member,
                name: String::new(),
                session_timeout_ms: SESSION_TIMEOUT_MS,
                topics: [("events".parse().expect("a good name"), shards)].into(),
                from: Timestamp::ZERO,
            };
            Ok(groups.joining(&group(), joining))
        }
        Heard::Changes(changes) => Ok(changes),
        Heard::HasLeft => Err(Ok(timberline::group::Group::default())),
        Heard::IsStale => Err(Err(Denied::Stale)),
    }
}

fn answered(beat: &Beat, group: Option<&timberline::group::Group>) -> Answer {
    match beat.answered(group) {
        Standing::Member | Standing::HasLeft => Ok(group.cloned().unwrap_or_default()),
        Standing::IsOvertaken => Err(Denied::Busy),
        Standing::IsStale => Err(Denied::Stale),
    }
}

/// Appends changes in one batch, once: who asked may ask again.
fn append(
    world: &mut World,
    letters: &mut Letters,
    (client, node, shard): (u64, NodeId, ShardId),
    records: Vec<GroupRecord>,
) -> Step {
    let place = world.history.appends.len();
    let id = place as u64 + 1;
    let EncodedBatch { count, compression, crc, body } =
        encode_values(id, records.len() as u64, None, "group");
    letters.logged.insert(id, records);
    let (invoked_ns, outcome) = (world.true_ns(), Outcome::Unknown);
    // Several are under way at once, and none waits for another: each is a producer of its own.
    let producer = (client << 32) + id;
    let terms = Terms::default();
    world.history.appends.push(Append { id, shard, producer, number: 1, count, invoked_ns, terms, outcome });
    let ticket = world.draw_ticket(Asker { client, shard, reader: 0 });
    let command = AppendCommand {
        ticket,
        shard,
        batch: BatchId::default(),
        terms: AppendTerms::default(),
        record_count: count,
        compression,
        body_crc: crc,
        body,
        arrived: Monotonic(0),
    };
    world.request(node, Event::Append(command));
    Step::Appends(ticket, place)
}

/// What a record did is noted for the checkers.
fn note(world: &mut World, node: NodeId, offset: Offset, record: &GroupRecord, groups: &Groups) {
    let commits = match &record.change {
        Change::Committed(Commit { member, generation, .. }) => Some((member.0, *generation)),
        _ => None,
    };
    let places = groups.get(&group()).map(|group| &group.places);
    let places = places.into_iter().flatten().map(|(shard, place)| {
        let owner = place.owner.map(|owner| owner.0);
        (*shard, GroupPlace { owner, since: place.since, next: place.next })
    });
    let (at_ns, places) = (world.true_ns(), places.collect());
    world.totals.group_commits += u64::from(commits.is_some());
    world.history.group_steps.push(GroupStep { node, offset, at_ns, commits, places });
}
