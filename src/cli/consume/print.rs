//! A record, an order mark, or how far the read is closed, as a row of each format.

use std::io::Write;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::moment::show;
use crate::cli::output::{Format, to_json};
use crate::client::{Consumed, Marked};
use crate::types::{Header, Timestamp};

/// One record; the field names are a contract.
#[derive(Serialize)]
struct RecordRow<'a> {
    topic: &'a str,
    shard: u64,
    offset: u64,
    timestamp_ns: u64,
    #[serde(flatten)]
    key: Bytes<'a>,
    #[serde(flatten)]
    value: Value<'a>,
    event_time_ns: Option<i64>,
    headers: Vec<HeaderRow<'a>>,
}

/// UTF-8 as it is, anything else in base64 under another name; `null` if there is none.
#[derive(Serialize)]
enum Bytes<'a> {
    #[serde(rename = "key")]
    Text(Option<&'a str>),
    #[serde(rename = "key_base64")]
    Base64(String),
}

#[derive(Serialize)]
enum Value<'a> {
    #[serde(rename = "value")]
    Text(Option<&'a str>),
    #[serde(rename = "value_base64")]
    Base64(String),
}

#[derive(Serialize)]
struct HeaderRow<'a> {
    name: &'a str,
    #[serde(flatten)]
    value: Value<'a>,
}

/// One order mark, told apart from records by the name it stands under; the field names are a contract.
#[derive(Serialize)]
struct MarkLine<'a> {
    mark: MarkRow<'a>,
}

#[derive(Serialize)]
struct MarkRow<'a> {
    topic: &'a str,
    shard: u64,
    /// Its own place in the order: behind all records that it concerns.
    timestamp_ns: u64,
    node: u64,
    from_timestamp_ns: u64,
    until_timestamp_ns: u64,
    off_by_ns: u64,
    reason: &'static str,
}

/// How far the read is closed; the field names are a contract.
#[derive(Serialize)]
struct ClosedLine {
    closed: ClosedRow,
}

#[derive(Serialize)]
struct ClosedRow {
    /// No record stamped at or before this follows.
    timestamp_ns: u64,
}

fn key(bytes: Option<&bytes::Bytes>) -> Bytes<'_> {
    match bytes.map(|bytes| std::str::from_utf8(bytes)) {
        None => Bytes::Text(None),
        Some(Ok(text)) => Bytes::Text(Some(text)),
        Some(Err(_)) => Bytes::Base64(STANDARD.encode(bytes.expect("there are bytes"))),
    }
}

fn value(bytes: Option<&bytes::Bytes>) -> Value<'_> {
    match key(bytes) {
        Bytes::Text(text) => Value::Text(text),
        Bytes::Base64(text) => Value::Base64(text),
    }
}

fn header(header: &Header) -> HeaderRow<'_> {
    HeaderRow { name: &header.name, value: value(Some(&header.value)) }
}

/// Writes records one after the other, and what is no record where it stands among them.
pub(super) struct Printer<W> {
    /// Whether a table says of which topic each row is.
    names_topics: bool,
    format: Format,
    out: W,
    records: u64,
    /// With what is no record.
    rows: u64,
    pauses: Pauses,
}

/// How long the reader waited between two records.
#[derive(Default)]
struct Pauses {
    last: Option<Instant>,
    longest: Duration,
}

impl Pauses {
    fn record(&mut self, now: Instant) {
        let pause = self.last.replace(now).map(|last| now.duration_since(last));
        self.longest = self.longest.max(pause.unwrap_or_default());
    }
}

impl<W: Write> Printer<W> {
    pub(super) fn new(names_topics: bool, format: Format, out: W) -> Self {
        Self { names_topics, format, out, records: 0, rows: 0, pauses: Pauses::default() }
    }

    /// How many records were printed.
    pub(super) fn printed(&self) -> u64 {
        self.records
    }

