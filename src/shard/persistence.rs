//! Between raft and the disk: entries become frames, frames are handed over for writing, and what had to wait
//! for durability is freed in order.
//!
//! Invariants: `tail` follows raft's log entry by entry, also backwards; hand-overs become durable to raft in
//! the order they were made, in whatever order the caller reports them.

use super::error::Error;
use super::intake;
use super::release::{Position, Unreleased};
use super::replica::Shard;
use super::request::Refusal;
use super::status::Persist;
use crate::clock::Reading;
use crate::codec::FrameKind;
use crate::consensus::{LogEntry, Manifest, Message, Ready};
use crate::simulation::{Bug, is_planted};
use crate::types::{Index, Term, Vote};

/// What raft wants done, collected until it is taken.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The newest ready in here.
    number: Option<u64>,
    vote: Option<Vote>,
    send_now: Vec<Message>,
    send_after: Vec<Message>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.number.is_none()
    }
}

/// A hand-over that is not durable yet.
#[derive(Debug)]
pub(super) struct Outstanding {
    /// The number the caller reports.
    number: u64,
    /// The newest ready that is durable with it.
    covers: u64,
    term: Option<Term>,
    /// The last entry that is durable with it.
    position: Position,
    send_after: Vec<Message>,
    is_durable: bool,
}

impl Shard {
    /// Takes what is to be written and sent. See `Persist` for what the caller then owes.
    pub fn take_persist(&mut self, now: &Reading) -> Option<Persist> {
        self.drain();
        if self.failure.is_some() {
            return None;
        }
        let Pending { number, vote, mut send_now, mut send_after } = std::mem::take(&mut self.pending);
        let number = number?;
        let (reset, frames) = self.log.take();
        let writes_log = reset.is_some() || !frames.is_empty();
        if is_planted(Bug::VoteBeforeDurable) && !writes_log {
            send_now.append(&mut send_after);
        }
        if vote.is_some() || writes_log {
            self.outstanding.push_back(Outstanding {
                number,
                covers: number,
                term: vote.map(|vote| vote.term),
                position: Position { index: self.tail.index, next_offset: self.tail.next_offset },
                send_after,
                is_durable: false,
            });
        } else if let Some(last) = self.outstanding.back_mut() {
            last.covers = number;
            last.send_after.extend(send_after);
        } else {
            send_now.extend(send_after);
            self.group.on_persisted(number);
            self.drain();
            self.answer_own_floor(now);
        }
        Some(Persist { number, reset, vote, frames, send_now })
    }

    /// The hand-over `number` is durable. Gives the messages that waited for it.
    pub fn on_persisted(&mut self, number: u64, now: &Reading) -> Vec<Message> {
        if self.failure.is_some() {
            return Vec::new();
        }
        for outstanding in self.outstanding.iter_mut().filter(|outstanding| outstanding.number == number) {
            outstanding.is_durable = true;
        }
        let mut freed = Vec::new();
        while self.outstanding.front().is_some_and(|outstanding| outstanding.is_durable) {
            let Some(durable) = self.outstanding.pop_front() else { break };
            self.synced = durable.position;
            self.durable_term = durable.term.unwrap_or(self.durable_term);
            self.group.on_persisted(durable.covers);
            freed.extend(durable.send_after);
        }
        self.queue.note_synced(self.synced.index, now.monotonic);
        self.drain();
        self.answer_own_floor(now);
        freed
    }

    /// Takes everything raft has ready into `pending` and brings `tail`, queue and role up to it.
    pub(super) fn drain(&mut self) {
        while self.failure.is_none() {
            let Some(ready) = self.group.take_ready() else { break };
            if let Err(failure) = self.take_ready(ready) {
                self.fail(failure);
            }
        }
        if let Some(failure) = self.group.failure().cloned() {
            self.fail(failure.into());
        }
        self.notice_role();
    }

    fn take_ready(&mut self, ready: Ready) -> Result<(), Error> {
        self.rest.end();
        if let Some(manifest) = ready.manifest {
            self.begin_after(&manifest)?;
        }
        if let Some(first) = ready.entries.first().filter(|first| first.index <= self.tail.index) {
            self.overwrite(first.index)?;
        }
        for entry in ready.entries {
            self.take_entry(entry)?;
        }
        self.pending.number = Some(ready.number);
        self.pending.vote = ready.vote.or(self.pending.vote);
        self.pending.send_now.extend(ready.send_now);
        self.pending.send_after.extend(ready.send_after_persist);
        Ok(())
    }

    fn take_entry(&mut self, entry: LogEntry) -> Result<(), Error> {
        let frame = intake::frame_of(entry, &self.tail)?;
        let header = frame.header;
        if header.kind == FrameKind::LeaderStart && self.term_start.is_none_or(|(term, _)| term < header.term)
        {
            self.term_start = Some((header.term, header.index));
        }
        self.tail.fold(&header, frame.header_crc());
        self.queue.push(Unreleased::of(&header));
        self.log.push(frame);
        Ok(())
    }

    /// Another leader's entry takes the place of ours at `index`: everything goes back to the entry before it.
    fn overwrite(&mut self, index: Index) -> Result<(), Error> {
        let committed = self.queue.committed().index;
        if index <= committed {
            let (expected, found) = (committed.0 + 1, index.0);
            return Err(Error::Broken { index, field: "first overwritten index", expected, found });
        }
        self.log.cut(index);
        let state = self.log.state_at(index.before())?;
        // A replica's configuration follows its commitment, not its log.
        let (applied, membership) = (self.tail.applied, std::mem::take(&mut self.tail.membership));
        self.tail = crate::codec::ShardState { applied, membership, ..state };
        let end = Position { index: self.tail.index, next_offset: self.tail.next_offset };
        let synced = self.outstanding.iter_mut().map(|outstanding| &mut outstanding.position);
        for position in synced.chain([&mut self.synced]) {
            if position.index >= index {
                *position = end;
            }
        }
        self.term_start = self.term_start.filter(|(_, start)| *start < index);
        let tickets = self.queue.truncate(index);
        self.refuse_all(tickets, &Refusal::Replaced);
        Ok(())
    }

    /// The leader's log begins behind all of ours that is committed: ours is given up, and begins where it does. What
    /// this replica released stays released, and the new start waits for its time like any entry. Promises stay, too:
    /// they are about time, not about this log.
    fn begin_after(&mut self, manifest: &Manifest) -> Result<(), Error> {
        let state =
            intake::state_of(manifest).map_err(|reason| Error::Manifest { index: manifest.index, reason })?;
        let end = Position { index: state.index, next_offset: state.next_offset };
        let positions = self.outstanding.iter_mut().map(|outstanding| &mut outstanding.position);
        for position in positions.chain([&mut self.synced]) {
            position.index = position.index.min(end.index);
            position.next_offset = position.next_offset.min(end.next_offset);
        }
        self.leave();
        let tickets = self.queue.reset(Unreleased {
            position: end,
            last_timestamp: state.last_timestamp,
            start: state.index.plus(1),
            is_membership: false,
            committed_at: None,
            waiters: Vec::new(),
        });
        self.refuse_all(tickets, &Refusal::Replaced);
        self.term_start = None;
        self.tail = state.clone();
        self.log.reset(state);
        Ok(())
    }
}
