//! Laws of the log, driven over a `MemoryDisk`.

mod crash;
mod fixture;
mod histories;
mod reading;
mod repair;
mod synced_mark;
mod trimming;
mod truncation;
mod writing;
