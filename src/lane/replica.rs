//! One hosted replica: its core, its log, and what is between them: writes, syncs, held reads.
//!
//! Invariants: the core hears "persisted" only after the sync of what it handed over, or, with durability `memory` and of
//! frames alone, after the write; at most one sync is under way, and everything written meanwhile goes into the next
//! (group commit); a read sees released frames only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::beginning::{self, Beginning};
use super::outbox::Outbox;
use super::output::{
    Leadership, Output, PrepareRequest, ReadAnswer, ReadRefusal, ReplicaStatus, SyncRequest,
};
use super::{ReadCommand, ReadFrom, ShardSpec, Ticket};
use crate::clock::Reading;
use crate::codec::HEADER_BYTES;
use crate::consensus::Message;
use crate::log::{Log, Share};
use crate::shard::{Answer, AppendRequest, FenceRequest, Fenced, Persist, Refusal, Shard};
use crate::simulation::{Bug, is_planted};
use crate::types::{Durability, Index, Monotonic, NodeId, Offset, ReplicaId, Term, Timestamp};
use crate::wire::FloorRequest;

/// How long a full disk is left alone.
const PREPARE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Why a replica stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    #[error(transparent)]
    Shard(#[from] crate::shard::Error),
    #[error(transparent)]
    Disk(#[from] crate::disk::Error),
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each answers a question of its own; no two exclude each other"
)]
pub(super) struct Replica {
    pub(super) spec: ShardSpec,
    pub(super) me: ReplicaId,
    pub(super) shard: Shard,
    pub(super) log: Rc<RefCell<Log>>,
    /// Hand-overs of the core that are written, but in no sync yet.
    written: Vec<u64>,
    /// Hand-overs that the sync under way will prove: with durability `memory` there may be none.
    syncing: Option<Vec<u64>>,
    /// With durability `memory`: what is written goes to the disk soon.
    writes_back: bool,
    /// The last entry that is on the disk for certain, and the one that will be after the sync under way.
    on_disk: Index,
    on_disk_soon: Index,
    preparing: bool,
    /// Where a file for the next segment found no room: when it is asked for again.
    prepare_again: Option<Monotonic>,
    /// Bytes of frames that the core has taken in and not yet handed over.
    taken_bytes: u64,
    /// The core has taken in a manifest that it may not have handed over.
    resets: bool,
    /// Whether the disk was last told of as full.
    told_full: bool,
    beginning: Beginning,
    /// Files may be removed: the last removal went well, or enough time has passed.
    removes: bool,
    /// The doubts about clocks that it wrote into the log, or found nothing of there: by number, as leader of which term.
    pub(super) marked: BTreeMap<u64, Term>,
    /// The last committed frame handed out, where committed frames are followed.
    followed: Index,
    held: Vec<ReadCommand>,
    leading_since: Option<Monotonic>,
    asked_floor: bool,
    /// The leader and term last told of.
    led_by: Option<(Option<NodeId>, Term)>,
    /// What the log knows as applied.
    applied: Index,
}

/// Draws numbers that match requests with their answers.
pub(super) struct Tokens<'a> {
    pub(super) next: &'a mut u64,
}

impl Tokens<'_> {
    pub(super) fn draw(&mut self) -> u64 {
        *self.next += 1;
        *self.next
    }
}

impl Replica {
    pub(super) fn new(spec: ShardSpec, me: ReplicaId, log: Rc<RefCell<Log>>, shard: Shard) -> Self {
        let (followed, last) = (log.borrow().first_index().before(), log.borrow().last_index());
        Self {
            spec,
            me,
            shard,
            log,
            written: Vec::new(),
            syncing: None,
            writes_back: false,
            // Opening a log syncs all that it keeps.
            on_disk: last,
            on_disk_soon: last,
            preparing: false,
            prepare_again: None,
            taken_bytes: 0,
            resets: false,
            told_full: false,
            beginning: Beginning::default(),
            removes: true,
            marked: BTreeMap::new(),
            followed,
            held: Vec::new(),
            leading_since: None,
            asked_floor: false,
            led_by: None,
            applied: Index(0),
        }
    }

