//! The in-memory twin of the operating system's disk: the same contract, and every way a disk can fail.
//!
//! Each file has a volatile image (the page cache) and a durable one (the platter), kept apart per 512-byte
//! sector. A killed process leaves the volatile image as it is; `power_cut` decides for each sector that no sync has
//! proved whether the old or the new bytes survive. Invariants: what a sync reported as done survives, unless damage
//! was planted; a sync covers what was written before it began; a failed sync leaves its pages clean and lost.

mod disk;
mod faults;
mod image;
mod sync;

pub use disk::MemoryDisk;
pub use image::SECTOR_BYTES;
pub use sync::{Misdeed, PendingSync};
