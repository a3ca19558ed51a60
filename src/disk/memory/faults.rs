//! How a disk fails: power, rot, failing syncs, damage that a sync hid.

use std::io::Error as IoError;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::MemoryDisk;
use crate::disk::Error;

/// What keeps a disk running. With a budget it fails after so many operations, in the midst of whatever its owner does.
#[derive(Debug, Default)]
pub(super) struct Power {
    operations_left: Mutex<Option<u64>>,
    fails_next_sync: AtomicBool,
}

impl Power {
    fn left(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        self.operations_left.lock().expect("no panic while the power is held")
    }

    /// Whether this sync is the one that fails.
    pub(super) fn fails_sync(&self) -> bool {
        self.fails_next_sync.swap(false, Ordering::AcqRel)
    }

    /// Pays for one operation that changes something.
    pub(super) fn spend(&self, operation: &'static str, path: &Path) -> Result<(), Error> {
        match &mut *self.left() {
            None => Ok(()),
            Some(0) => Err(Error::io(operation, path, IoError::other("the power is off"))),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
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
    /// Loses power: of each sector not synced, the old or the new bytes survive, as `seed` has it; a name that was
    /// not synced vanishes, or names an empty file. Files opened before must not be used afterwards.
    pub fn power_cut(&self, seed: u64) {
        let mut state = seed;
        self.cut(&mut || coin(&mut state));
    }

    /// Loses power and every byte that was not synced.
    pub fn lose_unsynced(&self) {
        self.cut(&mut || true);
    }

    fn cut(&self, lost: &mut dyn FnMut() -> bool) {
        self.files().retain(|_, content| {
            if content.is_entry_durable() {
                content.image().cut(&mut *lost);
                return true;
            }
            content.set_entry_durable();
            *content.image() = super::image::Image::default();
            !lost()
        });
        *self.power.left() = None;
        self.boots.fetch_add(1, Ordering::AcqRel);
        self.unlock();
    }

    /// The power fails after so many more operations: what comes then is refused until `power_cut`. `None`: it holds.
    pub fn fail_power_after(&self, operations: Option<u64>) {
        *self.power.left() = operations;
    }

    /// Whether the power has failed: the owner's last operations did not happen.
    pub fn is_power_off(&self) -> bool {
        *self.power.left() == Some(0)
    }

    /// Inverts the bits of `mask` in one durable byte, as rot does.
    pub fn flip(&self, path: &Path, at_byte: u64, mask: u8) -> Result<(), Error> {
        let content = self.content("flip a byte of", path)?;
        content.image().flip(at_byte, mask);
        Ok(())
    }

    /// From now on, syncs of this file fail, or no longer do.
    pub fn fail_syncs(&self, path: &Path, fails: bool) -> Result<(), Error> {
        self.content("fail syncs of", path)?.set_fails_syncs(fails);
        Ok(())
    }

    /// The next sync that its caller waits for fails, or no longer does.
    pub fn fail_next_sync(&self, fails: bool) {
        self.power.fails_next_sync.store(fails, Ordering::Release);
    }

    /// Whether any sync reported what did not happen, and no later one made it true.
    pub fn is_damaged(&self) -> bool {
        self.files().values().any(|content| content.image().is_damaged())
    }

    /// What syncs reported happened after all.
    pub fn heal(&self) {
        self.files().values().for_each(|content| content.image().heal());
    }

    /// Every file and its size.
    pub fn sizes(&self) -> Vec<(PathBuf, u64)> {
        let files = self.files();
        files.iter().map(|(path, content)| (path.clone(), content.image().bytes.len() as u64)).collect()
    }
}