    /// Carries out everything the core wants, until it wants nothing more. Tokens drawn for this
    /// replica's requests are in the output.
    pub(super) fn settle(
        &mut self,
        now: &Reading,
        tokens: &mut Tokens<'_>,
        outbox: &mut Outbox,
        output: &mut Output,
    ) -> Result<(), Failure> {
        self.shard.advance(now);
        while let Some(persist) = self.shard.take_persist(now) {
            self.persist(persist, now, outbox)?;
            self.shard.advance(now);
        }
        (self.taken_bytes, self.resets) = (0, false);
        if let Some(failure) = self.shard.failure() {
            return Err(failure.clone().into());
        }
        self.answer(output);
        self.note_applied();
        self.beginning.follow(&self.shard, &self.log)?;
        self.follow(output)?;
        self.request_sync(tokens, output)?;
        self.request_segment(now, tokens, output);
        if self.removes {
            output.removals.extend(beginning::request_removal(&mut self.log.borrow_mut(), tokens));
        }
        self.note_room(output);
        self.note_leadership(now, outbox, output);
        self.serve_held(now, output);
        Ok(())
    }

    fn answer(&mut self, output: &mut Output) {
        for Answer { ticket, result } in self.shard.take_answers() {
            match self.shard.take_fenced(ticket) {
                Some(fenced) => output.fenced.push((Ticket(ticket), result.map(|_| fenced))),
                None => output.appended.push((Ticket(ticket), result)),
            }
        }
    }

    fn note_applied(&mut self) {
        let applied = self.shard.applied();
        if applied > self.applied {
            self.applied = applied;
            self.log.borrow_mut().note_applied(applied, &self.shard.voters());
        }
    }

    fn persist(&mut self, persist: Persist, now: &Reading, outbox: &mut Outbox) -> Result<(), Failure> {
        // What only adds frames need not reach the disk, if memory is enough.
        let counts_at_once =
            self.spec.durability == Durability::Memory && persist.vote.is_none() && persist.reset.is_none();
        if persist.writes() {
            if !counts_at_once {
                self.written.push(persist.number);
            }
            let mut log = self.log.borrow_mut();
            if let Some(state) = &persist.reset {
                log.reset(state)?;
            }
            if let Some(first) = persist.frames.first() {
                let before = first.header.index.before();
                (self.on_disk, self.on_disk_soon) = (self.on_disk.min(before), self.on_disk_soon.min(before));
                log.append(&persist.frames, self.shard.committed())?;
            }
            if let Some(vote) = persist.vote {
                log.save_vote(vote)?;
            }
        }
        let is_written = counts_at_once && persist.writes();
        self.send(persist.send_now, outbox);
        if is_written || is_planted(Bug::AckBeforeSync) {
            let freed = self.shard.on_persisted(persist.number, now);
            self.send(freed, outbox);
        }
        Ok(())
    }

    fn send(&self, messages: Vec<Message>, outbox: &mut Outbox) {
        for message in messages {
            if let Some(node) = self.spec.node_of(message.to) {
                outbox.raft(node, self.spec.shard, message);
            }
        }
    }

    fn request_sync(&mut self, tokens: &mut Tokens<'_>, output: &mut Output) -> Result<(), Failure> {
        let is_due = !self.written.is_empty() || (self.writes_back && self.log.borrow().is_dirty());
        if self.syncing.is_none() && is_due {
            self.writes_back = false;
            self.syncing = Some(std::mem::take(&mut self.written));
            self.on_disk_soon = self.log.borrow().last_index();
            let files = self.log.borrow_mut().take_dirty()?;
            output.syncs.push(SyncRequest { token: tokens.draw(), files });
        }
        Ok(())
    }

    /// The sync under way is done.
    pub(super) fn synced(
        &mut self,
        results: Vec<Result<(), crate::disk::Error>>,
        now: &Reading,
        outbox: &mut Outbox,
    ) -> Result<(), Failure> {
        if let Err(failure) = results.into_iter().collect::<Result<(), _>>() {
            if self.spec.durability == Durability::Memory {
                // What was answered for from memory may be gone now. A disk that takes not even this note is asked nothing.
                let _ = self.log.borrow_mut().note_forgotten();
            }
            return Err(failure.into());
        }
        self.log.borrow_mut().note_synced();
        self.on_disk = self.on_disk_soon;
        for number in self.syncing.take().unwrap_or_default() {
            let freed = self.shard.on_persisted(number, now);
            self.send(freed, outbox);
        }
        Ok(())
    }

