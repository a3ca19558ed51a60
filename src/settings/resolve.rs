//! Which source a value comes from: flag, else environment, else file, else default.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::document::{read, unknown_key};
use super::options::{Clash, Lookup, build};
use super::{CATALOGUE, Problem, Problems, Setting, Settings, Value};

/// A configuration file, read.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Its path as the user wrote it, for messages.
    pub name: String,
    pub text: String,
}

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub file: Option<ConfigFile>,
    /// The process's environment: `TIMBERLINE_CLOCK_EPS_MAX` sets `clock.eps_max`.
    pub environment: Vec<(String, String)>,
    /// `--set` flags: `clock.eps_max=10ms`.
    pub overrides: Vec<String>,
}

/// What gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// `file:line:column`.
    File(String),
    Environment(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// One setting as resolved.
#[derive(Clone, Debug)]
pub struct Entry {
    pub setting: &'static Setting,
    pub value: Value,
    pub origin: Origin,
    span: Option<Range<usize>>,
}

/// A whole configuration: typed, and entry by entry in the catalogue's order.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub settings: Settings,
    pub entries: Vec<Entry>,
}

/// Variables that begin with `TIMBERLINE_` and belong to the command line, not to a node's settings.
const CLIENT_VARIABLES: [&str; 2] = ["TIMBERLINE_ENDPOINT", "TIMBERLINE_CERTS"];

/// Resolves all settings, or says everything that is wrong with them.
pub fn load(sources: &Sources) -> Result<Resolved, Problems> {
    let mut layers = Layers { values: defaults(), problems: Vec::new() };
    if let Some(file) = &sources.file {
        layers.file(file);
    }
    layers.environment(&sources.environment);
    for text in &sources.overrides {
        layers.flag(text);
    }
    if layers.problems.is_empty() {
        layers.required(sources);
    }
    if !layers.problems.is_empty() {
        return Err(Problems(layers.problems));
    }
    match build(&layers) {
        Ok(settings) => Ok(Resolved { settings, entries: layers.in_order() }),
        Err(clash) => Err(Problems(vec![layers.locate(clash, sources.file.as_ref())])),
    }
}

fn defaults() -> BTreeMap<&'static str, Entry> {
    let entry = |setting: &'static Setting| {
        let value = match setting.default {
            "" => Value::Unset,
            text => Value::from_text(setting.kind, text).expect("defaults are valid"),
        };
        (setting.key, Entry { setting, value, origin: Origin::Default, span: None })
    };
    CATALOGUE.iter().map(entry).collect()
}

struct Layers {
    values: BTreeMap<&'static str, Entry>,
    problems: Vec<Problem>,
}

impl Lookup for Layers {
    fn value(&self, key: &str) -> &Value {
        &self.values[key].value
    }
}

impl Layers {
    fn set(&mut self, setting: &'static Setting, value: Value, origin: Origin, span: Option<Range<usize>>) {
        self.values.insert(setting.key, Entry { setting, value, origin, span });
    }

    fn file(&mut self, file: &ConfigFile) {
        let (placed, problems) = read(&file.name, &file.text);
        self.problems.extend(problems);
        for item in placed {
            let place = Problem::in_file(&file.name, &file.text, item.span.clone(), String::new()).place;
            self.set(item.setting, item.value, Origin::File(place), Some(item.span));
        }
    }

    fn environment(&mut self, environment: &[(String, String)]) {
        for (name, text) in environment {
            if !name.starts_with("TIMBERLINE_") || CLIENT_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let Some(setting) = CATALOGUE.iter().find(|setting| setting.variable() == *name) else {
                let (_, expected) =
                    unknown_key(&name["TIMBERLINE_".len()..].to_lowercase().replacen('_', ".", 1));
                let problem =
                    Problem::elsewhere(format!("environment variable {name}"), "no such setting".into());
                self.problems.push(problem.expecting(expected));
                continue;
            };
            let origin = Origin::Environment(name.clone());
            self.text(setting, text, origin, format!("environment variable {name}"));
        }
    }

    fn flag(&mut self, text: &str) {
        let place = format!("--set {text}");
        let Some((key, value)) = text.split_once('=') else {
            let problem = Problem::elsewhere(place, "there is no `=`".into());
            return self
                .problems
                .push(problem.expecting("--set KEY=VALUE, such as --set clock.eps_max=10ms"));
        };
        if let Some(setting) = Setting::find(key.trim()) {
            self.text(setting, value, Origin::Flag, place);
        } else {
            let (what, expected) = unknown_key(key.trim());
            self.problems.push(Problem::elsewhere(place, what).expecting(expected));
        }
    }

    fn text(&mut self, setting: &'static Setting, text: &str, origin: Origin, place: String) {
        match Value::from_text(setting.kind, text) {
            Ok(value) => self.set(setting, value, origin, None),
            Err(reason) => {
                let expected = format!("`{}` takes {}", setting.key, setting.kind.expected());
                let what = format!("`{}` cannot be used: {reason}", setting.key);
                self.problems.push(Problem::elsewhere(place, what).expecting(expected));
            }
        }
    }

    fn required(&mut self, sources: &Sources) {
        let place = sources.file.as_ref().map_or("configuration", |file| &file.name);
        for setting in CATALOGUE.iter().filter(|setting| setting.required) {
            if self.values[setting.key].value == Value::Unset {
                let problem = Problem::elsewhere(place, format!("`{}` is missing", setting.key));
                let expected = format!("{}; `timberline config template` shows it", setting.kind.expected());
                self.problems.push(problem.expecting(expected));
            }
        }
    }

    fn locate(&self, clash: Clash, file: Option<&ConfigFile>) -> Problem {
        let entry = &self.values[clash.key];
        let problem = match (&entry.span, file) {
            (Some(span), Some(file)) => Problem::in_file(&file.name, &file.text, span.clone(), clash.what),
            _ => Problem::elsewhere(format!("{} ({})", clash.key, entry.origin), clash.what),
        };
        problem.expecting(clash.expected)
    }

    fn in_order(mut self) -> Vec<Entry> {
        CATALOGUE.iter().filter_map(|setting| self.values.remove(setting.key)).collect()
    }
}

#[cfg(test)]
mod tests;
