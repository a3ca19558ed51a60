//! `verify-order`: whether the files of one or several nodes tell one history, and hold what receipts say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::arguments::Order;
use crate::failure::Failure;
use crate::folder::{ShardFolder, open_paths};
use crate::history::{Receipt, Receipts, ShardSums, Violation, check_shard};
use crate::marks::{MarkRow, Marks};
use crate::moment::{show, show_count, show_ns};
use crate::output::{Format, Row, Sink, say};

const TITLES: [&str; 9] =
    ["shard", "replicas", "verdict", "frames", "records", "receipts", "marked", "first to last", "detail"];
/// A row lists so many order marks, and the summary so many in all.
const ROW_MARKS_MAX: usize = 100;
const TOLD_MARKS_MAX: usize = 10;

#[derive(Serialize)]
struct Line {
    topic: u64,
    shard: u64,
    replicas: usize,
    is_ordered: bool,
    frame_count: u64,
    record_count: u64,
    receipts_matched: u64,
    /// Of batches that every replica has trimmed.
    receipts_trimmed: u64,
    terms: Option<(u64, u64)>,
    first_timestamp_ns: Option<u64>,
    last_timestamp_ns: Option<u64>,
    uncertainty_ns_max: u64,
    mark_count: u64,
    /// Records in the ranges of order marks: their order against other shards is not guaranteed.
    marked_record_count: u64,
    /// Receipts of batches with such records.
    receipts_marked: u64,
    /// The first of the marks.
    marks: Vec<MarkRow>,
    violation: Option<Violation>,
}

impl Row for Line {
    fn cells(&self) -> Vec<String> {
        let time =
            |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| show(timberline::types::Timestamp(ns)));
        let detail = match (&self.violation, self.terms) {
            (Some(violation), _) => violation.to_string(),
            (None, Some((first, last))) => {
                format!("terms {first} to {last}, uncertainty at most {}", show_ns(self.uncertainty_ns_max))
            }
            (None, None) => "no frames".to_owned(),
        };
        vec![
            self.shard.to_string(),
            self.replicas.to_string(),
            if self.is_ordered { "ordered" } else { "VIOLATED" }.to_owned(),
            show_count(self.frame_count),
            show_count(self.record_count),
            show_count(self.receipts_matched),
            if self.mark_count > 0 { show_count(self.marked_record_count) } else { "-".to_owned() },
            format!("{} to {}", time(self.first_timestamp_ns), time(self.last_timestamp_ns)),
            detail,
        ]
    }
}

pub(super) fn order(asked: &Order, format: Format) -> Result<(), Failure> {
    let folders = open_paths(&asked.paths.paths)?;
    let mut receipts = read_receipts(&asked.receipts)?;
    let mut shards: BTreeMap<(String, u64, u64), Vec<&ShardFolder>> = BTreeMap::new();
    for folder in &folders {
        let identity = folder.identity().ok_or_else(|| {
            Failure::Damaged(format!(
                "{}: no head tells which shard this is; `timberline-segment verify` names the damage",
                folder.path.display()
            ))
        })?;
        let key = (identity.cluster.to_string(), identity.topic.0, identity.shard.0);
        shards.entry(key).or_default().push(folder);
    }
    let mut sink = Sink::new(format, &TITLES);
    let mut lines = Vec::new();
    for ((_, topic, shard), replicas) in &shards {
        let of_shard = receipts.take(*shard);
        let (sums, marks, violation) = check_shard(replicas, of_shard);
        let line = line((*topic, *shard), replicas.len(), &sums, &marks, violation);
        sink.row(&line)?;
        lines.push(line);
    }
    sink.finish()?;
    tell_marks(&lines);
    conclude(&lines, &receipts)
}

fn line(
    (topic, shard): (u64, u64),
    replicas: usize,
    sums: &ShardSums,
    marks: &Marks,
    violation: Option<Violation>,
) -> Line {
    Line {
        topic,
        shard,
        replicas,
        is_ordered: violation.is_none(),
        frame_count: sums.frames,
        record_count: sums.records,
        receipts_matched: sums.receipts_matched,
        receipts_trimmed: sums.receipts_trimmed,
        terms: sums.terms.map(|(first, last)| (first.0, last.0)),
        first_timestamp_ns: sums.first_timestamp.map(|at| at.0),
        last_timestamp_ns: sums.last_timestamp.map(|at| at.0),
        uncertainty_ns_max: sums.uncertainty_ns_max,
        mark_count: marks.count(),
        marked_record_count: sums.marked_records,
        receipts_marked: sums.receipts_marked,
        marks: marks.rows().take(ROW_MARKS_MAX).collect(),
        violation,
    }
}

