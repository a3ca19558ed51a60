//! Where a replica's log begins: what readers below it are told, what the leader proposes to trim, which files go.
//!
//! Knows nothing of clocks but what it is handed. Invariants: only a trusted clock's `earliest` makes anything old, so
//! never too early; files go only by a trim that is released and durable here.

use std::cell::RefCell;

use super::ReadFrom;
use super::options::ShardSpec;
use super::output::{ReadRefusal, RemoveRequest};
use super::replica::{Failure, Tokens};
use crate::clock::Reading;
use crate::log::Log;
use crate::shard::Shard;
use crate::simulation::{Bug, is_planted};
use crate::types::{Index, Offset, Retention, ShardId, Timestamp};

/// The start that the released trims agreed on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beginning {
    index: Index,
    /// The offset of the first record kept.
    pub(super) offset: Offset,
    /// The last timestamp before it.
    trimmed_through: Timestamp,
}

impl Beginning {
    /// Moves on to what was released since.
    pub(super) fn follow(&mut self, shard: &Shard, log: &RefCell<Log>) -> Result<(), Failure> {
        if shard.start() > self.index.max(Index(1)) {
            let before = log.borrow().state_at(shard.start().before())?;
            let (offset, trimmed_through) = (before.next_offset, before.last_timestamp);
            *self = Self { index: shard.start(), offset, trimmed_through };
        }
        Ok(())
    }

    /// Where a read that wants `from` begins; `None` while it must wait for the clock to pass the beginning.
    pub(super) fn place(
        &self,
        shard: ShardId,
        log: &Log,
        from: ReadFrom,
        released: Index,
    ) -> Result<Option<Index>, ReadRefusal> {
        let (first, end) = (self.index.max(log.first_index()), released.plus(1));
        let failed = |error: crate::log::Error| ReadRefusal::Failed { shard, reason: error.to_string() };
        let is_behind = match from {
            _ if end < first => return Ok(None),
            ReadFrom::Time(time) => !wants_all(time) && time <= self.trimmed_through,
            ReadFrom::Index(index) => index < first,
        };
        if is_behind && !is_planted(Bug::SkipTrimmedInSilence) {
            let (kept_from, trimmed_through) = (self.offset, self.trimmed_through);
            return Err(ReadRefusal::Trimmed { shard, kept_from, trimmed_through });
        }
        Ok(Some(match from {
            ReadFrom::Time(time) if wants_all(time) => first,
            // What is not released may still be replaced: a seek never answers a place beyond it.
            ReadFrom::Time(time) => log.seek(time).map_err(failed)?.min(end).max(first),
            ReadFrom::Index(index) => index.max(first),
        }))
    }
}

/// Whether no record can be stamped before that.
fn wants_all(time: Timestamp) -> bool {
    time <= Timestamp::ZERO.next()
}

/// Where the log is to begin by the topic's retention, if this replica leads and has not said so yet.
pub(super) fn due_trim(spec: &ShardSpec, shard: &Shard, log: &Log, now: &Reading) -> Option<Index> {
    let retention = spec.retention;
    if !shard.is_leader() || !now.is_trusted() || retention == Retention::default() {
        return None;
    }
    let (age_ns, _) = retention.numbers();
    let expired = retention.age.map_or(Timestamp::ZERO, |_| now.interval.earliest.minus_ns(age_ns));
    log.trimmable(shard.released(), expired, retention.bytes).filter(|start| *start > shard.proposed_start())
}

/// Forgets the segments that a trim made useless.
pub(super) fn forget_trimmed(shard: &Shard, log: &mut Log, on_disk: Index) -> Result<(), Failure> {
    let start = shard.start_told_by(on_disk);
    if start > log.first_index() {
        log.trim(start, shard.committed())?;
    }
    Ok(())
}

/// Asks for the removal of one file.
pub(super) fn request_removal(log: &mut Log, tokens: &mut Tokens<'_>) -> Option<RemoveRequest> {
    let path = log.wants_removal()?;
    Some(RemoveRequest { token: tokens.draw(), path })
}
