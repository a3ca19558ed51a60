//! What concerns a shard's folder as a whole: its beginning, its vote, its name, files that do not belong.

use timberline::types::Index;

use super::segment::Checked;
use super::vote;
use crate::finding::{Finding, Kind};
use crate::folder::{Part, ShardFolder};

/// Checks the folder; `checked` are its segments, in order.
pub(super) fn check(folder: &ShardFolder, checked: &[Checked]) -> Vec<Finding> {
    if folder.only.is_some() {
        return Vec::new();
    }
    let last = checked.iter().filter_map(|checked| checked.tail).map(|tail| tail.index).max();
    let mut findings: Vec<Finding> = beginning(folder, checked).into_iter().collect();
    findings.extend(place(folder));
    findings.extend(vote::check(&folder.path, folder.vote.as_deref(), folder.identity(), last));
    for (number, path) in &folder.indexes {
        let is_whole = *path == timberline::log::names::index(&folder.path, *number);
        let of_sealed = folder
            .segments
            .iter()
            .any(|segment| segment.number == *number && matches!(segment.part, Part::Sealed { .. }));
        if !is_whole || !of_sealed {
            let detail = "it is the index of no sealed segment".to_owned();
            findings.push(Finding::new(Kind::IndexUseless, path.display().to_string(), 0, detail));
        }
    }
    for path in &folder.strangers {
        let detail = "no log has such a file".to_owned();
        findings.push(Finding::new(Kind::UnknownFile, path.display().to_string(), 0, detail));
    }
    findings
}

/// Whether the log begins where it may: at a segment that says so, or at one that trims left as the first.
fn beginning(folder: &ShardFolder, checked: &[Checked]) -> Option<Finding> {
    let path = folder.path.display().to_string();
    let Some(first) = folder.segments.iter().find(|segment| segment.is_in_log()) else {
        let detail = "the folder holds no segment of a log".to_owned();
        return Some(Finding::new(Kind::BeginningLost, path, 0, detail));
    };
    let head = first.head()?;
    let start = checked.iter().map(|checked| checked.start).max().unwrap_or(Index(1));
    if head.begins_log || head.first_index() <= start {
        return None;
    }
    let detail = format!(
        "the log begins at frame {}, but was trimmed only up to {start}: its oldest segments are missing",
        head.first_index()
    );
    Some(Finding::new(Kind::BeginningLost, path, 0, detail).of_frames(start, head.state.index))
}

/// Whether a folder named after a shard holds that shard.
fn place(folder: &ShardFolder) -> Option<Finding> {
    let is_named = folder.path.parent().is_some_and(|parent| parent.ends_with("shards"));
    let named: u64 = folder.path.file_name()?.to_str()?.parse().ok()?;
    let shard = folder.shard()?;
    if !is_named || named == shard.0 {
        return None;
    }
    let detail = format!("the folder is named after shard {named} and holds shard {shard}");
    Some(Finding::new(Kind::WrongIdentity, folder.path.display().to_string(), 0, detail))
}
