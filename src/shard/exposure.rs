//! From committed to visible: membership entries take effect, entries are released, answers leave, the past closes.
//!
//! Invariants: nothing is exposed with a reading that is not trusted (I7); commitment moves only as far as the
//! caller has written, so what is released can be read.

use super::error::Error;
use super::replica::Shard;
use super::request::Answer;
use crate::clock::Reading;
use crate::codec::Frame;
use crate::consensus::{self, LogReader};
use crate::types::{Durability, Index, Offset, Receipt, ShardId, StageTimes, Timestamp};

impl Shard {
    /// Looks at commitment and clock, and exposes what both allow. Call after every event and at `wake_after`.
    pub fn advance(&mut self, now: &Reading) {
        if self.failure.is_some() {
            return;
        }
        self.observe(now);
        self.drain();
        if let Err(failure) = self.commit(now) {
            self.fail(failure);
        }
        if self.failure.is_none() && self.trusts(now) {
            let answers = &mut self.answers;
            self.queue.release(now, |(ticket, receipt)| answers.push(Answer { ticket, result: Ok(receipt) }));
            self.promises.settle(self.queue.released().index);
        }
    }

    /// Whether `advance` and `take_persist` would find nothing to do. Time may yet expose something: see `wake_after`.
    pub fn is_idle(&self) -> bool {
        self.failure.is_none()
            && self.pending.is_empty()
            && self.answers.is_empty()
            && self.group.committed().min(self.log.last_written()) <= self.queue.committed().index
    }

    /// The answers that are due.
    pub fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// What `now.earliest` must pass before `advance` has more to expose; `None` if time alone exposes nothing.
    pub fn wake_after(&self) -> Option<Timestamp> {
        [self.queue.wake_after(), self.promises.wake_after()].into_iter().flatten().min()
    }

    pub fn committed(&self) -> Index {
        self.queue.committed().index
    }

    pub fn released(&self) -> Index {
        self.queue.released().index
    }

    /// The offset of the first record that readers do not see yet.
    pub fn released_offset(&self) -> Offset {
        self.queue.released().next_offset
    }

    /// The first entry that readers may see: what lies before it was trimmed. 0 until that is known.
    pub fn start(&self) -> Index {
        self.queue.start().index
    }

    /// `start`, if the entry that says so is on the disk, all entries up to `on_disk` being there, so that files may go by
    /// it; else 0.
    pub fn start_told_by(&self, on_disk: Index) -> Index {
        let start = self.queue.start();
        if start.by <= on_disk { start.index } else { Index(0) }
    }

    /// The highest time T such that everything stamped at or below T is released here, for ever. Never goes
    /// back; stands still while the clock is not trusted.
    pub fn closed(&self, now: &Reading) -> Timestamp {
        self.promises.closed(self.queue.released_timestamp(), self.trusts(now).then_some(now))
    }

    fn commit(&mut self, now: &Reading) -> Result<(), Error> {
        let before = self.queue.committed().index;
        let committed = self.group.committed().min(self.log.last_written());
        let mut memberships = Vec::new();
        self.queue.commit(committed, now.monotonic, |entry| {
            if entry.is_membership {
                memberships.push(entry.position.index);
            }
        });
        for index in memberships {
            self.apply_membership(index)?;
        }
        if committed > before {
            self.tail.applied = self.tail.applied.max(committed);
            self.group.on_applied(committed);
            self.drain();
        }
        Ok(())
    }

    /// Applies the membership entries that were committed, but not known as applied, when this replica opened.
    pub(super) fn apply_memberships(&mut self, from: Index, committed: Index) -> Result<(), Error> {
        for index in (from.0..=committed.0).map(Index) {
            if self.log.header(index)?.kind == crate::codec::FrameKind::Membership {
                self.apply_membership(index)?;
            }
        }
        if committed >= from {
            self.tail.applied = committed;
            self.group.on_applied(committed);
        }
        Ok(())
    }

    fn apply_membership(&mut self, index: Index) -> Result<(), Error> {
        let entries = self.log.entries(index, index.plus(1), u64::MAX)?;
        for entry in entries {
            match self.group.apply_membership(index, &entry.data) {
                Ok(membership) => self.tail.membership = membership,
                // The same on every replica: the entry has no effect.
                Err(consensus::Error::InvalidMembership { .. }) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(())
    }
}

/// The receipt of a batch that entered the log as `frame`, but for its times.
pub(super) fn receipt_of(frame: &Frame, shard: ShardId, durability: Durability) -> Receipt {
    let header = &frame.header;
    Receipt {
        shard,
        first_offset: header.first_offset,
        first_timestamp: header.first_timestamp,
        record_count: header.record_count,
        uncertainty_ns: header.uncertainty_ns,
        term: header.term,
        header_crc: Some(frame.header_crc()),
        durability,
        wait: StageTimes::default(),
    }
}
