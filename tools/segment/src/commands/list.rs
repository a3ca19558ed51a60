//! `ls`: the segments of each shard, and whether their headers hold. Bodies are left to `verify`.

use serde::Serialize;
use timberline::codec::FrameKind;
use timberline::types::Timestamp;

use super::arguments::Paths;
use crate::failure::Failure;
use crate::folder::{SegmentFile, ShardFolder, open_paths};
use crate::frames::end_of;
use crate::moment::{show, show_bytes, show_count};
use crate::output::{Format, Row, Sink};
use crate::scan::{Depth, Event};

const TITLES: [&str; 13] = [
    "shard", "replica", "segment", "state", "health", "frames", "offsets", "records", "marks", "used",
    "size", "first", "last",
];

#[derive(Serialize)]
struct SegmentRow {
    topic: Option<u64>,
    shard: Option<u64>,
    replica: Option<u64>,
    file: String,
    number: u64,
    state: &'static str,
    /// `ok`, or what is wrong first.
    health: String,
    first_index: Option<u64>,
    last_index: Option<u64>,
    first_offset: Option<u64>,
    /// One past the last record's.
    next_offset: Option<u64>,
    record_count: u64,
    order_mark_count: u64,
    first_timestamp_ns: Option<u64>,
    last_timestamp_ns: Option<u64>,
    used_bytes: u64,
    size_bytes: u64,
}

impl Row for SegmentRow {
    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let number = |number: Option<u64>| number.map_or_else(dash, |number| number.to_string());
        let range = |first: Option<u64>, last: Option<u64>| match (first, last) {
            (Some(first), Some(last)) if first <= last => format!("{first}..{last}"),
            _ => dash(),
        };
        let time = |ns: Option<u64>| ns.map_or_else(dash, |ns| show(Timestamp(ns)));
        vec![
            number(self.shard),
            number(self.replica),
            self.number.to_string(),
            self.state.to_owned(),
            self.health.clone(),
            range(self.first_index, self.last_index),
            range(self.first_offset, self.next_offset.and_then(|next| next.checked_sub(1))),
            show_count(self.record_count),
            show_count(self.order_mark_count),
            show_bytes(self.used_bytes),
            show_bytes(self.size_bytes),
            time(self.first_timestamp_ns),
            time(self.last_timestamp_ns),
        ]
    }
}

pub(super) fn list(asked: &Paths, format: Format) -> Result<(), Failure> {
    let mut sink = Sink::new(format, &TITLES);
    for folder in open_paths(&asked.paths)? {
        for (_, segment) in folder.asked() {
            sink.row(&row(&folder, segment))?;
        }
    }
    sink.finish()
}

fn row(folder: &ShardFolder, segment: &SegmentFile) -> SegmentRow {
    let identity = segment.head().map(|head| &head.identity).or(folder.identity());
    let mut row = SegmentRow {
        topic: identity.map(|identity| identity.topic.0),
        shard: identity.map(|identity| identity.shard.0),
        replica: identity.map(|identity| identity.replica.0),
        file: segment.path.display().to_string(),
        number: segment.number,
        state: segment.part_name(),
        health: "ok".to_owned(),
        first_index: None,
        last_index: None,
        first_offset: None,
        next_offset: None,
        record_count: 0,
        order_mark_count: 0,
        first_timestamp_ns: None,
        last_timestamp_ns: None,
        used_bytes: 0,
        size_bytes: segment.bytes.len() as u64,
    };
    if segment.is_in_log() {
        walk(folder, segment, &mut row);
    }
    row
}

fn walk(folder: &ShardFolder, segment: &SegmentFile, row: &mut SegmentRow) {
    let mut fault: Option<String> = segment.head.as_ref().err().map(|reason| format!("head: {reason}"));
    let mut note = |at_byte: u64, what: String| {
        fault.get_or_insert_with(|| format!("byte {at_byte}: {what}"));
    };
    let end = end_of(folder, segment);
    for event in segment.scan(Depth::Headers) {
        match event {
            Event::Frame(found) => {
                if let Err(reason) = &found.body {
                    note(found.at_byte, reason.to_string());
                }
                if let crate::scan::Joint::Ahead(fault) | crate::scan::Joint::Stale(fault) = &found.joint {
                    note(found.at_byte, fault.to_string());
                }
                let header = &found.header;
                if end.is_some_and(|end| header.index > end) {
                    note(found.at_byte, "a frame behind the segment's end".to_owned());
                    break;
                }
                row.first_index.get_or_insert(header.index.0);
                row.last_index = Some(header.index.0);
                row.first_offset.get_or_insert(header.first_offset.0);
                row.next_offset = Some(header.next_offset().0);
                row.record_count += u64::from(header.record_count);
                row.order_mark_count += u64::from(header.kind == FrameKind::OrderMark);
                if header.record_count > 0 {
                    row.first_timestamp_ns.get_or_insert(header.first_timestamp.0);
                    row.last_timestamp_ns = Some(header.last_timestamp().0);
                }
                row.used_bytes = found.end_byte;
            }
            Event::Lost { at_byte, reason, .. } => note(at_byte, reason.to_string()),
            Event::End { at_byte } => row.used_bytes = row.used_bytes.max(at_byte),
        }
    }
    if let Some(end) = end.filter(|end| row.last_index.is_some_and(|last| last < end.0)) {
        note(row.used_bytes, format!("it ends before frame {end}"));
    }
    if let Some(fault) = fault {
        row.health = fault;
    }
}
