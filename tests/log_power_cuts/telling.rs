//! A disk that tells on standard output what it is about to do, and under which name: so a witness can cut the power in
//! the middle, and knows where the cut fell.
//!
//! Knows nothing of what the operations are for, but that a log syncs a file by itself, within an append, only when
//! it rolls. Invariant: a line is out before its operation begins.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use timberline::disk::{BootId, Disk, DiskFile, Error, FolderLock, OsDisk};
use timberline::log::names;

use super::worker::FOLDER;

/// Before each line for the witness: the test harness writes to the same pipe.
pub(crate) const MARK: &str = "* ";

/// Writes one line for the witness, at once. If the witness is gone, nobody is left to be told.
pub(crate) fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{MARK}{line}\n").as_bytes());
    let _ = out.flush();
}

/// What is under way: an operation of the log's, and what of it.
#[derive(Default)]
pub(crate) struct Label(Mutex<Now>);

#[derive(Default)]
struct Now {
    operation: &'static str,
    part: Part,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    /// What the operation is named for.
    #[default]
    Itself,
    Roll,
    Index,
    Sync,
}

impl Label {
    /// Another operation begins.
    pub(crate) fn begin(&self, operation: &'static str) {
        *self.now() = Now { operation, part: Part::Itself };
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, part: Part) {
        self.now().part = part;
        self.step();
    }

    fn name(&self) -> String {
        let now = self.now();
        match now.part {
            Part::Itself => now.operation.to_owned(),
            Part::Roll => "roll".to_owned(),
            Part::Index => "index".to_owned(),
            Part::Sync => format!("{} sync", now.operation),
        }
    }

    fn step(&self) {
        tell(&format!("step {}", self.name()));
    }

    /// Tells of a step that failed: the first one met the cut.
    fn ends<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            tell(&format!("met {}", self.name()));
        }
        result
    }

    /// A step that, within an append, only a roll takes.
    fn step_of_roll(&self) {
        let mut now = self.now();
        if now.part == Part::Itself && matches!(now.operation, "append" | "truncation" | "trim") {
            now.part = Part::Roll;
        }
        drop(now);
        self.step();
    }
}

/// The operating system's disk, telling.
pub(crate) struct TellingDisk {
    inner: OsDisk,
    root: PathBuf,
    label: Arc<Label>,
}

impl TellingDisk {
    pub(crate) fn new(root: &Path, label: Arc<Label>) -> Result<Self, Error> {
        Ok(Self { inner: OsDisk::new(root)?, root: root.to_owned(), label })
    }

    /// Whether a file can be opened: not on a file system that is shut down.
    pub(crate) fn is_powered(&self) -> bool {
        File::open(names::vote(&self.root.join(FOLDER))).is_ok()
    }

    /// Forgets the large folio that a file's zeros were written in: it would be written back as a whole, and no frame
    /// would ever be torn.
    fn forget_pages(&self, path: &Path) {
        let forgotten = File::open(self.root.join(path))
            .and_then(|file| Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?));
        // In vain when the power is gone.
        let _ = forgotten;
    }

    fn telling(&self, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(TellingFile { inner, label: Arc::clone(&self.label) })
    }
}

impl Disk for TellingDisk {
    fn boot(&self) -> Result<BootId, Error> {
        self.inner.boot()
    }

    fn create(&self, path: &Path, size_bytes: u64) -> Result<Arc<dyn DiskFile>, Error> {
        self.label.step_of_roll();
        let file = self.label.ends(self.inner.create(path, size_bytes))?;
        self.forget_pages(path);
        Ok(self.telling(file))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, Error> {
        Ok(self.telling(self.label.ends(self.inner.open(path))?))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        self.label.ends(self.inner.list(folder))
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.label.step();
        self.label.ends(self.inner.remove(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.label.step();
        self.label.ends(self.inner.rename(from, to))
    }

    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        self.label.step();
        self.label.ends(self.inner.replace(path, content))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        self.label.ends(self.inner.read(path))
    }

    fn read_start(&self, path: &Path, bytes_max: u64) -> Result<(Vec<u8>, u64), Error> {
        self.label.ends(self.inner.read_start(path, bytes_max))
    }

    fn write_unsynced(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        self.label.enter(Part::Index);
        let written = self.label.ends(self.inner.write_unsynced(path, content));
        self.label.enter(Part::Itself);
        written
    }

    fn sync(&self, files: &[Arc<dyn DiskFile>]) -> Vec<Result<(), Error>> {
        self.label.enter(Part::Sync);
        let synced = files.iter().map(|file| file.sync()).collect();
        self.label.enter(Part::Itself);
        synced
    }

    fn lock(&self) -> Result<FolderLock, Error> {
        self.inner.lock()
    }
}

struct TellingFile {
    inner: Arc<dyn DiskFile>,
    label: Arc<Label>,
}

impl DiskFile for TellingFile {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.label.step();
        self.label.ends(self.inner.write_at(offset, bytes))
    }

    fn slice(&self, range: Range<u64>) -> Bytes {
        self.inner.slice(range)
    }

    fn copy(&self, range: Range<u64>) -> Vec<u8> {
        self.inner.copy(range)
    }

    fn sync(&self) -> Result<(), Error> {
        self.label.step_of_roll();
        self.label.ends(self.inner.sync())
    }

    fn check_sound(&self) -> Result<(), Error> {
        self.inner.check_sound()
    }
}
