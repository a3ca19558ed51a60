//! The log as raft must see it: what the caller has written, and behind it what waits to be taken for writing.
//!
//! Raft counts entries as stored from the moment they are taken out of it, so the frames that have not been
//! handed over yet are laid over the log. Knows nothing of terms' meaning or of commitment.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

use crate::codec::{Frame, FrameHeader, FrameKind, ShardState};
use crate::consensus::{LogEntry, LogReader, Manifest, ReadError};
use crate::types::{Index, Term};

/// One shard's own log, with what a shard needs beyond raft's view.
pub trait ShardLog: LogReader {
    /// The shard's state after the entry at `index`, from `first_index - 1` to `last_index`.
    fn state_at(&self, index: Index) -> Result<ShardState, ReadError>;
    /// The header of the frame at `index`.
    fn header(&self, index: Index) -> Result<FrameHeader, ReadError>;
}

/// The log under the frames that wait to be written. Raft reads through one handle, the shard through
/// another.
#[derive(Clone)]
pub(super) struct LogView {
    log: Rc<dyn ShardLog>,
    unwritten: Rc<RefCell<VecDeque<Frame>>>,
    /// The log is given up and begins after this state: what lies below is gone, though it was not carried out yet.
    reset: Rc<RefCell<Option<ShardState>>>,
}

impl LogView {
    pub(super) fn new(log: Box<dyn ShardLog>) -> Self {
        Self { log: Rc::from(log), unwritten: Rc::default(), reset: Rc::default() }
    }

    /// Lays `frame` over the log; from its index on, what was there is gone.
    pub(super) fn push(&self, frame: Frame) {
        self.cut(frame.header.index);
        self.unwritten.borrow_mut().push_back(frame);
    }

    /// Drops the waiting frames from `index` on.
    pub(super) fn cut(&self, index: Index) {
        let mut unwritten = self.unwritten.borrow_mut();
        while unwritten.back().is_some_and(|frame| frame.header.index >= index) {
            unwritten.pop_back();
        }
    }

    /// Gives up everything and begins after `state`.
    pub(super) fn reset(&self, state: ShardState) {
        self.unwritten.borrow_mut().clear();
        *self.reset.borrow_mut() = Some(state);
    }

    /// Hands over what waits: a reset to carry out, then frames to write.
    pub(super) fn take(&self) -> (Option<ShardState>, Vec<Frame>) {
        (self.reset.take(), self.unwritten.borrow_mut().drain(..).collect())
    }

    /// The last entry the caller has written.
    pub(super) fn last_written(&self) -> Index {
        match self.unwritten_from() {
            Some(from) => from.before().min(self.last_below()),
            None => self.last_below(),
        }
    }

    /// The last entry below the waiting frames.
    fn last_below(&self) -> Index {
        self.reset.borrow().as_ref().map_or_else(|| self.log.last_index(), |state| state.index)
    }

    /// The state after an entry below the waiting frames.
    fn state_below(&self, index: Index) -> Result<ShardState, ReadError> {
        match &*self.reset.borrow() {
            Some(state) if index < state.index => Err(ReadError::Compacted { index }),
            Some(state) if index > state.index => Err(ReadError::Unavailable { index }),
            Some(state) => Ok(state.clone()),
            None => self.log.state_at(index),
        }
    }

    pub(super) fn header(&self, index: Index) -> Result<FrameHeader, ReadError> {
        match self.waiting(index) {
            Some(frame) => Ok(frame.header),
            None if self.reset.borrow().is_some() => Err(ReadError::Compacted { index }),
            None => self.log.header(index),
        }
    }

    pub(super) fn state_at(&self, index: Index) -> Result<ShardState, ReadError> {
        let Some(from) = self.unwritten_from().filter(|from| *from <= index) else {
            return self.state_below(index);
        };
        if index > self.last_index() {
            return Err(ReadError::Unavailable { index });
        }
        let mut state = self.state_below(from.before())?;
        for frame in self.unwritten.borrow().iter().take_while(|frame| frame.header.index <= index) {
            state.fold(&frame.header, frame.header_crc());
        }
        Ok(state)
    }

    fn entries_below(&self, from: Index, to: Index, max_bytes: u64) -> Result<Vec<LogEntry>, ReadError> {
        if self.reset.borrow().is_some() {
            return Err(ReadError::Compacted { index: from });
        }
        self.log.entries(from, to, max_bytes)
    }

    fn unwritten_from(&self) -> Option<Index> {
        self.unwritten.borrow().front().map(|frame| frame.header.index)
    }

    /// The waiting frame at `index`.
    fn waiting(&self, index: Index) -> Option<Frame> {
        let unwritten = self.unwritten.borrow();
        let from = unwritten.front()?.header.index;
        let at = usize::try_from(index.0.checked_sub(from.0)?).ok()?;
        unwritten.get(at).cloned()
    }
}

impl LogReader for LogView {
    fn first_index(&self) -> Index {
        let reset = self.reset.borrow();
        reset.as_ref().map_or_else(|| self.log.first_index(), |state| state.index.plus(1))
    }

    fn last_index(&self) -> Index {
        self.unwritten.borrow().back().map_or_else(|| self.last_below(), |frame| frame.header.index)
    }

    fn term(&self, index: Index) -> Result<Term, ReadError> {
        match self.waiting(index) {
            Some(frame) => Ok(frame.header.term),
            None if index > self.last_index() => Err(ReadError::Unavailable { index }),
            None if self.reset.borrow().is_some() => self.state_below(index).map(|state| state.term),
            None => self.log.term(index),
        }
    }

    fn entries(&self, from: Index, to: Index, max_bytes: u64) -> Result<Vec<LogEntry>, ReadError> {
        if from < to && to.before() > self.last_index() {
            return Err(ReadError::Unavailable { index: to.before() });
        }
        let waiting_from = self.unwritten_from().unwrap_or(to).min(to);
        let mut entries =
            if from < waiting_from { self.entries_below(from, waiting_from, max_bytes)? } else { Vec::new() };
        if from.plus(entries.len() as u64) < waiting_from {
            return Ok(entries);
        }
        let mut bytes: u64 = entries.iter().map(entry_bytes).sum();
        for index in from.max(waiting_from).0..to.0 {
            let index = Index(index);
            let entry = self.waiting(index).map(entry_of).ok_or(ReadError::Unavailable { index })?;
            bytes = bytes.saturating_add(entry_bytes(&entry));
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn manifest(&self) -> Manifest {
        // Between a reset and its carrying out nobody asks: only leaders send manifests.
        if self.reset.borrow().is_some() {
            return Manifest::default();
        }
        self.log.manifest()
    }
}

fn entry_bytes(entry: &LogEntry) -> u64 {
    (entry.context.len() + entry.data.len()) as u64
}

/// A frame as raft knows it: what raft itself made has no context, because every replica derives the same header.
pub fn entry_of(frame: Frame) -> LogEntry {
    let made_by_raft = frame.header.kind == FrameKind::LeaderStart;
    LogEntry {
        term: frame.header.term,
        index: frame.header.index,
        membership: frame.header.kind == FrameKind::Membership,
        context: if made_by_raft { Bytes::new() } else { frame.header_bytes },
        data: frame.body,
    }
}
