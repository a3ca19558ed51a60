//! What damage does to a log's files: every byte of them is flipped, and they are cut at every byte. Each time the log
//! must refuse by name, cut and say so, or serve exactly what was written. Never a wrong record.
//!
//! The logs hold every kind of frame that format version 1 has, on disks in memory, so that all of it takes seconds.

mod cuts;
mod flips;
mod index;
mod refusals;
#[path = "../format_v1/values.rs"]
mod values;
mod vote;
mod world;
