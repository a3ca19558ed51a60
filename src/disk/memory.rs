//! The in-memory twin: the same contract, with a volatile and a durable image of every file.
//!
//! Writes are volatile until a sync, per 512-byte sector; directory changes are durable at once, as the
//! contract of `Disk` promises. `power_cut` decides for each unsynced sector whether the old or the new
//! bytes survived. Faults can be planted: a flipped byte, a failing sync, a full disk.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{Error as IoError, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::{Disk, DiskFile, Error, FolderLock};

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

/// A disk in memory.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    files: Mutex<BTreeMap<PathBuf, Arc<Content>>>,
    capacity_bytes: Mutex<Option<u64>>,
    locked: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Content {
    image: Mutex<Image>,
    fails_syncs: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct Image {
    bytes: Vec<u8>,
    /// Of every sector written since the last sync, what is durable.
    unsynced: BTreeMap<u64, Vec<u8>>,
}

impl Image {
    fn sector(&self, sector: u64) -> Range<usize> {
        let start = (sector * SECTOR_BYTES) as usize;
        start..self.bytes.len().min(start + SECTOR_BYTES as usize)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let old = self.sector(sector);
            if let Entry::Vacant(vacant) = self.unsynced.entry(sector) {
                vacant.insert(self.bytes[old].to_vec());
            }
        }
        self.bytes[offset as usize..end as usize].copy_from_slice(bytes);
    }

    fn revert(&mut self, mut lost: impl FnMut() -> bool) {
        for (sector, old) in std::mem::take(&mut self.unsynced) {
            let range = self.sector(sector);
            if lost() {
                self.bytes[range].copy_from_slice(&old);
            }
        }
    }
}

impl Content {
    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().expect("no panic while a file is held")
    }
}

/// The splitmix64 generator (Steele, Lea, Flood 2014): one fair bit per call.
fn coin(state: &mut u64) -> bool {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) & 1 == 1
}

impl MemoryDisk {
    pub fn new() -> Self {
        Self::default()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Arc<Content>>> {
        self.files.lock().expect("no panic while the folder is held")
    }

    fn content(&self, operation: &'static str, path: &Path) -> Result<Arc<Content>, Error> {
        let content = self.files().get(path).cloned();
        content.ok_or_else(|| Error::io(operation, path, IoError::from(ErrorKind::NotFound)))
    }

    fn check_space(&self, operation: &'static str, path: &Path, size_bytes: u64) -> Result<(), Error> {
        let capacity = *self.capacity_bytes.lock().expect("no panic while the capacity is held");
        let used: u64 = self.files().values().map(|content| content.image().bytes.len() as u64).sum();
        if capacity.is_some_and(|capacity| used + size_bytes > capacity) {
            return Err(Error::NoSpace { operation, path: path.to_owned() });
        }
        Ok(())
    }

    /// Loses power: of each sector not synced, the old or the new bytes survive, as `seed` has it.
    /// Files opened before must not be used afterwards.
    pub fn power_cut(&self, seed: u64) {
        let mut state = seed;
        for content in self.files().values() {
            content.image().revert(|| coin(&mut state));
        }
        self.locked.store(false, Ordering::Release);
    }

    /// Loses power and every byte that was not synced.
    pub fn lose_unsynced(&self) {
        self.files().values().for_each(|content| content.image().revert(|| true));
        self.locked.store(false, Ordering::Release);
    }

    /// An independent copy, unsynced bytes included.
    #[must_use]
    pub fn fork(&self) -> Self {
        let copy = |(path, content): (&PathBuf, &Arc<Content>)| {
            let image = Mutex::new(content.image().clone());
            (path.clone(), Arc::new(Content { image, fails_syncs: AtomicBool::new(false) }))
        };
        Self { files: Mutex::new(self.files().iter().map(copy).collect()), ..Self::default() }
    }

    /// Inverts the bits of `mask` in one durable byte, as rot does.
    pub fn flip(&self, path: &Path, at_byte: u64, mask: u8) -> Result<(), Error> {
        let content = self.content("flip a byte of", path)?;
        content.image().bytes[at_byte as usize] ^= mask;
        Ok(())
    }

    /// From now on, syncs of this file fail, or no longer do.
    pub fn fail_syncs(&self, path: &Path, fails: bool) -> Result<(), Error> {
        self.content("fail syncs of", path)?.fails_syncs.store(fails, Ordering::Release);
        Ok(())
    }

    /// Limits the size of all files together.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        *self.capacity_bytes.lock().expect("no panic while the capacity is held") = capacity_bytes;
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path, size_bytes: u64) -> Result<Arc<dyn DiskFile>, Error> {
        self.check_space("allocate", path, size_bytes)?;
        match self.files().entry(path.to_owned()) {
            Entry::Occupied(_) => Err(Error::io("create", path, IoError::from(ErrorKind::AlreadyExists))),
            Entry::Vacant(vacant) => {
                let content = Arc::new(Content::default());
                content.image().bytes = vec![0; size_bytes as usize];
                Ok(MemoryFile::open(path, vacant.insert(content)))
            }
        }
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, Error> {
        Ok(MemoryFile::open(path, &self.content("open", path)?))
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
        let mut files = self.files();
        let before = files.len();
        files.retain(|file, _| !file.starts_with(path));
        if files.len() == before {
            return Err(Error::io("remove", path, IoError::from(ErrorKind::NotFound)));
        }
        Ok(())
    }

    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        self.check_space("replace", path, content.len() as u64)?;
        let replacement = Arc::new(Content::default());
        replacement.image().bytes = content.to_vec();
        self.files().insert(path.to_owned(), replacement);
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.files().get(path).map(|content| content.image().bytes.clone()))
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
}

impl MemoryFile {
    fn open(path: &Path, content: &Arc<Content>) -> Arc<dyn DiskFile> {
        let size_bytes = content.image().bytes.len() as u64;
        let (path, content) = (path.to_owned(), Arc::clone(content));
        Arc::new(Self { path, content, size_bytes, poisoned: AtomicBool::new(false) })
    }

    fn check_poison(&self) -> Result<(), Error> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned { path: self.path.clone() });
        }
        Ok(())
    }
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
        self.check_poison()?;
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
        self.check_poison()?;
        if self.content.fails_syncs.load(Ordering::Acquire) {
            self.poisoned.store(true, Ordering::Release);
            return Err(Error::io("sync", &self.path, IoError::other("a planted fault")));
        }
        self.content.image().unsynced.clear();
        Ok(())
    }
}