    /// Takes a batch in, or refuses it.
    pub(super) fn append(
        &mut self,
        request: AppendRequest,
        now: &Reading,
    ) -> Result<Result<(), Refusal>, Failure> {
        if self.shard.is_leader() && !self.has_room([request.body.len()].into_iter())? {
            return Ok(Err(Refusal::NoSpace));
        }
        Ok(self.shard.append(request, now).map(drop))
    }

    /// Takes a question about a producer, or refuses it. `Some` is the answer; else it comes later.
    pub(super) fn fence_producer(
        &mut self,
        request: FenceRequest,
        now: &Reading,
    ) -> Result<Result<Option<Fenced>, Refusal>, Failure> {
        if self.shard.is_leader() && !self.has_room(std::iter::once(0))? {
            return Ok(Err(Refusal::NoSpace));
        }
        Ok(self.shard.fence_producer(request, now))
    }

    /// Whether frames with these bodies find room in the log, next to those that wait to be written. Nothing that
    /// does not may reach the core: what it hands over must be written.
    pub(super) fn has_room(&mut self, body_lens: impl Iterator<Item = usize>) -> Result<bool, Failure> {
        let mut body_lens = body_lens.peekable();
        if body_lens.peek().is_none() {
            return Ok(true);
        }
        // How much room a log has that may begin anew, shows when it has done so.
        if self.resets {
            return Ok(false);
        }
        let frames = body_lens.map(|len| (HEADER_BYTES + len).next_multiple_of(8) as u64);
        let bytes = self.taken_bytes + frames.sum::<u64>();
        match self.log.borrow_mut().reserve(bytes) {
            Ok(()) => {
                self.taken_bytes = bytes;
                Ok(true)
            }
            Err(error) if error.is_no_space() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether what a message brings finds room.
    pub(super) fn has_room_for(&mut self, message: &Message) -> Result<bool, Failure> {
        let Some(manifest) = &message.manifest else {
            return self.has_room(message.entries.iter().map(|entry| entry.data.len()));
        };
        let replicas = &manifest.membership;
        let replicas = replicas.voters.len() + replicas.learners.len() + replicas.outgoing.len();
        match self.log.borrow_mut().reserve_reset((manifest.shard_state.len() + 8 * replicas) as u64) {
            Ok(()) => self.resets = true,
            Err(error) if error.is_no_space() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// A replica without room gives its leadership away, and takes none.
    fn note_room(&mut self, output: &mut Output) {
        let full = self.log.borrow().is_full();
        if full != self.told_full {
            self.told_full = full;
            self.shard.set_full(full);
            output.full.push((self.spec.shard, full));
        }
    }

    fn request_segment(&mut self, now: &Reading, tokens: &mut Tokens<'_>, output: &mut Output) {
        if self.preparing || self.prepare_again.is_some_and(|again| now.monotonic < again) {
            return;
        }
        if let Some(plan) = self.log.borrow_mut().wants_segment() {
            self.preparing = true;
            let (token, path, size_bytes) = (tokens.draw(), plan.path, plan.bytes);
            output.prepares.push(PrepareRequest { token, path, size_bytes });
        }
    }

    /// The next segment's file is there.
    pub(super) fn prepared(
        &mut self,
        file: Result<std::sync::Arc<dyn crate::disk::DiskFile>, crate::disk::Error>,
        now: &Reading,
    ) -> Result<(), Failure> {
        self.preparing = false;
        let mut log = self.log.borrow_mut();
        match file {
            Ok(file) => log.install_segment(file)?,
            // Not yet a failure: it is asked for again, and a full disk refuses appends meanwhile.
            Err(error) => {
                log.abandon_segment(&error);
                self.prepare_again = Some(now.monotonic.plus(PREPARE_AGAIN_AFTER));
            }
        }
        Ok(())
    }

    /// A file of the log is gone, or not.
    pub(super) fn removed(&mut self, result: &Result<(), crate::disk::Error>) {
        self.removes = result.is_ok();
        self.log.borrow_mut().removed(result.is_ok());
    }

    /// From time to time: what the topic's retention no longer keeps goes. A trim is stamped: it is left to a time when this
    /// node `may_assign`.
    pub(super) fn keep_to_retention(&mut self, may_assign: bool, now: &Reading) -> Result<(), Failure> {
        self.removes = true;
        self.writes_back = self.spec.durability == Durability::Memory;
        beginning::forget_trimmed(&self.shard, &mut self.log.borrow_mut(), self.on_disk)?;
        let start = beginning::due_trim(&self.spec, &self.shard, &self.log.borrow(), now);
        let Some(start) = start.filter(|_| may_assign) else { return Ok(()) };
        if self.has_room(std::iter::once(0))? {
            // A refusal passes: it is proposed again.
            let _ = self.shard.trim(start, now);
        }
        Ok(())
    }

    /// Up to where committed frames were handed out.
    pub(super) fn followed(&self) -> Index {
        self.followed
    }

    /// Committed frames up to this one were handed out before the replica was opened again.
    pub(super) fn follow_from(&mut self, followed: Index) {
        self.followed = self.followed.max(followed);
    }

    fn follow(&mut self, output: &mut Output) -> Result<(), Failure> {
        const FOLLOW_BYTES_MAX: u64 = 1 << 20;
        if !self.spec.follow_committed {
            return Ok(());
        }
        let log = self.log.borrow();
        let committed = self.shard.committed().min(log.last_index());
        while self.followed < committed {
            let frames =
                log.frames(self.followed.plus(1), committed.plus(1), FOLLOW_BYTES_MAX, Share::Copy)?;
            for frame in frames {
                self.followed = frame.header.index;
                output.committed.push((self.spec.shard, frame));
            }
        }
        Ok(())
    }

    /// A new leader asks for its floor at once; the lane repeats the question with every tick.
    fn note_leadership(&mut self, now: &Reading, outbox: &mut Outbox, output: &mut Output) {
        let (leader, term) = (self.shard.leader().and_then(|id| self.spec.node_of(id)), self.shard.term());
        if self.led_by != Some((leader, term)) {
            self.led_by = Some((leader, term));
            output.led.push(Leadership { shard: self.spec.shard, leader, term });
        }
        if !self.shard.is_leader() {
            self.leading_since = None;
            self.asked_floor = false;
            return;
        }
        self.leading_since.get_or_insert(now.monotonic);
        if !self.asked_floor {
            self.asked_floor = true;
            self.ask_floor(outbox);
        }
    }

    pub(super) fn ask_floor(&self, outbox: &mut Outbox) {
        let Some(question) = self.shard.floor_request() else { return };
        for peer in question.peers {
            if let Some(node) = self.spec.node_of(peer) {
                let request = FloorRequest { shard: self.spec.shard.0, term: question.term.0 };
                outbox.to(node).floor_requests.push(request);
            }
        }
    }

    /// Answers a read if there is something to tell, else holds it.
    pub(super) fn read(&mut self, command: ReadCommand, now: &Reading, output: &mut Output) {
        self.held.push(command);
        self.serve_held(now, output);
    }

    pub(super) fn holds_reads(&self) -> bool {
        !self.held.is_empty()
    }

    pub(super) fn cancel_read(&mut self, ticket: Ticket) {
        self.held.retain(|held| held.ticket != ticket);
    }

    fn serve_held(&mut self, now: &Reading, output: &mut Output) {
        // Asked even if nobody reads: the shard then knows that time alone tells nothing new.
        let (mut released, closed) = (self.shard.released(), self.shard.closed(now));
        let log = self.log.borrow();
        if is_planted(Bug::GateOnlyTheAck) {
            released = self.shard.committed().min(log.last_index());
        }
        if is_planted(Bug::ServeAboveReleased) {
            released = log.last_index();
        }
        let (beginning, released_offset) = (self.beginning, self.shard.released_offset());
        self.held.retain_mut(|command| {
            match serve(&log, &beginning, command, (released, released_offset), closed) {
                Ok(None) => true,
                Ok(Some(answer)) => {
                    output.reads.push((command.ticket, Ok(answer)));
                    false
                }
                Err(refusal) => {
                    output.reads.push((command.ticket, Err(refusal)));
                    false
                }
            }
        });
    }

    /// Stops: everything still asked of this replica is answered.
    pub(super) fn stop(mut self, reason: &str, output: &mut Output) {
        self.shard.stop(reason.to_owned());
        self.answer(output);
        for held in self.held.drain(..) {
            let refusal = ReadRefusal::Failed { shard: self.spec.shard, reason: reason.to_owned() };
            output.reads.push((held.ticket, Err(refusal)));
        }
    }

    pub(super) fn status(&self, now: &Reading) -> ReplicaStatus {
        let status = self.shard.status(now);
        let preferred = self.spec.replicas.first().filter(|placed| placed.replica != self.me);
        let ready = |replica| self.shard.has_all(replica);
        ReplicaStatus {
            shard: self.spec.shard,
            topic: self.spec.topic,
            leader: status.leader.and_then(|replica| self.spec.node_of(replica)),
            term: status.term,
            appended: status.appended.next_offset,
            synced: status.synced.next_offset,
            committed: status.committed.next_offset,
            released: status.released.next_offset,
            trimmed: self.beginning.offset,
            appended_index: status.appended.index,
            synced_index: status.synced.index,
            committed_index: status.committed.index,
            closed: status.closed,
            leading_since: self.leading_since,
            is_full: self.told_full,
            preferred_ready: preferred.filter(|placed| ready(placed.replica)).map(|placed| placed.node),
            failure: None,
        }
    }

    /// Whether its leader is known, and that one's node, which may be `me`, is heard.
    pub(super) fn is_led_from(&self, me: NodeId, hears: impl Fn(NodeId) -> bool) -> bool {
        let leader = self.shard.leader().and_then(|leader| self.spec.node_of(leader));
        leader.is_some_and(|leader| leader == me || hears(leader))
    }

    /// Lets the replica rest. One whose node is not known is never away.
    pub(super) fn rest(&mut self, away: impl Fn(NodeId) -> bool) {
        let spec = &self.spec;
        self.shard.rest(|replica| spec.node_of(replica).is_some_and(&away));
    }

    pub(super) fn replica_on(&self, node: NodeId) -> Option<ReplicaId> {
        self.spec.replica_on(node)
    }
}

/// Frames from the command's place up to `released`; `None` if there is nothing to tell yet. The command's
/// place moves over frames that readers are not shown.
fn serve(
    log: &Log,
    beginning: &Beginning,
    command: &mut ReadCommand,
    (released, released_offset): (Index, Offset),
    closed: Timestamp,
) -> Result<Option<ReadAnswer>, ReadRefusal> {
    let (shard, end) = (command.shard, released.plus(1));
    let Some(mut next) = beginning.place(shard, log, command.from, released)? else { return Ok(None) };
    let mut frames = Vec::new();
    while next < end && frames.is_empty() {
        let found = log
            .frames(next, end, command.max_bytes as u64, Share::Map)
            .map_err(|error| ReadRefusal::Failed { shard, reason: error.to_string() })?;
        next = found.last().expect("a log gives at least one frame").header.index.plus(1);
        frames.extend(found.into_iter().filter(|frame| frame.header.is_shown()));
    }
    if let ReadFrom::Index(_) = command.from {
        command.from = if frames.is_empty() { ReadFrom::Index(next) } else { command.from };
    }
    let closed = match frames.last() {
        Some(last) if next < end => last.header.last_timestamp(),
        _ => closed,
    };
    let news = !frames.is_empty() || closed > command.closed_above;
    let next_offset = frames.last().map_or(released_offset, |last| last.header.next_offset());
    Ok(news.then_some(ReadAnswer { frames, next, next_offset, closed, kept_from: beginning.offset }))
}
