//! Files as the log needs them: preallocated, memory-mapped, written in place, synced as a set.
//!
//! The only folder with `memmap2`, and with `unsafe` and file IO but for what docs/ARCHITECTURE.md excepts. Knows
//! nothing of frames. Two twins fulfil the traits, `OsDisk` and `MemoryDisk`, and one conformance suite holds both to
//! them.
//!
//! Invariants: a file handed out by `create` is all zeros, fully allocated, and its directory entry is
//! durable; a write lands in the same pages that maps show; nothing is durable before a sync says so.

mod error;
mod file_system;
mod interface;
mod memory;
mod os;
mod unreadable;

#[cfg(test)]
mod conformance;

pub use error::Error;
pub use interface::{BootId, Disk, DiskFile, FolderLock};
pub use memory::{MemoryDisk, Misdeed, PendingSync, SECTOR_BYTES};
pub use os::{OsDisk, map_read_only};
pub use unreadable::explain_unreadable_pages;
