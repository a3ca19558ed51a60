//! `config check|show|template`, and reading a configuration for the commands that run nodes.

use std::io::{self, IsTerminal};
use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use super::arguments::{ConfigCommand, ConfigSource, TemplateArguments};
use super::failure::Failure;
use super::output::{Format, Row, print_row, print_rows};
use crate::settings::{ConfigFile, Entry, Problems, Resolved, Sources, TemplateOptions, load, template};

pub(super) fn configuration(command: ConfigCommand, asked: Option<Format>) -> Result<(), Failure> {
    let format = Format::or_default(asked);
    match command {
        ConfigCommand::Check(source) => {
            let resolved = resolve(&source)?;
            print_row(format, &CheckRow::of(&source, &resolved))
        }
        ConfigCommand::Show(source) => {
            let rows: Vec<_> = resolve(&source)?.entries.iter().map(SettingRow::of).collect();
            print_rows(format, &rows)
        }
        ConfigCommand::Template(arguments) => print_template(&arguments, asked),
    }
}

fn print_template(arguments: &TemplateArguments, asked: Option<Format>) -> Result<(), Failure> {
    if arguments.config.is_some() {
        return Err(Failure::usage("`config template` reads no file; `config check --config FILE` does"));
    }
    if asked.is_some_and(|format| format != Format::Raw) {
        return Err(Failure::usage("a template is TOML: leave -o out, or say -o raw"));
    }
    let TemplateArguments { node, nodes, base_port, .. } = *arguments;
    let text = template(TemplateOptions { node, nodes, base_port }).map_err(Failure::usage)?;
    io::Write::write_all(&mut io::stdout().lock(), text.as_bytes())?;
    Ok(())
}

fn resolve(source: &ConfigSource) -> Result<Resolved, Failure> {
    read(&source.config, &source.overrides)
}

/// Resolves the settings of `file`, the environment and `--set` flags; mistakes are shown at their lines.
pub(super) fn read(file: &Path, overrides: &[String]) -> Result<Resolved, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!(
            "cannot read {name}: {error}; `timberline config template > {name}` makes one"
        ))
    })?;
    let file = Some(ConfigFile { name, text });
    load(&Sources { file, environment: environment(), overrides: overrides.to_vec() })
        .map_err(|p| refused(&p))
}

/// The variables that may set something; what is not UTF-8 sets nothing of ours.
pub(super) fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

pub(super) fn refused(problems: &Problems) -> Failure {
    let plain = std::env::var_os("NO_COLOR").is_some() || !io::stderr().is_terminal();
    let theme = if plain { GraphicalTheme::unicode_nocolor() } else { GraphicalTheme::unicode() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(!plain);
    let mut report = String::new();
    for problem in &problems.0 {
        if handler.render_report(&mut report, problem).is_err() {
            report.push_str(&problem.to_string());
        }
    }
    let count = problems.0.len();
    let mistakes = if count == 1 { "one mistake".to_owned() } else { format!("{count} mistakes") };
    Failure::usage(format!("{mistakes} in the configuration:\n{report}"))
}

#[derive(Serialize)]
struct CheckRow {
    file: String,
    ok: bool,
    cluster: String,
    node: u64,
    settings_given: usize,
}

impl CheckRow {
    fn of(source: &ConfigSource, resolved: &Resolved) -> Self {
        let given = |entry: &&Entry| entry.origin != crate::settings::Origin::Default;
        Self {
            file: source.config.display().to_string(),
            ok: true,
            cluster: resolved.settings.cluster.id.to_string(),
            node: resolved.settings.node.id.0,
            settings_given: resolved.entries.iter().filter(given).count(),
        }
    }
}

impl Row for CheckRow {
    fn titles() -> Vec<&'static str> {
        vec!["FILE", "RESULT", "CLUSTER", "NODE", "SETTINGS GIVEN"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        let given = self.settings_given.to_string();
        vec![vec![self.file.clone(), "ok".into(), self.cluster.clone(), self.node.to_string(), given]]
    }
    fn raw(&self) -> String {
        "ok".into()
    }
}

#[derive(Serialize)]
struct SettingRow {
    key: &'static str,
    value: serde_json::Value,
    origin: String,
    default: Option<&'static str>,
    variable: String,
    #[serde(skip)]
    shown: String,
}

impl SettingRow {
    fn of(entry: &Entry) -> Self {
        Self {
            key: entry.setting.key,
            value: entry.value.to_json(),
            origin: entry.origin.to_string(),
            default: Some(entry.setting.default).filter(|text| !text.is_empty()),
            variable: entry.setting.variable(),
            shown: entry.value.to_string(),
        }
    }
}

impl Row for SettingRow {
    fn titles() -> Vec<&'static str> {
        vec!["SETTING", "VALUE", "FROM"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        vec![vec![self.key.into(), self.shown.clone(), self.origin.clone()]]
    }
    fn raw(&self) -> String {
        format!("{}={}", self.key, self.shown)
    }
}
