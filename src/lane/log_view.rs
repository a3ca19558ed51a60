//! A shard's own log as its core reads it: the lane writes the log, the core sees it through here.

use std::cell::RefCell;
use std::rc::Rc;

use crate::codec::{FrameHeader, ShardState};
use crate::consensus::{LogEntry, LogReader, Manifest, ReadError};
use crate::log::{Log, Share};
use crate::shard::{ShardLog, entry_of};
use crate::types::{Index, Term};

/// The log, shared between the lane and the core on the lane's one thread.
pub(super) struct LogView {
    log: Rc<RefCell<Log>>,
}

impl LogView {
    pub(super) fn new(log: Rc<RefCell<Log>>) -> Self {
        Self { log }
    }

    fn check(&self, index: Index) -> Result<(), ReadError> {
        if index < self.first_index().before() {
            return Err(ReadError::Compacted { index });
        }
        if index > self.last_index() {
            return Err(ReadError::Unavailable { index });
        }
        Ok(())
    }
}

impl LogReader for LogView {
    fn first_index(&self) -> Index {
        self.log.borrow().first_index()
    }

    fn last_index(&self) -> Index {
        self.log.borrow().last_index()
    }

    fn term(&self, index: Index) -> Result<Term, ReadError> {
        self.check(index)?;
        self.log.borrow().term(index).map_err(|error| damaged(index, &error))
    }

    fn entries(&self, from: Index, to: Index, max_bytes: u64) -> Result<Vec<LogEntry>, ReadError> {
        self.check(from)?;
        let read = self.log.borrow().frames(from, to, max_bytes, Share::Copy);
        let frames = read.map_err(|error| damaged(from, &error))?;
        Ok(frames.into_iter().map(entry_of).collect())
    }

    fn manifest(&self) -> Manifest {
        let log = self.log.borrow();
        // Without a manifest none is sent now; whoever reads the damaged head otherwise names it.
        let Ok(state) = log.first_state() else { return Manifest::default() };
        let (membership_index, membership) = log.applied();
        Manifest {
            index: state.index,
            term: state.term,
            membership_index,
            membership: membership.clone(),
            shard_state: state.encode(),
        }
    }
}

impl ShardLog for LogView {
    fn state_at(&self, index: Index) -> Result<ShardState, ReadError> {
        self.check(index)?;
        self.log.borrow().state_at(index).map_err(|error| damaged(index, &error))
    }

    fn header(&self, index: Index) -> Result<FrameHeader, ReadError> {
        self.check(index)?;
        self.log.borrow().header(index).map_err(|error| damaged(index, &error))
    }
}

fn damaged(index: Index, error: &crate::log::Error) -> ReadError {
    ReadError::Damaged { index, reason: error.to_string() }
}