    /// What was printed, and the longest pause between two records of it, in words.
    pub(super) fn summary(&self) -> String {
        let records = self.records;
        if records < 2 {
            return format!("{records} records");
        }
        format!("{records} records, the longest pause between two {:.3} s", self.pauses.longest.as_secs_f64())
    }

    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                self.print_topic("TOPIC")?;
                writeln!(self.out, "{:30}  {:>5}  {:>8}  {:16}  VALUE", "TIME", "SHARD", "OFFSET", "KEY")?;
            }
            Format::Json => writeln!(self.out, "[")?,
            Format::Ndjson | Format::Raw => {}
        }
        Ok(())
    }

    pub(super) fn print(&mut self, consumed: &Consumed) -> Result<(), Failure> {
        let record = &consumed.record;
        match self.format {
            Format::Ndjson | Format::Json => self.print_json(&json(consumed))?,
            Format::Raw => {
                self.out.write_all(record.value.as_deref().unwrap_or_default())?;
                self.out.write_all(b"\n")?;
            }
            Format::Table => {
                let text = |bytes: Option<&bytes::Bytes>| bytes.map_or("-".into(), |b| printable(b));
                let (key, value) = (text(record.key.as_ref()), text(record.value.as_ref()));
                self.print_topic(consumed.topic.as_str())?;
                let (time, shard, offset) = (show(consumed.timestamp), consumed.shard, consumed.offset);
                writeln!(self.out, "{time:30}  {shard:>5}  {offset:>8}  {key:16}  {value}")?;
            }
        }
        self.records += 1;
        self.rows += 1;
        self.pauses.record(Instant::now());
        Ok(())
    }

    /// Prints a mark; not among raw values, where nothing would tell it from them.
    pub(super) fn print_mark(&mut self, topic: &str, marked: &Marked, notice: &str) -> Result<(), Failure> {
        match self.format {
            Format::Ndjson | Format::Json => self.print_json(&mark_json(topic, marked))?,
            Format::Table => {
                self.print_topic(topic)?;
                let (time, shard) = (show(marked.timestamp), marked.shard);
                writeln!(self.out, "{time:30}  {shard:>5}  {:>8}  {:16}  {notice}", "-", "ORDER MARK")?;
            }
            Format::Raw => return Ok(()),
        }
        self.rows += 1;
        Ok(())
    }

    /// Prints how far the read is closed; not among raw values.
    pub(super) fn print_closed(&mut self, closed: Timestamp) -> Result<(), Failure> {
        match self.format {
            Format::Ndjson | Format::Json => {
                self.print_json(&to_json(&ClosedLine { closed: ClosedRow { timestamp_ns: closed.0 } }))?;
            }
            Format::Table => {
                self.print_topic("-")?;
                writeln!(self.out, "{:30}  {:>5}  {:>8}  {:16}", show(closed), "-", "-", "CLOSED")?;
            }
            Format::Raw => return Ok(()),
        }
        self.rows += 1;
        Ok(())
    }

    /// The column that tells several topics apart.
    fn print_topic(&mut self, topic: &str) -> Result<(), Failure> {
        if self.names_topics {
            write!(self.out, "{topic:16}  ")?;
        }
        Ok(())
    }

    fn print_json(&mut self, row: &str) -> Result<(), Failure> {
        match self.format {
            Format::Json if self.rows > 0 => write!(self.out, ",\n{row}")?,
            Format::Json => write!(self.out, "{row}")?,
            _ => writeln!(self.out, "{row}")?,
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    pub(super) fn end(&mut self) -> Result<(), Failure> {
        if self.format == Format::Json {
            let line_end = if self.rows == 0 { "" } else { "\n" };
            writeln!(self.out, "{line_end}]")?;
        }
        self.flush()
    }
}

fn json(consumed: &Consumed) -> String {
    to_json(&RecordRow {
        topic: consumed.topic.as_str(),
        shard: consumed.shard.0,
        offset: consumed.offset.0,
        timestamp_ns: consumed.timestamp.0,
        key: key(consumed.record.key.as_ref()),
        value: value(consumed.record.value.as_ref()),
        event_time_ns: consumed.record.event_time_ns,
        headers: consumed.record.headers.iter().map(header).collect(),
    })
}

fn mark_json(topic: &str, marked: &Marked) -> String {
    let Marked { shard, timestamp, mark } = marked;
    to_json(&MarkLine {
        mark: MarkRow {
            topic,
            shard: shard.0,
            timestamp_ns: timestamp.0,
            node: mark.node.0,
            from_timestamp_ns: mark.from.0,
            until_timestamp_ns: mark.until.0,
            off_by_ns: mark.off_by_ns,
            reason: mark.reason.as_str(),
        },
    })
}

/// Text that cannot move the terminal's cursor.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::{MarkReason, NodeId, Offset, OrderMark, Record, ShardId, Timestamp};

    fn consumed(offset: u64, timestamp: u64, record: Record) -> Consumed {
        let topic = Arc::new("t".parse().unwrap());
        let (offset, timestamp) = (Offset(offset), Timestamp(timestamp));
        Consumed { topic, shard: ShardId(3), offset, timestamp, record }
    }

    fn shown(record: Record) -> String {
        json(&consumed(7, 9, record))
    }

    #[test]
    fn a_record_has_the_fields_of_the_contract_in_order() {
        let record = Record {
            key: Some("k".into()),
            value: Some("v\"".into()),
            headers: vec![Header { name: "h".into(), value: "w".into() }],
            event_time_ns: Some(-1),
        };
        let expected = r#"{"topic":"t","shard":3,"offset":7,"timestamp_ns":9,"key":"k","value":"v\"","event_time_ns":-1,"headers":[{"name":"h","value":"w"}]}"#;
        assert_eq!(shown(record), expected);
    }

    #[test]
    fn bytes_that_are_not_utf8_go_out_in_base64_and_none_as_null() {
        let record = Record { key: None, value: Some(vec![0xff].into()), ..Record::default() };
        assert!(
            shown(record).contains(r#""key":null,"value_base64":"/w==","event_time_ns":null,"headers":[]"#)
        );
    }

    /// What is printed of a record, a mark, a record and a closed timestamp.
    fn printed(format: Format) -> String {
        let mut out = Vec::new();
        let (from, until) = (Timestamp(4), Timestamp(6));
        let mark = OrderMark { node: NodeId(2), from, until, off_by_ns: 5, reason: MarkReason::Outvoted };
        let marked = Marked { shard: ShardId(3), timestamp: Timestamp(10), mark };
        let mut printer = Printer::new(format == Format::Table, format, &mut out);
        let record = Record { value: Some("v".into()), ..Record::default() };
        printer.begin().unwrap();
        printer.print(&consumed(5, 5, record.clone())).unwrap();
        printer.print_mark("t", &marked, "a notice").unwrap();
        printer.print(&consumed(11, 11, record)).unwrap();
        printer.print_closed(Timestamp(12)).unwrap();
        printer.end().unwrap();
        assert_eq!(printer.printed(), 2, "marks and closed timestamps are no records");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_no_record_stands_in_its_place_in_every_format_but_raw_and_no_reader_takes_it_for_one() {
        let ndjson = printed(Format::Ndjson);
        let lines: Vec<&str> = ndjson.lines().collect();
        let expected = r#"{"mark":{"topic":"t","shard":3,"timestamp_ns":10,"node":2,"from_timestamp_ns":4,"until_timestamp_ns":6,"off_by_ns":5,"reason":"outvoted"}}"#;
        assert_eq!((lines.len(), lines[1]), (4, expected));
        assert_eq!(lines[3], r#"{"closed":{"timestamp_ns":12}}"#);
        let list: Vec<serde_json::Value> = serde_json::from_str(&printed(Format::Json)).unwrap();
        let is_record: Vec<bool> = list.iter().map(|row| row.get("offset").is_some()).collect();
        assert_eq!(is_record, [true, false, true, false]);
        let table = printed(Format::Table);
        assert!(table.lines().nth(2).unwrap().contains("ORDER MARK        a notice"), "{table}");
        assert!(table.lines().nth(1).unwrap().starts_with("t   "), "{table}");
        assert!(table.lines().nth(4).unwrap().contains("CLOSED"), "{table}");
        assert_eq!(printed(Format::Raw), "v\nv\n");
    }

    #[test]
    fn the_longest_pause_lies_between_two_records_and_not_before_the_first() {
        let began = Instant::now();
        let mut pauses = Pauses::default();
        for ms in [700, 800, 1400, 1500] {
            pauses.record(began + Duration::from_millis(ms));
        }
        assert_eq!(pauses.longest, Duration::from_millis(600));
    }

    #[test]
    fn a_table_never_prints_control_characters() {
        assert_eq!(printable(b"a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
