//! One sync of a whole file system in place of one for each of many files.
//!
//! A sync of one file ends with a flush of the device's cache, so that many files pay for many flushes; `syncfs(2)` writes
//! whatever the file system owes and flushes once. It answers for all files alike and tells each error once: where a file's
//! pages could not be written, an answer given later would be a lie for that file. So after the first failure, of whatever
//! file, it is never used again, and each file's own sync tells what became of it. It also writes what others owe: after a
//! slow one the next sets are synced file by file. Knows nothing of which files are asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// With fewer files their own syncs, side by side, are as fast (docs/BENCHMARKS.md).
pub(super) const FILES_MIN: usize = 16;
/// One that took longer met what others owe to the disk.
const SLOW: Duration = Duration::from_millis(100);
/// How many sets are then synced file by file.
const RESTS: u32 = 256;
/// ext4, which flushes the device at the end of every `syncfs`; of others that is not known.
const EXT4: u64 = 0xef53;
/// Since this version Linux tells `syncfs` of pages that could not be written.
const KERNEL_MIN: (u32, u32) = (5, 8);

/// The file system that holds a disk's root.
#[derive(Debug)]
pub(super) struct FileSystem {
    root: File,
    device: u64,
    sync: fn(&File) -> io::Result<()>,
    is_used: AtomicBool,
    /// How many syncs have begun.
    begun: AtomicU64,
    turn: Mutex<Turn>,
}

/// One sync at a time: who waits is mostly served by the one that begins next.
#[derive(Debug, Default)]
struct Turn {
    /// The number of the last sync that succeeded.
    succeeded: u64,
    /// Sets that are left to be synced file by file.
    rests: u32,
}

impl FileSystem {
    /// The file system of an open folder.
    pub(super) fn of(root: File) -> io::Result<Self> {
        let is_ext4 = rustix::fs::fstatfs(&root)?.f_type.cast_unsigned() == EXT4;
        let release = rustix::system::uname();
        let is_told = kernel_version(&release.release().to_string_lossy()).is_some_and(|it| it >= KERNEL_MIN);
        let file_system = Self::with(root, |root| Ok(rustix::fs::syncfs(root)?))?;
        file_system.is_used.store(is_ext4 && is_told, Ordering::Release);
        Ok(file_system)
    }

    fn with(root: File, sync: fn(&File) -> io::Result<()>) -> io::Result<Self> {
        let device = root.metadata()?.dev();
        let (is_used, begun, turn) = (AtomicBool::new(true), AtomicU64::new(0), Mutex::default());
        Ok(Self { root, device, sync, is_used, begun, turn })
    }

    /// Notes that a file was opened. One that a link or a mount put elsewhere would not be synced with the others.
    pub(super) fn note_opened(&self, device: u64) {
        if device != self.device {
            self.is_used.store(false, Ordering::Release);
        }
    }

    /// Notes whether a file's own sync, made after this one, said the same. If not, only those count from here on.
    pub(super) fn confirm(&self, is_synced: bool) -> bool {
        if !is_synced {
            self.is_used.store(false, Ordering::Release);
        }
        is_synced
    }

    /// Whether everything that was written before the call is now durable. If not, nothing is known, and each file is to
    /// be synced by itself.
    pub(super) fn sync(&self) -> bool {
        let before = self.begun.load(Ordering::Acquire);
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_used.load(Ordering::Acquire) {
            return false;
        }
        if turn.succeeded > before {
            return true;
        }
        if turn.rests > 0 {
            turn.rests -= 1;
            return false;
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let begun = Instant::now();
        let is_synced = (self.sync)(&self.root).is_ok();
        if is_synced {
            turn.succeeded = number;
        } else {
            self.is_used.store(false, Ordering::Release);
        }
        if begun.elapsed() > SLOW {
            turn.rests = RESTS;
        }
        is_synced
    }
}

/// Major and minor number of a release like `6.1.0-13-amd64`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn root() -> File {
        File::open(std::env::temp_dir()).unwrap()
    }

    #[test]
    fn after_one_failure_it_never_answers_for_a_file_again() {
        static HEALED: AtomicBool = AtomicBool::new(false);
        let fails_once = |_: &File| {
            if HEALED.swap(true, Ordering::AcqRel) {
                Ok(())
            } else {
                Err(io::Error::other("a page could not be written"))
            }
        };
        let file_system = FileSystem::with(root(), fails_once).unwrap();
        assert!(!file_system.sync());
        assert!(!file_system.sync(), "the kernel would tell no error a second time");
    }

    #[test]
    fn one_that_a_files_own_sync_contradicts_is_the_last() {
        let file_system = FileSystem::with(root(), |_| Ok(())).unwrap();
        assert!(file_system.sync() && file_system.confirm(true) && file_system.sync());
        assert!(!file_system.confirm(false));
        assert!(!file_system.sync());
    }

    #[test]
    fn a_file_of_another_file_system_ends_it() {
        let file_system = FileSystem::with(root(), |_| Ok(())).unwrap();
        file_system.note_opened(file_system.device);
        assert!(file_system.sync());
        file_system.note_opened(file_system.device + 1);
        assert!(!file_system.sync());
    }

    #[test]
    fn a_slow_one_is_followed_by_sets_synced_file_by_file_and_then_tried_again() {
        let file_system = FileSystem::with(root(), |_| Ok(())).unwrap();
        file_system.turn.lock().unwrap().rests = RESTS;
        assert!((0..RESTS).all(|_| !file_system.sync()));
        assert!(file_system.sync());
    }

    #[test]
    fn nobody_is_answered_by_a_sync_that_began_before_he_asked() {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let counted = |_: &File| {
            CALLS.fetch_add(1, Ordering::AcqRel);
            Ok(())
        };
        let file_system = FileSystem::with(root(), counted).unwrap();
        let together = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    together.wait();
                    for _ in 0..1000 {
                        let before = CALLS.load(Ordering::Acquire);
                        assert!(file_system.sync());
                        assert!(CALLS.load(Ordering::Acquire) > before, "one began since it was asked for");
                    }
                });
            }
        });
    }

    #[test]
    fn kernel_versions_are_read_from_their_first_two_numbers() {
        assert_eq!(kernel_version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(kernel_version("5.10"), Some((5, 10)));
        assert_eq!(kernel_version("mainline"), None);
    }
}
