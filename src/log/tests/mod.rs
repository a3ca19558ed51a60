//! Laws of the log, driven over a `MemoryDisk`.

mod crash;
mod fixture;
mod reading;
mod repair;
mod trimming;
mod truncation;
mod writing;
