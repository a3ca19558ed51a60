//! `dump`: frames and records as far as they make sense, and where they do not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use timberline::types::{Header, Record, Timestamp};

use super::arguments::Dump;
use crate::failure::Failure;
use crate::folder::{SegmentFile, ShardFolder, open_paths};
use crate::frames::{mark, records};
use crate::moment::{show, show_bytes, show_ns};
use crate::output::{Format, Row, Sink};
use crate::scan::{Depth, Event, Found, Joint};

const TITLES: [&str; 11] = [
    "shard",
    "segment",
    "at byte",
    "what",
    "index",
    "term",
    "offset",
    "timestamp",
    "records",
    "body",
    "detail",
];

/// One line of a dump. The names of a record's fields are those of `timberline consume`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Frame(FrameLine),
    Record(RecordLine),
    /// No frame where one is due.
    Lost {
        shard: Option<u64>,
        file: String,
        number: u64,
        at_byte: u64,
        until_byte: u64,
        is_found: bool,
        reason: String,
    },
    /// Only zeros follow, or nothing.
    End {
        shard: Option<u64>,
        file: String,
        number: u64,
        at_byte: u64,
    },
}

#[derive(Serialize)]
struct FrameLine {
    shard: Option<u64>,
    file: String,
    number: u64,
    at_byte: u64,
    kind: &'static str,
    index: u64,
    term: u64,
    first_offset: u64,
    record_count: u32,
    first_timestamp_ns: u64,
    first_timestamp: String,
    uncertainty_ns: u64,
    committed: u64,
    producer: u64,
    epoch: u32,
    sequence: u64,
    compression: &'static str,
    body_bytes: u32,
    header_crc: String,
    chain: String,
    /// What an order mark says.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
}

#[derive(Serialize)]
struct RecordLine {
    shard: Option<u64>,
    offset: u64,
    timestamp_ns: u64,
    timestamp: String,
    #[serde(flatten)]
    key: Field,
    #[serde(flatten)]
    value: Field,
    event_time_ns: Option<i64>,
    headers: Vec<HeaderLine>,
}

#[derive(Serialize)]
struct HeaderLine {
    name: String,
    #[serde(flatten)]
    value: Field,
}

/// A key or value: text where it is UTF-8, else base64 under another name.
struct Field {
    name: &'static str,
    base64_name: &'static str,
    bytes: Option<Bytes>,
}

impl Serialize for Field {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(1))?;
        match self.bytes.as_ref().map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => map.serialize_entry(self.name, &None::<&str>)?,
            Some((_, Ok(text))) => map.serialize_entry(self.name, text)?,
            Some((bytes, Err(_))) => map.serialize_entry(self.base64_name, &STANDARD.encode(bytes))?,
        }
        map.end()
    }
}

impl Field {
    fn cell(&self) -> String {
        match &self.bytes {
            None => "-".to_owned(),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text.escape_debug().to_string(),
                Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
            },
        }
    }
}

impl Row for Line {
    fn cells(&self) -> Vec<String> {
        let shard = |shard: &Option<u64>| shard.map_or_else(|| "?".to_owned(), |shard| shard.to_string());
        let bare = |of, number: &u64, at_byte: &u64, what: &str, detail: String| {
            let mut cells = vec![shard(of), number.to_string(), at_byte.to_string(), what.to_owned()];
            cells.resize(TITLES.len() - 1, String::new());
            cells.push(detail);
            cells
        };
        match self {
            Self::Frame(line) => {
                let mut detail = vec![format!("uncertainty {}", show_ns(line.uncertainty_ns))];
                if line.producer != 0 {
                    detail.push(format!("producer {}/{}/{}", line.producer, line.epoch, line.sequence));
                }
                detail.extend(line.mark.clone());
                detail.extend(line.faults.iter().map(|fault| format!("DAMAGED: {fault}")));
                vec![
                    shard(&line.shard),
                    line.number.to_string(),
                    line.at_byte.to_string(),
                    line.kind.to_owned(),
                    line.index.to_string(),
                    line.term.to_string(),
                    line.first_offset.to_string(),
                    line.first_timestamp.clone(),
                    line.record_count.to_string(),
                    format!("{} {}", show_bytes(line.body_bytes.into()), line.compression),
                    detail.join(", "),
                ]
            }
            Self::Record(line) => {
                let mut cells = vec![shard(&line.shard), String::new(), String::new(), "record".to_owned()];
                cells.extend([String::new(), String::new(), line.offset.to_string(), line.timestamp.clone()]);
                cells.extend([String::new(), String::new()]);
                cells.push(format!("{} = {}", line.key.cell(), line.value.cell()));
                cells
            }
            Self::Lost { shard, number, at_byte, until_byte, is_found, reason, .. } => {
                let found = if *is_found { "found again at byte" } else { "not found again up to byte" };
                bare(shard, number, at_byte, "LOST", format!("{reason}; {found} {until_byte}"))
            }
            Self::End { shard, number, at_byte, .. } => bare(shard, number, at_byte, "end", String::new()),
        }
    }
}

