//! The tree of files, and the files as their owner sees them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{Error as IoError, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::faults::Power;
use super::image::{Image, Truth};
use crate::disk::{BootId, Disk, DiskFile, Error, FolderLock};
use crate::simulation::{Bug, is_planted};

/// A disk in memory.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    files: Mutex<BTreeMap<PathBuf, Arc<Content>>>,
    capacity_bytes: Mutex<Option<u64>>,
    locked: Arc<AtomicBool>,
    pub(super) power: Arc<Power>,
    /// Power cuts so far.
    pub(super) boots: AtomicU64,
}

/// A file, whatever its name.
#[derive(Debug, Default)]
pub(super) struct Content {
    image: Mutex<Image>,
    fails_syncs: AtomicBool,
    /// Its name survives a power cut.
    entry_durable: AtomicBool,
}

impl Content {
    pub(super) fn new(image: Image) -> Arc<Self> {
        Arc::new(Self { image: Mutex::new(image), ..Self::default() })
    }

    pub(super) fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().expect("no panic while a file is held")
    }

    pub(super) fn set_fails_syncs(&self, fails: bool) {
        self.fails_syncs.store(fails, Ordering::Release);
    }

    pub(super) fn is_entry_durable(&self) -> bool {
        self.entry_durable.load(Ordering::Acquire)
    }

    pub(super) fn set_entry_durable(&self) {
        self.entry_durable.store(true, Ordering::Release);
    }
}

impl MemoryDisk {
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Arc<Content>>> {
        self.files.lock().expect("no panic while the folder is held")
    }

    pub(super) fn content(&self, operation: &'static str, path: &Path) -> Result<Arc<Content>, Error> {
        let content = self.files().get(path).cloned();
        content.ok_or_else(|| Error::io(operation, path, IoError::from(ErrorKind::NotFound)))
    }

    fn handle(&self, path: &Path, content: &Arc<Content>) -> Arc<dyn DiskFile> {
        let size_bytes = content.image().bytes.len() as u64;
        let (path, content, power) = (path.to_owned(), Arc::clone(content), Arc::clone(&self.power));
        Arc::new(MemoryFile { path, content, size_bytes, poisoned: AtomicBool::new(false), power })
    }

    fn check_space(&self, operation: &'static str, path: &Path, size_bytes: u64) -> Result<(), Error> {
        let capacity = *self.capacity_bytes.lock().expect("no panic while the capacity is held");
        let used: u64 = self.files().values().map(|content| content.image().bytes.len() as u64).sum();
        if capacity.is_some_and(|capacity| used + size_bytes > capacity) {
            return Err(Error::NoSpace { operation, path: path.to_owned() });
        }
        Ok(())
    }

    /// Nobody holds the folder any more: the process that did is gone.
    pub(super) fn unlock(&self) {
        self.locked.store(false, Ordering::Release);
    }

    /// Makes a file's name durable, as a sync of its folder does.
    fn sync_entry(content: &Content) {
        if !is_planted(Bug::SkipDirectorySync) {
            content.set_entry_durable();
        }
    }

    /// An independent copy, unsynced bytes included.
    #[must_use]
    pub fn fork(&self) -> Self {
        let copy = |(path, content): (&PathBuf, &Arc<Content>)| {
            let copied = Content::new(content.image().clone());
            if content.is_entry_durable() {
                copied.set_entry_durable();
            }
            (path.clone(), copied)
        };
        let files = Mutex::new(self.files().iter().map(copy).collect());
        Self { files, boots: AtomicU64::new(self.boots.load(Ordering::Acquire)), ..Self::default() }
    }

