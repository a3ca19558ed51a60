//! The operating system's disk: preallocated files, memory-mapped for reading, written by position.
//!
//! Writes go through `pwrite` to the page cache, which the shared map shows at once. Files never change size after
//! creation, so a map never reaches past its file's end, unless somebody else shortens the file: `unreadable` names it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::file_system::{FILES_MIN, FileSystem};
use super::unreadable::MappedRange;
use super::{BootId, Disk, DiskFile, Error, FolderLock};

/// Syncs run side by side on at most this many threads.
const SYNC_THREADS_MAX: usize = 8;
/// Zeros are written in pieces of this size. The kernel keeps a piece in one folio, and walks all blocks of a folio for every
/// small write into it: with pieces of 1 MiB that took 20 us, with these 3 (docs/BENCHMARKS.md).
const ZEROS: &[u8] = &[0; 64 << 10];
/// What is owed to the disk while a file is filled: a sync of other files may have to wait for it.
const OWED_BYTES_MAX: u64 = 4 << 20;
/// Linux draws a new one at each boot: a UUID.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A folder of the operating system's file system.
#[derive(Debug)]
pub struct OsDisk {
    root: PathBuf,
    file_system: FileSystem,
}

impl OsDisk {
    /// A disk whose root is `root`; the folder is created if it is absent. The process may then open as many files as
    /// the system allows it.
    pub fn new(root: &Path) -> Result<Self, Error> {
        allow_open_files();
        let root = fs::create_dir_all(root)
            .and_then(|()| fs::canonicalize(root))
            .map_err(|e| Error::io("create", root, e))?;
        root.parent().map_or(Ok(()), sync_folder)?;
        let file_system = File::open(&root).and_then(FileSystem::of);
        let file_system = file_system.map_err(|e| Error::io("open", &root, e))?;
        Ok(Self { root, file_system })
    }

    fn map(&self, file: File, path: PathBuf) -> Result<Arc<dyn DiskFile>, Error> {
        let (file, device) = OsFile::map(file, path)?;
        self.file_system.note_opened(device);
        Ok(Arc::new(file))
    }

    fn full(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// Makes a folder and those above it, each with a durable directory entry.
    fn create_folder(&self, folder: &Path) -> Result<(), Error> {
        if folder == self.root || folder.is_dir() {
            return Ok(());
        }
        let Some(parent) = folder.parent() else { return Ok(()) };
        self.create_folder(parent)?;
        match fs::create_dir(folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(Error::io("create", folder, e)),
            _ => sync_folder(parent),
        }
    }
}

/// Every shard keeps its active segment open, and the usual limit is 1024 files. One that cannot be raised shows where it
/// is met: an error that names the file.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("a file inside the root has a parent")
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| Error::io("sync folder", folder, e))
}

/// Space is asked for before it is filled: a full disk says no at once, and is not filled to the brim first.
fn allocate(file: &File, size_bytes: u64) -> std::io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size_bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        allocated => Ok(allocated?),
    }
}

fn write_zeros(file: &mut File, size_bytes: u64) -> std::io::Result<()> {
    if size_bytes > 0 {
        allocate(file, size_bytes)?;
    }
    let mut left = size_bytes;
    while left > 0 {
        let len = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..len as usize])?;
        left -= len;
        if left.is_multiple_of(OWED_BYTES_MAX) {
            file.sync_data()?;
        }
    }
    file.sync_all()
}

/// Where a file's next content is written before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".new");
    beside.into()
}

fn replace_file(beside: &Path, path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(beside, path)
}

/// The bytes of a file that is only looked at: it is opened for reading, and nothing is made, locked or written. Nobody
/// may shorten it meanwhile; a running node never shortens its files.
pub fn map_read_only(path: &Path) -> Result<Bytes, Error> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let metadata = file.metadata().map_err(|e| Error::io("open", path, e))?;
    if !metadata.is_file() {
        return Err(Error::io("open", path, std::io::Error::from(ErrorKind::InvalidInput)));
    }
    if metadata.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is private to reading, and the caller's files keep their size (above).
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
    Ok(Bytes::from_owner(NamedMap { _range: MappedRange::of(&map, path), map }))
}

