//! From a line to a record: where its key and its event time stand.

use bytes::Bytes;
use serde_json::Value;

use crate::cli::moment::event_time_ns;
use crate::types::Record;

/// How a record is made of a line.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Fields {
    pub key: KeyPlace,
    /// The key of records that have none.
    pub key_default: Option<String>,
    pub event_time: Option<FieldPath>,
}

/// Where the key stands.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) enum KeyPlace {
    /// Lines carry no key.
    #[default]
    Nowhere,
    Field(FieldPath),
    /// Before the first of these on the line.
    Before(String),
}

/// A dotted path into a JSON object: `tailnum`, `plane.id`, `legs.0.from`.
#[derive(Clone, Debug)]
pub(in crate::cli) struct FieldPath {
    text: String,
}

impl FieldPath {
    pub(in crate::cli) fn new(text: &str) -> Self {
        Self { text: text.strip_prefix('/').unwrap_or(text).replace('/', ".") }
    }

    fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        let step = |value: &'v Value, part: &str| match value {
            Value::Object(fields) => fields.get(part),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|n| items.get(n)),
            _ => None,
        };
        // A field whose very name has dots wins over a path.
        let found = step(value, &self.text).or_else(|| self.text.split('.').try_fold(value, step));
        found.filter(|value| !value.is_null())
    }
}

impl Fields {
    /// The record of one line, or what is wrong with it and what to do.
    pub(in crate::cli) fn record(&self, line: Vec<u8>) -> Result<Record, String> {
        let wants_json = matches!(self.key, KeyPlace::Field(_)) || self.event_time.is_some();
        let json = if wants_json { parse_json(&line)? } else { Value::Null };
        let event_time_ns = self.event_time.as_ref().map(|path| event_time(path, &json)).transpose()?;
        let (key, value) = match &self.key {
            KeyPlace::Nowhere => (None, Bytes::from(line)),
            KeyPlace::Field(path) => {
                (path.find(&json).map(|key| key_text(path, key)).transpose()?, line.into())
            }
            KeyPlace::Before(separator) => split(line, separator),
        };
        let key = key.or_else(|| self.key_default.clone().map(Bytes::from));
        if key.is_none() && !matches!(self.key, KeyPlace::Nowhere) {
            return Err("the record has no key; give it one, or --key-default".into());
        }
        Ok(Record { key, value: Some(value), headers: Vec::new(), event_time_ns })
    }
}

fn parse_json(line: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(line).map_err(|error| {
        format!("not JSON ({error}), which --key-field and --event-time-field need; mend the line, or leave it out")
    })
}

fn key_text(path: &FieldPath, key: &Value) -> Result<Bytes, String> {
    match key {
        Value::String(text) => Ok(Bytes::from(text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok(Bytes::from(key.to_string())),
        _ => Err(format!("the key `{}` is a list or an object; name a field inside it", path.text)),
    }
}

fn split(line: Vec<u8>, separator: &str) -> (Option<Bytes>, Bytes) {
    let line = Bytes::from(line);
    match line.windows(separator.len()).position(|window| window == separator.as_bytes()) {
        Some(at) => (Some(line.slice(..at)), line.slice(at + separator.len()..)),
        None => (None, line),
    }
}

const UNITS: [(&str, i64); 4] = [("_ns", 1), ("_us", 1_000), ("_ms", 1_000_000), ("_s", 1_000_000_000)];

fn event_time(path: &FieldPath, json: &Value) -> Result<i64, String> {
    let name = &path.text;
    let malformed = |found: &Value| {
        format!(
            "the event time `{name}` is {found}, not a time: write RFC 3339, or a whole number in a field whose \
             name ends in _ns, _us, _ms or _s"
        )
    };
    let found =
        path.find(json).ok_or_else(|| format!("the record has no event time `{name}`; give it one"))?;
    match found {
        Value::String(text) => event_time_ns(text).ok_or_else(|| malformed(found)),
        Value::Number(number) => {
            let unit = UNITS.iter().find(|(suffix, _)| name.ends_with(suffix));
            let ns = number.as_i64().zip(unit).and_then(|(amount, (_, factor))| amount.checked_mul(*factor));
            ns.ok_or_else(|| malformed(found))
        }
        _ => Err(malformed(found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(key: KeyPlace, key_default: Option<&str>, event_time: Option<&str>) -> Fields {
        Fields { key, key_default: key_default.map(Into::into), event_time: event_time.map(FieldPath::new) }
    }

    fn by_field(path: &str) -> Fields {
        fields(KeyPlace::Field(FieldPath::new(path)), None, None)
    }

    fn key(fields: &Fields, line: &str) -> Result<Option<String>, String> {
        let record = fields.record(line.into())?;
        Ok(record.key.map(|key| String::from_utf8(key.to_vec()).unwrap()))
    }

    #[test]
    fn a_key_is_found_by_name_by_path_and_by_pointer() {
        let line = r#"{"a":"x","b":{"c":[7,true]},"d.e":"dot"}"#;
        for (path, found) in [("a", "x"), ("b.c.0", "7"), ("/b/c/1", "true"), ("d.e", "dot")] {
            assert_eq!(key(&by_field(path), line).unwrap().as_deref(), Some(found), "{path}");
        }
    }

    #[test]
    fn a_record_without_a_key_takes_the_default_or_is_refused() {
        let with_default = fields(KeyPlace::Field(FieldPath::new("a")), Some("none"), None);
        for line in ["{}", r#"{"a":null}"#] {
            assert_eq!(key(&with_default, line).unwrap().as_deref(), Some("none"));
            assert!(key(&by_field("a"), line).unwrap_err().contains("--key-default"));
        }
        assert!(key(&by_field("a"), r#"{"a":{}}"#).unwrap_err().contains("inside it"));
    }

    #[test]
    fn a_separator_splits_at_its_first_occurrence() {
        let record = fields(KeyPlace::Before("::".into()), None, None).record(b"k::v::w".to_vec()).unwrap();
        assert_eq!((record.key.unwrap(), record.value.unwrap()), ("k".into(), "v::w".into()));
        assert!(fields(KeyPlace::Before("::".into()), None, None).record(b"kv".to_vec()).is_err());
    }

    #[test]
    fn an_event_time_is_rfc_3339_or_a_number_whose_unit_the_name_tells() {
        let time = |name: &str, line: &str| {
            fields(KeyPlace::Nowhere, None, Some(name)).record(line.into()).map(|record| record.event_time_ns)
        };
        assert_eq!(time("t", r#"{"t":"1970-01-01T00:00:01Z"}"#), Ok(Some(1_000_000_000)));
        assert_eq!(time("t_ms", r#"{"t_ms":-5}"#), Ok(Some(-5_000_000)));
        for (name, line) in
            [("t", r#"{"t":5}"#), ("t", "{}"), ("t", r#"{"t":"noon"}"#), ("t_s", r#"{"t_s":1e300}"#)]
        {
            assert!(time(name, line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_not_json_says_so_and_is_no_matter_where_nothing_reads_it() {
        assert!(key(&by_field("a"), "not json").unwrap_err().starts_with("not JSON"));
        assert_eq!(key(&Fields::default(), "not json"), Ok(None));
    }

    #[test]
    fn the_value_is_the_line_byte_for_byte() {
        let line = b"\xff {\"a\" : 1}\r".to_vec();
        assert_eq!(Fields::default().record(line.clone()).unwrap().value.unwrap(), line);
    }
}
