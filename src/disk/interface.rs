//! The seam between the log and the world's disks.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::Error;

/// Names one run of a machine, from power to power. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId(pub u128);

/// A disk: a tree of folders with fixed-size mapped files. Paths are relative to the disk's root.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file of `size_bytes` zeros, allocated, with a durable directory entry; parents are made.
    /// An existing file is an error.
    fn create(&self, path: &Path, size_bytes: u64) -> Result<Arc<dyn DiskFile>, Error>;
    /// Opens an existing file for reading and writing; its size is what it was created with.
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, Error>;
    /// The names in a folder, sorted; an absent folder is empty.
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, Error>;
    /// Removes a file, or a folder with all it holds, durably. Slices already taken stay readable.
    fn remove(&self, path: &Path) -> Result<(), Error>;
    /// Gives a file the path `to` in place of whatever file stood there, atomically and durably: after a crash `to`
    /// is the old file or the new one, whole. The file's content must be synced before. A file already open keeps
    /// working and names its old path in messages; slices of what `to` was stay readable. A folder is an error, an
    /// absent `from` too.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error>;
    /// Replaces a small file's content atomically and durably.
    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), Error>;
    /// A small file's content, or `None` if it does not exist.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error>;
    /// The first bytes of a file, at most `bytes_max`, and its size. Nothing stays open.
    fn read_start(&self, path: &Path, bytes_max: u64) -> Result<(Vec<u8>, u64), Error>;
    /// Puts a small file in place of any older one, at once visible and not durable: after a crash it may be absent,
    /// older, empty or torn. For what can be made again. Maps of the older one stay as they are.
    fn write_unsynced(&self, path: &Path, content: &[u8]) -> Result<(), Error>;
    /// Which run of the machine this is: unsynced writes of another may be lost.
    fn boot(&self) -> Result<BootId, Error>;
    /// Syncs the data of all `files`, side by side or all at once where that is faster. One answer per file, in order.
    fn sync(&self, files: &[Arc<dyn DiskFile>]) -> Vec<Result<(), Error>>;
    /// Locks the disk's root folder for this process until the guard is dropped.
    fn lock(&self) -> Result<FolderLock, Error>;
}

/// A fixed-size file, mapped for reading and written by position.
pub trait DiskFile: Send + Sync + 'static {
    /// Its path, for messages.
    fn path(&self) -> &Path;
    fn size_bytes(&self) -> u64;
    /// Writes `bytes` at `offset`, inside the file's size. Visible at once, durable after a sync.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error>;
    /// Bytes of the map, without a copy. The caller takes only ranges that are no longer written to.
    fn slice(&self, range: Range<u64>) -> Bytes;
    /// A copy of bytes that may still be written to.
    fn copy(&self, range: Range<u64>) -> Vec<u8>;
    /// Syncs this file's data. A failure poisons the file: later writes and syncs are refused.
    fn sync(&self) -> Result<(), Error>;
    /// Refused if a sync of this file has failed.
    fn check_sound(&self) -> Result<(), Error>;
}

/// Holds a folder's lock until dropped.
pub struct FolderLock {
    _held: Box<dyn std::any::Any + Send + Sync>,
}

impl FolderLock {
    pub(super) fn new(held: impl std::any::Any + Send + Sync) -> Self {
        Self { _held: Box::new(held) }
    }
}
