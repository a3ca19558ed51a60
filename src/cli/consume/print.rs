//! A record as a row of each format.

use std::io::{BufWriter, Stdout, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::moment::show;
use crate::cli::output::{Format, stream, to_json};
use crate::client::Consumed;
use crate::types::{Header, TopicName};

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

/// Writes records one after the other.
pub(super) struct Printer<'a> {
    topic: &'a TopicName,
    format: Format,
    out: BufWriter<Stdout>,
    printed: u64,
}

impl<'a> Printer<'a> {
    pub(super) fn new(topic: &'a TopicName, format: Format) -> Self {
        Self { topic, format, out: stream(), printed: 0 }
    }

    pub(super) fn printed(&self) -> u64 {
        self.printed
    }

    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
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
            Format::Ndjson => writeln!(self.out, "{}", json(self.topic, consumed))?,
            Format::Json => {
                let comma = if self.printed == 0 { "" } else { ",\n" };
                write!(self.out, "{comma}{}", json(self.topic, consumed))?;
            }
            Format::Raw => {
                self.out.write_all(record.value.as_deref().unwrap_or_default())?;
                self.out.write_all(b"\n")?;
            }
            Format::Table => {
                let text = |bytes: Option<&bytes::Bytes>| bytes.map_or("-".into(), |b| printable(b));
                let (key, value) = (text(record.key.as_ref()), text(record.value.as_ref()));
                let (time, shard, offset) = (show(consumed.timestamp), consumed.shard, consumed.offset);
                writeln!(self.out, "{time:30}  {shard:>5}  {offset:>8}  {key:16}  {value}")?;
            }
        }
        self.printed += 1;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    pub(super) fn end(&mut self) -> Result<(), Failure> {
        if self.format == Format::Json {
            let line_end = if self.printed == 0 { "" } else { "\n" };
            writeln!(self.out, "{line_end}]")?;
        }
        self.flush()
    }
}

fn json(topic: &TopicName, consumed: &Consumed) -> String {
    to_json(&RecordRow {
        topic: topic.as_str(),
        shard: consumed.shard.0,
        offset: consumed.offset.0,
        timestamp_ns: consumed.timestamp.0,
        key: key(consumed.record.key.as_ref()),
        value: value(consumed.record.value.as_ref()),
        event_time_ns: consumed.record.event_time_ns,
        headers: consumed.record.headers.iter().map(header).collect(),
    })
}

/// Text that cannot move the terminal's cursor.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Offset, Record, ShardId, Timestamp};

    fn shown(record: Record) -> String {
        let consumed = Consumed { shard: ShardId(3), offset: Offset(7), timestamp: Timestamp(9), record };
        json(&"t".parse().unwrap(), &consumed)
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

    #[test]
    fn a_table_never_prints_control_characters() {
        assert_eq!(printable(b"a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
