//! raft's storage over our log reader.
//!
//! raft panics when its storage fails outside an asynchronous fetch. This adapter therefore never fails there: it
//! notes the error, gives an answer that makes raft do nothing lasting, and the group stops before anything of that
//! answer leaves it. raft-rs 0.7 asks for entries in three places, told apart here:
//!
//! * to send them (`can_async`): a failure is "not available yet", and raft sends nothing;
//! * to hand out committed ones (`RawNode::ready`): we read `committed` ourselves, so one hollow entry that names
//!   the last index moves raft's cursor without reading anything;
//! * to look for membership entries before an election: only the entries' types matter, so the bodies are dropped;
//!   a failure looks like a membership entry, and raft does not stand.

use std::cell::{Cell, RefCell};

use raft::eraftpb::{Entry, EntryType, Snapshot};
use raft::{GetEntriesContext, RaftState, Result, Storage, StorageError};

use super::convert::{entry_to_raft, snapshot_of};
use super::{LogReader, ReadError};
use crate::types::Index;

/// How many bytes of entries are read at once when looking for membership entries.
const SCAN_BYTES: u64 = 1 << 20;

pub(super) struct Adapter<L> {
    pub(super) log: L,
    initial: RaftState,
    /// The first error; the group stops on it.
    failure: RefCell<Option<ReadError>>,
    making_ready: Cell<bool>,
}

impl<L: LogReader> Adapter<L> {
    pub(super) fn new(log: L, initial: RaftState) -> Self {
        Self { log, initial, failure: RefCell::default(), making_ready: Cell::new(false) }
    }

    pub(super) fn take_failure(&self) -> Option<ReadError> {
        self.failure.borrow_mut().take()
    }

    pub(super) fn set_making_ready(&self, making: bool) {
        self.making_ready.set(making);
    }

    fn fail(&self, error: ReadError) {
        self.failure.borrow_mut().get_or_insert(error);
    }

    fn to_send(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        match self.log.entries(Index(low), Index(high), max_bytes) {
            Ok(entries) => Ok(entries.into_iter().map(entry_to_raft).collect()),
            // The receiver gets the manifest instead.
            Err(ReadError::Compacted { .. }) => Err(StorageError::Compacted.into()),
            Err(error) => {
                self.fail(error);
                Err(StorageError::LogTemporarilyUnavailable.into())
            }
        }
    }

    /// The entries' terms, indexes and types.
    fn outlines(&self, low: u64, high: u64) -> Vec<Entry> {
        let mut outlines = Vec::new();
        let mut next = low;
        while next < high {
            let read = match self.log.entries(Index(next), Index(high), SCAN_BYTES) {
                Ok(read) if !read.is_empty() => read,
                Ok(_) => return self.unscanned(ReadError::Unavailable { index: Index(next) }),
                Err(error) => return self.unscanned(error),
            };
            next += read.len() as u64;
            outlines.extend(read.into_iter().map(|mut entry| {
                entry.context.clear();
                entry.data.clear();
                entry_to_raft(entry)
            }));
        }
        outlines
    }

    fn unscanned(&self, error: ReadError) -> Vec<Entry> {
        self.fail(error);
        let mut entry = Entry::default();
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        vec![entry]
    }
}

impl<L: LogReader> Storage for Adapter<L> {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if self.making_ready.get() {
            return Ok(vec![Entry { index: high - 1, ..Entry::default() }]);
        }
        if context.can_async() {
            return self.to_send(low, high, max_size.into().unwrap_or(u64::MAX));
        }
        Ok(self.outlines(low, high))
    }

    fn term(&self, index: u64) -> Result<u64> {
        match self.log.term(Index(index)) {
            Ok(term) => Ok(term.0),
            // An entry became durable here after a manifest had replaced it: raft takes no notice of it then. It asks for
            // nothing else below the log's start.
            Err(ReadError::Compacted { .. }) => Err(StorageError::Compacted.into()),
            Err(error) => {
                self.fail(error);
                Ok(0)
            }
        }
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.log.first_index().0)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.log.last_index().0)
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> Result<Snapshot> {
        let manifest = self.log.manifest();
        // A log that begins at its very first entry has nothing to send in place of entries.
        if manifest.index == Index(0) || manifest.index.0 < request_index {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(snapshot_of(&manifest))
    }
}