pub(super) fn dump(asked: &Dump, format: Format) -> Result<(), Failure> {
    let mut sink = Sink::new(format, &TITLES);
    let mut left = asked.max.unwrap_or(u64::MAX);
    for folder in open_paths(&asked.paths.paths)? {
        if asked.shard.is_some_and(|shard| folder.shard().is_none_or(|found| found.0 != shard)) {
            continue;
        }
        for segment in folder.log_segments() {
            one(asked, &folder, segment, &mut left, &mut sink)?;
        }
    }
    sink.finish()
}

fn one(
    asked: &Dump,
    folder: &ShardFolder,
    segment: &SegmentFile,
    left: &mut u64,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let (shard, number) = (folder.shard().map(|shard| shard.0), segment.number);
    let file = || segment.path.display().to_string();
    let is_whole = asked.offsets.is_none() && asked.from.is_none() && asked.until.is_none();
    for event in segment.scan(Depth::Bodies) {
        match event {
            Event::Frame(_) if *left == 0 => return Ok(()),
            Event::Frame(found) if is_asked(asked, &found) => {
                *left -= 1;
                frame(asked, shard, segment, &found, sink)?;
            }
            Event::Lost { at_byte, reason, until_byte, is_found } => {
                let (file, reason) = (file(), reason.to_string());
                sink.row(&Line::Lost { shard, file, number, at_byte, until_byte, is_found, reason })?;
            }
            Event::End { at_byte } if is_whole => {
                sink.row(&Line::End { shard, file: file(), number, at_byte })?;
            }
            Event::Frame(_) | Event::End { .. } => {}
        }
    }
    Ok(())
}

fn is_asked(asked: &Dump, found: &Found) -> bool {
    let header = &found.header;
    let (first, next) = (header.first_offset.0, header.next_offset().0);
    asked.offsets.is_none_or(|range| first <= range.last && next > range.first)
        && asked.from.is_none_or(|from| header.last_timestamp() >= from.0)
        && asked.until.is_none_or(|until| header.first_timestamp < until.0)
}

fn frame(
    asked: &Dump,
    shard: Option<u64>,
    segment: &SegmentFile,
    found: &Found,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let header = &found.header;
    let mut faults = Vec::new();
    if let Joint::Ahead(fault) | Joint::Stale(fault) = &found.joint {
        faults.push(fault.to_string());
    }
    faults.extend(found.body.as_ref().err().map(ToString::to_string));
    let mark = mark(segment, found).map(|mark| mark.to_string());
    let is_read = asked.records && found.body.is_ok();
    let decoded = if is_read { records(segment, found) } else { Ok(Vec::new()) };
    faults.extend(decoded.as_ref().err().map(ToString::to_string));
    sink.row(&Line::Frame(FrameLine {
        shard,
        file: segment.path.display().to_string(),
        number: segment.number,
        at_byte: found.at_byte,
        kind: crate::naming::kind(header.kind),
        index: header.index.0,
        term: header.term.0,
        first_offset: header.first_offset.0,
        record_count: header.record_count,
        first_timestamp_ns: header.first_timestamp.0,
        first_timestamp: show(header.first_timestamp),
        uncertainty_ns: header.uncertainty_ns,
        committed: header.committed.0,
        producer: header.batch.producer.0,
        epoch: header.batch.epoch,
        sequence: header.batch.sequence,
        compression: header.compression.name(),
        body_bytes: header.body_len,
        header_crc: format!("{:#010x}", found.header_crc),
        chain: format!("{:#010x}", header.chain),
        mark,
        faults,
    }))?;
    for (place, record) in decoded.unwrap_or_default().into_iter().enumerate() {
        let place = place as u64;
        let (offset, at) = (header.first_offset.0 + place, header.first_timestamp.plus_ns(place));
        let is_asked = asked.offsets.is_none_or(|range| (range.first..=range.last).contains(&offset))
            && asked.from.is_none_or(|from| at >= from.0)
            && asked.until.is_none_or(|until| at < until.0);
        if is_asked {
            sink.row(&Line::Record(record_line(shard, offset, at, record)))?;
        }
    }
    Ok(())
}

fn record_line(shard: Option<u64>, offset: u64, at: Timestamp, record: Record) -> RecordLine {
    let value = |bytes| Field { name: "value", base64_name: "value_base64", bytes };
    let header = |header: Header| HeaderLine { name: header.name, value: value(Some(header.value)) };
    RecordLine {
        shard,
        offset,
        timestamp_ns: at.0,
        timestamp: show(at),
        key: Field { name: "key", base64_name: "key_base64", bytes: record.key },
        value: value(record.value),
        event_time_ns: record.event_time_ns,
        headers: record.headers.into_iter().map(header).collect(),
    }
}
