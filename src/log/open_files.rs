//! The files that many logs share a bounded number of: maps of sealed segments, and votes.
//!
//! Those used least recently are let go. A map that is let go lives on only while a slice of it does. Knows nothing of
//! what the files hold. Invariant: at most `max` segments, each with its index, and `max` votes are open at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Error, names};
use crate::disk::{Disk, DiskFile};
use crate::segment::{Extent, SealedSegment};

/// A disk, and the files of it that are open: one for all logs of a lane.
#[derive(Clone)]
pub struct OpenFiles {
    disk: Arc<dyn Disk>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    logs: u64,
    segments: Recent<Arc<SealedSegment>>,
    votes: Recent<Arc<dyn DiskFile>>,
}

/// What was used most recently, by log and number.
struct Recent<T> {
    max: usize,
    uses: u64,
    held: BTreeMap<(u64, u64), (T, u64)>,
    by_use: BTreeMap<u64, (u64, u64)>,
}

impl<T: Clone> Recent<T> {
    fn new(max: usize) -> Self {
        Self { max: max.max(1), uses: 0, held: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    fn get(&mut self, key: (u64, u64)) -> Option<T> {
        let (found, used) = self.held.get_mut(&key)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(found.clone())
    }

    fn put(&mut self, key: (u64, u64), value: T) {
        self.forget(key);
        while self.held.len() >= self.max
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.held.remove(&oldest);
        }
        self.uses += 1;
        self.held.insert(key, (value, self.uses));
        self.by_use.insert(self.uses, key);
    }

    fn forget(&mut self, key: (u64, u64)) {
        if let Some((_, used)) = self.held.remove(&key) {
            self.by_use.remove(&used);
        }
    }

    fn forget_log(&mut self, log: u64) {
        self.held.retain(|key, (_, used)| {
            let stays = key.0 != log;
            if !stays {
                self.by_use.remove(used);
            }
            stays
        });
    }
}

impl OpenFiles {
    /// At most `max` sealed segments and as many votes stay open.
    pub fn new(disk: Arc<dyn Disk>, max: usize) -> Self {
        let shared = Shared { logs: 0, segments: Recent::new(max), votes: Recent::new(max) };
        Self { disk, shared: Arc::new(Mutex::new(shared)) }
    }

    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// How many sealed segments are open.
    pub fn segments(&self) -> usize {
        self.shared().segments.held.len()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no panic while the open files are held")
    }

    /// The part of one log. What is its own is let go with it.
    pub(super) fn for_log(&self) -> LogFiles {
        let mut shared = self.shared();
        shared.logs += 1;
        LogFiles { log: shared.logs, files: self.clone() }
    }
}

/// One log's part of the open files.
pub(super) struct LogFiles {
    files: OpenFiles,
    log: u64,
}

impl LogFiles {
    /// The open sealed segment of that number and extent.
    pub(super) fn segment(
        &self,
        folder: &Path,
        number: u64,
        extent: &Extent,
    ) -> Result<Arc<SealedSegment>, Error> {
        let key = (self.log, number);
        if let Some(found) = self.files.shared().segments.get(key) {
            return Ok(found);
        }
        let disk = &self.files.disk;
        let file = disk.open(&names::segment(folder, number))?;
        let index_path = names::index(folder, number);
        // Without its index a segment reads as well, only slower at first.
        let index = disk.open(&index_path).ok();
        let keeper = Arc::clone(disk);
        let keep = move |bytes: &[u8]| {
            keeper.write_unsynced(&index_path, bytes).and_then(|()| keeper.open(&index_path)).ok()
        };
        let opened = Arc::new(SealedSegment::open(file, *extent, index, Box::new(keep))?);
        self.files.shared().segments.put(key, Arc::clone(&opened));
        Ok(opened)
    }

    /// The segment is sealed no more, or gone.
    pub(super) fn forget_segment(&self, number: u64) {
        self.files.shared().segments.forget((self.log, number));
    }

    /// The open vote file.
    pub(super) fn vote(&self, folder: &Path) -> Result<Arc<dyn DiskFile>, Error> {
        let key = (self.log, 0);
        if let Some(found) = self.files.shared().votes.get(key) {
            return Ok(found);
        }
        let file = self.files.disk.open(&names::vote(folder))?;
        self.files.shared().votes.put(key, Arc::clone(&file));
        Ok(file)
    }
}

impl Drop for LogFiles {
    fn drop(&mut self) {
        let mut shared = self.files.shared();
        shared.segments.forget_log(self.log);
        shared.votes.forget_log(self.log);
    }
}