    /// Limits the size of all files together.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        *self.capacity_bytes.lock().expect("no panic while the capacity is held") = capacity_bytes;
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path, size_bytes: u64) -> Result<Arc<dyn DiskFile>, Error> {
        self.power.spend("create", path)?;
        self.check_space("allocate", path, size_bytes)?;
        let content = match self.files().entry(path.to_owned()) {
            Entry::Occupied(_) => {
                return Err(Error::io("create", path, IoError::from(ErrorKind::AlreadyExists)));
            }
            Entry::Vacant(vacant) => Arc::clone(vacant.insert(Content::new(Image::zeros(size_bytes)))),
        };
        self.power.spend("sync the folder of", path)?;
        Self::sync_entry(&content);
        Ok(self.handle(path, &content))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, Error> {
        Ok(self.handle(path, &self.content("open", path)?))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let files = self.files();
        let below = files.keys().filter_map(|path| path.strip_prefix(folder).ok());
        let mut names: Vec<PathBuf> =
            below.filter_map(|path| path.iter().next()).map(PathBuf::from).collect();
        names.dedup();
        Ok(names)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.power.spend("remove", path)?;
        let mut files = self.files();
        let before = files.len();
        files.retain(|file, _| !file.starts_with(path));
        if files.len() == before {
            return Err(Error::io("remove", path, IoError::from(ErrorKind::NotFound)));
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.power.spend("rename", from)?;
        let mut files = self.files();
        let moved = files.remove(from);
        let moved = moved.ok_or_else(|| Error::io("rename", from, IoError::from(ErrorKind::NotFound)))?;
        Self::sync_entry(&moved);
        files.insert(to.to_owned(), moved);
        Ok(())
    }

    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        self.power.spend("replace", path)?;
        self.check_space("replace", path, content.len() as u64)?;
        let replacement = Content::new(Image::of(content.to_vec()));
        replacement.set_entry_durable();
        self.files().insert(path.to_owned(), replacement);
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.files().get(path).map(|content| content.image().bytes.clone()))
    }

    fn read_start(&self, path: &Path, bytes_max: u64) -> Result<(Vec<u8>, u64), Error> {
        let content = self.content("read", path)?;
        let image = content.image();
        let size_bytes = image.bytes.len() as u64;
        Ok((image.bytes[..size_bytes.min(bytes_max) as usize].to_vec(), size_bytes))
    }

    fn write_unsynced(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        self.power.spend("write", path)?;
        self.check_space("write", path, content.len() as u64)?;
        let mut image = Image::zeros(content.len() as u64);
        image.write(0, content);
        let written = Content::new(image);
        // Its name survives, so that its bytes can be torn.
        written.set_entry_durable();
        self.files().insert(path.to_owned(), written);
        Ok(())
    }

    fn boot(&self) -> Result<BootId, Error> {
        Ok(BootId(u128::from(self.boots.load(Ordering::Acquire)) + 1))
    }

    fn sync(&self, files: &[Arc<dyn DiskFile>]) -> Vec<Result<(), Error>> {
        files.iter().map(|file| file.sync()).collect()
    }

    fn lock(&self) -> Result<FolderLock, Error> {
        if self.locked.swap(true, Ordering::AcqRel) {
            return Err(Error::Locked { path: PathBuf::from("/") });
        }
        Ok(FolderLock::new(HeldLock(Arc::clone(&self.locked))))
    }
}

struct HeldLock(Arc<AtomicBool>);

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

struct MemoryFile {
    path: PathBuf,
    content: Arc<Content>,
    size_bytes: u64,
    poisoned: AtomicBool,
    power: Arc<Power>,
}

impl DiskFile for MemoryFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        assert!(offset + bytes.len() as u64 <= self.size_bytes, "a write stays inside its file");
        self.check_sound()?;
        self.power.spend("write", &self.path)?;
        self.content.image().write(offset, bytes);
        Ok(())
    }

    /// A copy, which no taker can tell from the map: the range is no longer written to.
    fn slice(&self, range: Range<u64>) -> Bytes {
        self.copy(range).into()
    }

    fn copy(&self, range: Range<u64>) -> Vec<u8> {
        self.content.image().bytes[range.start as usize..range.end as usize].to_vec()
    }

    fn sync(&self) -> Result<(), Error> {
        self.check_sound()?;
        self.power.spend("sync", &self.path)?;
        let mut image = self.content.image();
        let snapshot = image.begin_sync();
        if self.content.fails_syncs.load(Ordering::Acquire) || self.power.fails_sync() {
            image.fail_sync(&snapshot);
            self.poisoned.store(true, Ordering::Release);
            return Err(Error::io("sync", &self.path, IoError::other("a planted fault")));
        }
        for (sector, bytes) in snapshot.sectors {
            image.finish_sync(snapshot.number, sector, bytes, Truth::Written);
        }
        Ok(())
    }

    fn check_sound(&self) -> Result<(), Error> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned { path: self.path.clone() });
        }
        Ok(())
    }
}
