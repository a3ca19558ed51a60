//! Says which file and byte it was, when a page of a map cannot be read.
//!
//! The kernel tells with SIGBUS: the file was made shorter by somebody, or its disk fails. No reader can go on, for the
//! read is a plain load from memory; what can be done is to end with a message instead of a bare signal.
//!
//! Invariants: the signal handler takes no lock, allocates nothing, and reads a path only of the map that holds the
//! address that faulted, which its reader keeps alive. Maps beyond the table's size are not named, and harm nothing.

use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::Error;

/// More maps than a process may have by default (`vm.max_map_count` is 65530). Pages of the table that no map ever
/// needed take no memory.
const MAPS_MAX: usize = 1 << 16;
const SIGBUS: i32 = rustix::process::Signal::BUS.as_raw();

static TABLE: [Entry; MAPS_MAX] = [const { Entry::new() }; MAPS_MAX];
static FREE: Mutex<Free> = Mutex::new(Free { returned: Vec::new(), used: 0 });

/// Where one map lies. Written under the lock of `FREE`, read by the signal handler at any time.
struct Entry {
    /// Odd while the entry changes.
    version: AtomicU32,
    start: AtomicUsize,
    len: AtomicUsize,
    path: AtomicPtr<u8>,
    path_len: AtomicUsize,
}

/// Entries of the table that nobody has.
struct Free {
    returned: Vec<usize>,
    /// Those from here on were never taken.
    used: usize,
}

fn free() -> MutexGuard<'static, Free> {
    // Nothing panics while it is held, and a list of numbers is never half changed.
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    const fn new() -> Self {
        Self {
            version: AtomicU32::new(0),
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            path: AtomicPtr::new(std::ptr::null_mut()),
            path_len: AtomicUsize::new(0),
        }
    }

    fn set(&self, start: usize, len: usize, path: &[u8]) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(start, Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
        self.path.store(path.as_ptr().cast_mut(), Ordering::Relaxed);
        self.path_len.store(path.len(), Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// The path, and the byte in its file, if the address lies in this map. An entry that changes meanwhile is not that
    /// of the map being read.
    fn find(&self, address: usize) -> Option<(*const u8, usize, usize)> {
        let version = self.version.load(Ordering::Acquire);
        let (start, len) = (self.start.load(Ordering::Relaxed), self.len.load(Ordering::Relaxed));
        let (path, path_len) = (self.path.load(Ordering::Relaxed), self.path_len.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let is_whole = version.is_multiple_of(2) && version == self.version.load(Ordering::Relaxed);
        let at_byte = address.wrapping_sub(start);
        (is_whole && at_byte < len).then_some((path.cast_const(), path_len, at_byte))
    }
}

/// A map's entry in the table, until dropped: before the map itself is.
pub(super) struct MappedRange {
    entry: Option<usize>,
    /// What the entry points to.
    _path: Box<[u8]>,
}

impl MappedRange {
    pub(super) fn of(map: &[u8], path: &Path) -> Self {
        let path: Box<[u8]> = path.as_os_str().as_bytes().into();
        let mut free = free();
        let entry = free.returned.pop().or_else(|| {
            let next = free.used;
            (next < MAPS_MAX).then(|| {
                free.used += 1;
                next
            })
        });
        if let Some(entry) = entry {
            TABLE[entry].set(map.as_ptr() as usize, map.len(), &path);
        }
        Self { entry, _path: path }
    }
}

impl Drop for MappedRange {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            let mut free = free();
            TABLE[entry].set(0, 0, &[]);
            free.returned.push(entry);
        }
    }
}

/// From here on, a page of a file that cannot be read ends the process with a message that names file and byte. Once a
/// process is enough; more often is harmless.
pub fn explain_unreadable_pages() -> Result<(), Error> {
    static INSTALLED: OnceLock<Result<(), std::io::ErrorKind>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        // SAFETY: `explain` does only what a signal handler may: atomic loads, `write`, `abort`. The kernel fills in the
        // address for SIGBUS.
        let registered = unsafe {
            signal_hook_registry::register_sigaction(SIGBUS, |info| explain(info.si_addr() as usize))
        };
        registered.map(|_| ()).map_err(|error| error.kind())
    });
    (*installed).map_err(|kind| Error::io("handle SIGBUS for files below", Path::new("/"), kind.into()))
}

/// Ends the process. Called on the thread that read the page, in the signal handler.
fn explain(address: usize) -> ! {
    let found = TABLE.iter().find_map(|entry| entry.find(address));
    if let Some((path, path_len, at_byte)) = found {
        // SAFETY: `find` proved that this map holds the address. The read that faulted keeps the map, its `MappedRange`
        // is dropped no sooner, and the path is that one's.
        let path = unsafe { std::slice::from_raw_parts(path, path_len) };
        say(b"timberline: ");
        say(path);
        say(b" cannot be read at byte ");
        say_number(at_byte);
        say(b": the file was made shorter, or its disk fails; ");
        say(b"check the disk and who else writes to it, then repair this replica from a peer\n");
    } else {
        say(b"timberline: a page of memory cannot be read, and no mapped file holds it; check the machine's disks\n");
    }
    std::process::abort()
}

/// Nothing is to be done if it cannot be said.
fn say(text: &[u8]) {
    let _ = rustix::io::write(std::io::stderr().as_fd(), text);
}

fn say_number(mut number: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while number > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    say(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(address: usize) -> Option<(Vec<u8>, usize)> {
        let (path, len, at_byte) = TABLE.iter().find_map(|entry| entry.find(address))?;
        // SAFETY: the test holds the range.
        Some((unsafe { std::slice::from_raw_parts(path, len) }.to_vec(), at_byte))
    }

    #[test]
    fn an_address_is_found_while_its_range_is_held() {
        let map = vec![0_u8; 10_000];
        let start = map.as_ptr() as usize;
        let range = MappedRange::of(&map, Path::new("shards/7/vote"));
        for at_byte in [0, 9_999] {
            assert_eq!(found(start + at_byte), Some((b"shards/7/vote".to_vec(), at_byte)));
        }
        assert_eq!((found(start.wrapping_sub(1)), found(start + 10_000)), (None, None));
        drop(range);
        assert_eq!(found(start), None);
    }

    #[test]
    fn entries_are_used_again_and_a_full_table_leaves_maps_unnamed() {
        let map = [0_u8; 16];
        let hold = |count| (0..count).map(|_| MappedRange::of(&map, Path::new("a"))).collect::<Vec<_>>();
        drop(hold(1000));
        let used = free().used;
        let ranges = hold(1000);
        // Other tests map files meanwhile.
        assert!(free().used < used + 1000, "the thousand are used again");
        drop(ranges);
        let ranges = hold(MAPS_MAX + 10);
        assert!(ranges.iter().filter(|range| range.entry.is_none()).count() >= 10);
        drop(ranges);
        assert!(MappedRange::of(&map, Path::new("a")).entry.is_some());
    }
}