/// Says which stretches of time are marked. They are no violation: within each shard the order holds.
fn tell_marks(lines: &[Line]) {
    let sum = |of: fn(&Line) -> u64| lines.iter().map(of).sum::<u64>();
    let all = sum(|line| line.mark_count);
    if all == 0 {
        return;
    }
    say(&format!(
        "{} order marks: a clock was wrong, and the order of {} records against other shards is not guaranteed ({} receipts \
         are of such); within each shard it is",
        show_count(all),
        show_count(sum(|line| line.marked_record_count)),
        show_count(sum(|line| line.receipts_marked)),
    ));
    let rows = lines.iter().flat_map(|line| line.marks.iter().map(|mark| (line.shard, mark)));
    for (shard, mark) in rows.take(TOLD_MARKS_MAX) {
        say(&format!("  shard {shard}, {mark}"));
    }
    let more = all.saturating_sub(TOLD_MARKS_MAX as u64);
    if more > 0 {
        say(&format!("  and {} more", show_count(more)));
    }
}

fn conclude(lines: &[Line], receipts: &Receipts) -> Result<(), Failure> {
    if let Some((line, violation)) = lines.iter().find_map(|line| Some((line, line.violation.as_ref()?))) {
        return Err(Failure::Damaged(format!("shard {}: {violation}", line.shard)));
    }
    if let Some(shard) = receipts.first_shard() {
        return Err(Failure::Damaged(format!(
            "receipts name shard {shard}, of which there are no files: give the files of all shards of the topic"
        )));
    }
    let sum = |of: fn(&Line) -> u64| show_count(lines.iter().map(of).sum());
    say(&format!(
        "{} shards in order: {} records; {} receipts match ({} of them trimmed since, {} failed batches passed over)",
        show_count(lines.len() as u64),
        sum(|line| line.record_count),
        sum(|line| line.receipts_matched + line.receipts_trimmed),
        sum(|line| line.receipts_trimmed),
        show_count(receipts.failed),
    ));
    Ok(())
}

/// A line of `timberline produce --receipts`.
#[derive(Deserialize)]
struct ReceiptLine {
    shard: Option<u64>,
    first_offset: Option<u64>,
    first_timestamp_ns: Option<u64>,
    record_count: Option<u32>,
    uncertainty_ns: Option<u64>,
    term: Option<u64>,
    header_crc: Option<u32>,
    error: Option<String>,
}

fn read_receipts(paths: &[PathBuf]) -> Result<Receipts, Failure> {
    let mut receipts = Receipts::default();
    for path in paths {
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Failure::Absent { path: path.clone() },
            _ => timberline::disk::Error::io("open", path, e).into(),
        })?;
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|e| timberline::disk::Error::io("read", path, e))?;
            if !line.trim().is_empty() {
                add_receipt(&mut receipts, path, number + 1, &line)?;
            }
        }
    }
    Ok(receipts)
}

fn add_receipt(receipts: &mut Receipts, path: &Path, number: usize, line: &str) -> Result<(), Failure> {
    let malformed = |reason: String| {
        Failure::Usage(format!(
            "{}, line {number}: {reason}; give the output of `timberline produce --receipts -o ndjson`",
            path.display()
        ))
    };
    let line: ReceiptLine = serde_json::from_str(line).map_err(|e| malformed(e.to_string()))?;
    if line.error.is_some() {
        receipts.failed += 1;
        return Ok(());
    }
    let missing = |field: &str| malformed(format!("it has no {field}"));
    let shard = line.shard.ok_or_else(|| missing("shard"))?;
    let receipt = Receipt {
        source: format!("{}, line {number}", path.display()),
        first_offset: line.first_offset.ok_or_else(|| missing("first_offset"))?,
        first_timestamp_ns: line.first_timestamp_ns.ok_or_else(|| missing("first_timestamp_ns"))?,
        record_count: line.record_count.ok_or_else(|| missing("record_count"))?,
        uncertainty_ns: line.uncertainty_ns,
        term: line.term.ok_or_else(|| missing("term"))?,
        header_crc: line.header_crc,
    };
    receipts.add(shard, receipt);
    Ok(())
}
