//! The names of a log's files. Segments are numbered in order of creation, not by their first index: a
//! segment is prepared before anybody knows which frame will be its first; its head says that.

use std::path::{Path, PathBuf};

const SEGMENT_SUFFIX: &str = ".segment";

/// The path of a segment.
pub(super) fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}{SEGMENT_SUFFIX}"))
}

/// The number of a segment, if the name is one.
pub(super) fn segment_number(name: &Path) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(SEGMENT_SUFFIX)?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

/// The path of the vote.
pub(super) fn vote(folder: &Path) -> PathBuf {
    folder.join("vote")
}
