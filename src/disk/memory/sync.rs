//! Syncs in two steps, so that time can pass, writes go on and power fail between them.

use std::path::Path;
use std::sync::Arc;

use super::MemoryDisk;
use super::disk::Content;
use super::image::{Snapshot, Truth};
use crate::disk::{DiskFile, Error};

/// A sync under way.
pub struct PendingSync {
    parts: Vec<Part>,
}

struct Part {
    file: Arc<dyn DiskFile>,
    /// `None` if the file was removed before the sync began: then there is nothing to write.
    taken: Option<(Arc<Content>, Snapshot)>,
}

/// One sector of a sync that reports success all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misdeed {
    /// Which of the sectors that the sync carries.
    pub nth: usize,
    /// It is written over this sector of the same file instead; `None`: it is never written.
    pub elsewhere: Option<u64>,
}

impl Misdeed {
    fn truth(self) -> Truth {
        self.elsewhere.map_or(Truth::Lost, Truth::Elsewhere)
    }
}

impl PendingSync {
    /// The files to be synced.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(|part| part.file.path())
    }

    /// How many sectors it carries.
    pub fn sectors(&self) -> usize {
        self.parts
            .iter()
            .filter_map(|part| part.taken.as_ref())
            .map(|(_, snapshot)| snapshot.sectors.len())
            .sum()
    }
}

impl MemoryDisk {
    /// Begins a sync of what is written now.
    pub fn begin_sync(&self, files: Vec<Arc<dyn DiskFile>>) -> PendingSync {
        let begin = |file: Arc<dyn DiskFile>| {
            let content = self.content("sync", file.path()).ok();
            let taken = content.map(|content| {
                let snapshot = content.image().begin_sync();
                (content, snapshot)
            });
            Part { file, taken }
        };
        PendingSync { parts: files.into_iter().map(begin).collect() }
    }

    /// Ends a sync well, or with `misdeed` in secret: one answer per file.
    pub fn finish_sync(&self, pending: PendingSync, misdeed: Option<Misdeed>) -> Vec<Result<(), Error>> {
        let mut nth = 0;
        let mut finish = |part: Part| {
            // A poisoned file refuses every write, even of nothing.
            part.file.write_at(0, &[])?;
            let Some((content, snapshot)) = part.taken else { return Ok(()) };
            let mut image = content.image();
            for (sector, bytes) in snapshot.sectors {
                let truth =
                    misdeed.filter(|misdeed| misdeed.nth == nth).map_or(Truth::Written, Misdeed::truth);
                nth += 1;
                image.finish_sync(snapshot.number, sector, bytes, truth);
            }
            Ok(())
        };
        pending.parts.into_iter().map(&mut finish).collect()
    }

    /// Ends a sync with a failure of every file: its pages are clean and lost, and the files poisoned.
    pub fn fail_sync(&self, pending: PendingSync) -> Vec<Result<(), Error>> {
        let fail = |Part { file, taken }: Part| {
            let Some((content, snapshot)) = taken else { return file.sync() };
            content.image().fail_sync(&snapshot);
            content.set_fails_syncs(true);
            let failed = file.sync();
            content.set_fails_syncs(false);
            failed
        };
        pending.parts.into_iter().map(fail).collect()
    }
}