impl Disk for OsDisk {
    fn create(&self, path: &Path, size_bytes: u64) -> Result<Arc<dyn DiskFile>, Error> {
        let path = self.full(path);
        self.create_folder(parent(&path))?;
        let opened = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let mut file = opened.map_err(|e| Error::io("create", &path, e))?;
        // Zeros are written, not promised: a later write then needs no new block and no metadata journal.
        if let Err(e) = write_zeros(&mut file, size_bytes) {
            let _ = fs::remove_file(&path);
            return Err(Error::io("allocate", &path, e));
        }
        sync_folder(parent(&path))?;
        self.map(file, path)
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, Error> {
        let path = self.full(path);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = opened.map_err(|e| Error::io("open", &path, e))?;
        self.map(file, path)
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let folder = self.full(folder);
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| Error::io("list", &folder, e))?,
        };
        let names = entries.map(|entry| entry.map(|entry| PathBuf::from(entry.file_name())));
        let mut names = names.collect::<Result<Vec<_>, _>>().map_err(|e| Error::io("list", &folder, e))?;
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        let path = self.full(path);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|e| Error::io("remove", &path, e))?;
        sync_folder(parent(&path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let (from, to) = (self.full(from), self.full(to));
        if from.is_dir() {
            return Err(Error::io("rename", &from, std::io::Error::from(ErrorKind::IsADirectory)));
        }
        self.create_folder(parent(&to))?;
        fs::rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
        // The new name first: a crash in between shows the file twice rather than not at all.
        sync_folder(parent(&to))?;
        if parent(&from) == parent(&to) { Ok(()) } else { sync_folder(parent(&from)) }
    }

    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let path = self.full(path);
        self.create_folder(parent(&path))?;
        replace_file(&beside(&path), &path, content).map_err(|e| Error::io("replace", &path, e))?;
        sync_folder(parent(&path))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        let path = self.full(path);
        match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            content => content.map(Some).map_err(|e| Error::io("read", &path, e)),
        }
    }

    fn read_start(&self, path: &Path, bytes_max: u64) -> Result<(Vec<u8>, u64), Error> {
        let path = self.full(path);
        let read = File::open(&path).and_then(|file| {
            let size_bytes = file.metadata()?.len();
            let mut start = vec![0; size_bytes.min(bytes_max) as usize];
            file.read_exact_at(&mut start, 0)?;
            Ok((start, size_bytes))
        });
        read.map_err(|e| Error::io("read", &path, e))
    }

    fn write_unsynced(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let path = self.full(path);
        let beside = beside(&path);
        let written = fs::write(&beside, content).and_then(|()| fs::rename(&beside, &path));
        written.map_err(|e| Error::io("write", &path, e))
    }

    fn boot(&self) -> Result<BootId, Error> {
        let path = Path::new(BOOT_ID);
        let text = fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let id = u128::from_str_radix(&digits, 16).ok().filter(|id| *id != 0);
        id.map(BootId).ok_or_else(|| Error::io("parse", path, std::io::Error::from(ErrorKind::InvalidData)))
    }

    fn sync(&self, files: &[Arc<dyn DiskFile>]) -> Vec<Result<(), Error>> {
        if files.len() <= 1 {
            return files.iter().map(|file| file.sync()).collect();
        }
        // A file's own sync says what `syncfs` may keep to itself: that the file system went read-only, was shut down, or
        // could not flush the device (its result was thrown away before Linux 5.17).
        if files.len() >= FILES_MIN
            && self.file_system.sync()
            && self.file_system.confirm(files[0].sync().is_ok())
        {
            return files.iter().map(|file| file.check_sound()).collect();
        }
        let share = files.len().div_ceil(SYNC_THREADS_MAX);
        std::thread::scope(|scope| {
            let sync_all =
                |files: &[Arc<dyn DiskFile>]| files.iter().map(|file| file.sync()).collect::<Vec<_>>();
            let (mine, others) = files.split_at(share);
            let others: Vec<_> =
                others.chunks(share).map(|files| scope.spawn(move || sync_all(files))).collect();
            let mut results = sync_all(mine);
            for thread in others {
                results.extend(thread.join().expect("a sync does not panic"));
            }
            results
        })
    }

    fn lock(&self) -> Result<FolderLock, Error> {
        let path = self.root.join("lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|e| Error::io("lock", &path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock::new(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: self.root.clone() }),
            Err(TryLockError::Error(e)) => Err(Error::io("lock", &path, e)),
        }
    }
}

/// A map that is named should a page of it be unreadable. The name goes before the map does.
struct NamedMap {
    _range: MappedRange,
    map: memmap2::Mmap,
}

impl AsRef<[u8]> for NamedMap {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

struct OsFile {
    file: File,
    path: PathBuf,
    size_bytes: u64,
    /// The whole map; slices share its ownership, so it outlives this file and its removal.
    map: Bytes,
    poisoned: AtomicBool,
    /// The kernel tells an error once: whoever is told notes it before anybody else asks.
    syncing: Mutex<()>,
}

impl OsFile {
    /// The file, mapped, and which device holds it.
    fn map(file: File, path: PathBuf) -> Result<(Self, u64), Error> {
        let metadata = file.metadata().map_err(|e| Error::io("open", &path, e))?;
        let (size_bytes, device) = (metadata.len(), metadata.dev());
        let map = if size_bytes == 0 {
            Bytes::new()
        } else {
            // SAFETY: the data folder is locked by this process, and no code here shortens a file, so the
            // map stays valid. Bytes under a slice that its taker keeps are not written to again
            // (`DiskFile::slice`).
            let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io("map", &path, e))?;
            Bytes::from_owner(NamedMap { _range: MappedRange::of(&map, &path), map })
        };
        Ok((
            Self { file, path, size_bytes, map, poisoned: AtomicBool::new(false), syncing: Mutex::new(()) },
            device,
        ))
    }
}

impl DiskFile for OsFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        assert!(offset + bytes.len() as u64 <= self.size_bytes, "a write stays inside its file");
        self.check_sound()?;
        self.file.write_all_at(bytes, offset).map_err(|e| Error::io("write", &self.path, e))
    }

    fn slice(&self, range: Range<u64>) -> Bytes {
        self.map.slice(range.start as usize..range.end as usize)
    }

    fn copy(&self, range: Range<u64>) -> Vec<u8> {
        self.map[range.start as usize..range.end as usize].to_vec()
    }

    fn sync(&self) -> Result<(), Error> {
        let _turn = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_sound()?;
        self.file.sync_data().map_err(|e| {
            // The kernel may have dropped the dirty pages and forgotten the error: a second sync would lie.
            self.poisoned.store(true, Ordering::Release);
            Error::io("sync", &self.path, e)
        })
    }

    fn check_sound(&self) -> Result<(), Error> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned { path: self.path.clone() });
        }
        Ok(())
    }
}
