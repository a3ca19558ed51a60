//! One segment file: its head, its joint to the segment before, its frames, its end, its index.

use timberline::disk::map_read_only;
use timberline::segment::{Error, HEAD_BYTES_MIN, Tail, check_joins};
use timberline::types::Index;

use super::Sums;
use super::frames::{Walked, walk};
use crate::finding::{Finding, Kind};
use crate::folder::{Part, SegmentFile, ShardFolder};

/// What was found in one file.
pub(super) struct Checked {
    pub(super) findings: Vec<Finding>,
    pub(super) sums: Sums,
    pub(super) tail: Option<Tail>,
    pub(super) start: Index,
}

/// Checks the segment at `place` in its folder.
pub(super) fn check(folder: &ShardFolder, place: usize, progress: &dyn Fn(u64)) -> Checked {
    let segment = &folder.segments[place];
    let mut findings = head(folder, segment);
    if !segment.is_in_log() {
        progress(segment.bytes.len() as u64);
        return Checked { findings, sums: Sums::default(), tail: None, start: Index(0) };
    }
    findings.extend(joint(folder, place));
    let until = match segment.part {
        Part::Sealed { next } => folder.segments[next].head().map(|head| Tail::from(&head.state)),
        _ => None,
    };
    let walked = walk(segment, until.as_ref(), progress);
    let is_whole = walked.findings.iter().all(|finding| !finding.is_damage()) && findings.is_empty();
    if is_whole && let Part::Sealed { next } = segment.part {
        findings.extend(state(segment, &folder.segments[next], &walked));
        findings.extend(until.and_then(|until| index(folder, segment, &until, &walked)));
    }
    findings.extend(walked.findings);
    Checked { findings, sums: walked.sums, tail: walked.tail, start: walked.start }
}

fn name(segment: &SegmentFile) -> String {
    segment.path.display().to_string()
}

/// The head: whole, this log's, of the size it says.
fn head(folder: &ShardFolder, segment: &SegmentFile) -> Vec<Finding> {
    let at_head = |kind, detail: String| Finding::new(kind, name(segment), 0, detail);
    let size_bytes = segment.bytes.len() as u64;
    let is_cut = size_bytes == 0 || !size_bytes.is_multiple_of(HEAD_BYTES_MIN);
    if is_cut && segment.head.is_err() {
        let detail = format!("{size_bytes} bytes: no segment is made with so many");
        return vec![at_head(Kind::WrongSize, detail)];
    }
    let (head, head_bytes) = match (&segment.head, segment.part) {
        (_, Part::Blank | Part::Retired) => return Vec::new(),
        (Err(reason), Part::Unfinished) => {
            let detail = format!("a head that was never finished, and no frame: {reason}");
            return vec![at_head(Kind::HeadUnfinished, detail).until(segment.bytes.len() as u64)];
        }
        (Err(reason), _) => {
            let detail = format!("the head cannot be proved: {reason}");
            return vec![at_head(Kind::HeadDamaged, detail)];
        }
        (Ok((head, head_bytes, _)), _) => (head, *head_bytes),
    };
    let mut findings = Vec::new();
    if let Err(error) = head.check_size(&segment.path, segment.bytes.len() as u64) {
        findings.push(at_head(Kind::WrongSize, error.to_string()));
    }
    if let Some(expected) = folder.identity()
        && let Err(error) = head.check_identity(&segment.path, expected)
    {
        findings.push(at_head(Kind::WrongIdentity, error.to_string()).until(head_bytes));
    }
    findings
}

/// Whether it goes on from the segment before it.
fn joint(folder: &ShardFolder, place: usize) -> Option<Finding> {
    let segment = &folder.segments[place];
    let before = folder.segments[..place].iter().rfind(|segment| segment.is_in_log())?;
    let (head, extent) = (segment.head()?, before.extent()?);
    match check_joins(&segment.path, before.number, &extent, head) {
        Err(Error::Gap { field, expected, found, .. }) => {
            let detail = format!(
                "it does not go on from segment {}: its {field} is {found}, {expected} was due; a segment is missing \
                 or in another's place",
                before.number
            );
            Some(Finding::new(Kind::SegmentGap, name(segment), 0, detail))
        }
        Err(error) => Some(Finding::new(Kind::SegmentGap, name(segment), 0, error.to_string())),
        Ok(()) => None,
    }
}

/// Whether the frames give the tables that the next head holds.
fn state(segment: &SegmentFile, next: &SegmentFile, walked: &Walked) -> Option<Finding> {
    let (state, next_head) = (walked.state.as_ref()?, next.head()?);
    let expected = &next_head.state;
    if (state.start, &state.dedup) == (expected.start, &expected.dedup) {
        return None;
    }
    let detail = format!(
        "its first index kept or its table of producers is not what the frames of segment {} give",
        segment.number
    );
    Some(Finding::new(Kind::EndMismatch, name(next), 0, detail))
}

/// Whether the index beside it is the one its frames give. A missing one is built when it is needed.
fn index(folder: &ShardFolder, segment: &SegmentFile, until: &Tail, walked: &Walked) -> Option<Finding> {
    let own = timberline::log::names::index(&folder.path, segment.number);
    let (_, path) = folder.indexes.iter().find(|(_, path)| *path == own)?;
    let file = path.display().to_string();
    let expected = walked.index.finish(&segment.extent()?.until(until));
    let found = match map_read_only(path) {
        Ok(found) => found,
        Err(error) => return Some(Finding::new(Kind::IndexWrong, file, 0, error.to_string())),
    };
    if found[..] == expected[..] {
        return None;
    }
    let differs = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    let at_byte = differs.unwrap_or_else(|| found.len().min(expected.len())) as u64;
    let detail = format!(
        "the index of segment {} is not the one its frames give ({} of {} bytes)",
        segment.number,
        found.len(),
        expected.len()
    );
    Some(Finding::new(Kind::IndexWrong, file, at_byte, detail).until(found.len() as u64))
}
