//! The names of a log's files. Segments are numbered in order of creation, not by their first index: a
//! segment is prepared before anybody knows which frame will be its first; its head says that.

use std::path::{Path, PathBuf};

const SEGMENT_SUFFIX: &str = ".segment";
const INDEX_SUFFIX: &str = ".index";
/// Of an index whose writing was cut short (`Disk::write_unsynced`).
const NEW_INDEX_SUFFIX: &str = ".index.new";
/// Of a repaired segment that has not taken its place yet.
const REPAIRED_SUFFIX: &str = ".repaired";

/// The path of a segment.
pub fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}{SEGMENT_SUFFIX}"))
}

/// The path of a segment's index.
pub fn index(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}{INDEX_SUFFIX}"))
}

/// Where a segment is written anew before it takes its place.
pub(super) fn repaired(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}{REPAIRED_SUFFIX}"))
}

/// Whether the name is that of a repaired segment whose repair was cut short.
pub(super) fn is_repaired(name: &Path) -> bool {
    number_before(name, REPAIRED_SUFFIX).is_some()
}

/// The number of a segment, if the name is one.
pub fn segment_number(name: &Path) -> Option<u64> {
    number_before(name, SEGMENT_SUFFIX)
}

/// The number of the segment whose index it is, if the name is that of an index, whole or cut short.
pub fn index_number(name: &Path) -> Option<u64> {
    number_before(name, INDEX_SUFFIX).or_else(|| number_before(name, NEW_INDEX_SUFFIX))
}

fn number_before(name: &Path, suffix: &str) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(suffix)?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

/// The path of the vote.
pub fn vote(folder: &Path) -> PathBuf {
    folder.join("vote")
}
