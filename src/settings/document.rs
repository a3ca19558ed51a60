//! A TOML file as a flat list of settings with their places. Knows keys and kinds, not what they mean together.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::did_you_mean;
use super::value::check_host_port;
use super::{CATALOGUE, Kind, NodeAddress, Problem, Setting, Value};
use crate::types::NodeId;

/// A value that a file gives, with the bytes it stands at.
pub(super) struct Placed {
    pub setting: &'static Setting,
    pub value: Value,
    pub span: Range<usize>,
}

/// Reads every setting of `text`; what cannot be used is a problem, and reading goes on.
pub(super) fn read(name: &str, text: &str) -> (Vec<Placed>, Vec<Problem>) {
    let mut reader = Reader { name, text, placed: Vec::new(), problems: Vec::new() };
    match DeTable::parse(text) {
        Ok(root) => root.get_ref().iter().for_each(|(key, value)| reader.section(key, value)),
        Err(error) => {
            let what = format!("not valid TOML: {}", error.message());
            reader.problem(
                error.span().unwrap_or(0..0),
                what,
                "TOML: `[section]` lines and `key = value` lines",
            );
        }
    }
    // Tables come sorted by key; people read from the top.
    reader.problems.sort_by_key(Problem::position);
    (reader.placed, reader.problems)
}

/// Says that `key` is no setting, and which one may have been meant.
pub(super) fn unknown_key(key: &str) -> (String, String) {
    let what = format!("unknown setting `{key}`");
    let expected = match did_you_mean(key, CATALOGUE.iter().map(|setting| setting.key)) {
        Some(close) => format!("did you mean `{close}`?"),
        None => "`timberline config template` prints every setting".into(),
    };
    (what, expected)
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    placed: Vec<Placed>,
    problems: Vec<Problem>,
}

type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, what: String, expected: impl Into<String>) {
        self.problems.push(Problem::in_file(self.name, self.text, span, what).expecting(expected));
    }

    fn section(&mut self, section: &Key<'_>, value: &Spanned<DeValue<'_>>) {
        let name = section.get_ref();
        if !CATALOGUE.iter().any(|setting| setting.key.split('.').next() == Some(name)) {
            let sections = CATALOGUE.iter().filter_map(|setting| setting.key.split('.').next());
            let expected = match did_you_mean(name, sections) {
                Some(close) => format!("did you mean `[{close}]`?"),
                None => "`timberline config template` prints every section".into(),
            };
            return self.problem(section.span(), format!("unknown section `{name}`"), expected);
        }
        let Some(table) = value.get_ref().as_table() else {
            let expected = format!("a section `[{name}]` with one `key = value` a line");
            return self.problem(value.span(), format!("`{name}` is a section, not a value"), expected);
        };
        for (key, value) in table {
            let path = format!("{name}.{}", key.get_ref());
            if let Some(setting) = Setting::find(&path) {
                self.value(setting, value);
            } else {
                let (what, expected) = unknown_key(&path);
                self.problem(key.span(), what, expected);
            }
        }
    }

    fn value(&mut self, setting: &'static Setting, value: &Spanned<DeValue<'_>>) {
        let read = match (setting.kind, value.get_ref()) {
            (Kind::Nodes, DeValue::Array(nodes)) => {
                return self.nodes(setting, value.span(), nodes.iter().collect());
            }
            (Kind::Integer { .. }, DeValue::Integer(number)) => {
                decimal(number).and_then(|n| Value::from_text(setting.kind, &n))
            }
            (Kind::Switch, DeValue::Boolean(on)) => Ok(Value::Switch(*on)),
            (Kind::Duration { .. } | Kind::Size { .. }, DeValue::Integer(number)) => {
                Err(format!("{number} has no unit"))
            }
            (Kind::Integer { .. } | Kind::Switch | Kind::Nodes, other) => {
                Err(format!("it is a {}", other.type_str()))
            }
            (kind, DeValue::String(text)) => Value::from_text(kind, text),
            (_, other) => Err(format!("it is a {}", other.type_str())),
        };
        match read {
            Ok(value_read) => self.placed.push(Placed { setting, value: value_read, span: value.span() }),
            Err(reason) => {
                let expected = format!("`{}` takes {}", setting.key, setting.kind.expected());
                self.problem(value.span(), format!("`{}` cannot be used: {reason}", setting.key), expected);
            }
        }
    }

    fn nodes(&mut self, setting: &'static Setting, span: Range<usize>, items: Vec<&Spanned<DeValue<'_>>>) {
        let mut nodes = Vec::new();
        for item in items {
            match node(item) {
                Ok(node) => nodes.push(node),
                Err((span, reason)) => {
                    let expected = format!("`{}` takes {}", setting.key, setting.kind.expected());
                    return self.problem(
                        span,
                        format!("`{}` cannot be used: {reason}", setting.key),
                        expected,
                    );
                }
            }
        }
        self.placed.push(Placed { setting, value: Value::Nodes(nodes), span });
    }
}

fn decimal(number: &toml::de::DeInteger<'_>) -> Result<String, String> {
    u64::from_str_radix(number.as_str(), number.radix())
        .map(|n| n.to_string())
        .map_err(|_| format!("{number} is not a whole number of at least 0"))
}

fn node(item: &Spanned<DeValue<'_>>) -> Result<NodeAddress, (Range<usize>, String)> {
    let table = item.get_ref().as_table().ok_or_else(|| (item.span(), "a node is not a table".to_owned()))?;
    let mut id = None;
    let mut address = None;
    for (key, value) in table {
        let at = |reason: String| (value.span(), reason);
        match (&**key.get_ref(), value.get_ref()) {
            ("id", DeValue::Integer(number)) => {
                let number = decimal(number).map_err(at)?.parse().ok().filter(|n| *n > 0);
                id = Some(NodeId(number.ok_or_else(|| at("a node's id is at least 1".into()))?));
            }
            ("address", DeValue::String(text)) => address = Some(check_host_port(text).map_err(at)?),
            ("id" | "address", other) => return Err(at(format!("it is a {}", other.type_str()))),
            (other, _) => {
                return Err((key.span(), format!("a node has an id and an address, not {other:?}")));
            }
        }
    }
    match (id, address) {
        (Some(id), Some(address)) => Ok(NodeAddress { id, address }),
        _ => Err((item.span(), "a node needs an id and an address".into())),
    }
}
