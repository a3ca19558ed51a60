//! Reports on stdout, in the format asked for; everything else on stderr.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::failure::Failure;
use crate::report::{Report, STAGE_TITLES, TITLES};

/// How reports are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people; latencies in milliseconds
    Table,
    /// One JSON document
    Json,
    /// One JSON object a line, as each run ends
    Ndjson,
}

/// Reports on their way out; `finish` ends them.
pub(crate) struct Sink {
    format: Format,
    with_stages: bool,
    reports: Vec<Report>,
}

impl Format {
    /// The format asked for; else a table on a terminal and ndjson in a pipe.
    pub(crate) fn or_default(asked: Option<Self>) -> Self {
        let default = || if io::stdout().is_terminal() { Self::Table } else { Self::Ndjson };
        asked.unwrap_or_else(default)
    }
}

impl Sink {
    /// With a table of the appends' stages at the end, if asked for.
    pub(crate) fn new(asked: Option<Format>, with_stages: bool) -> Self {
        Self { format: Format::or_default(asked), with_stages, reports: Vec::new() }
    }

    /// A run has ended.
    pub(crate) fn report(&mut self, report: Report) -> Result<(), Failure> {
        if let Some(lost) = report.lost_rate() {
            say(&lost);
        }
        if self.format == Format::Ndjson {
            print(&report.to_json())?;
        }
        self.reports.push(report);
        Ok(())
    }

    /// All runs have ended; their reports.
    pub(crate) fn finish(self) -> Result<Vec<Report>, Failure> {
        match self.format {
            Format::Table => print(&table(&TITLES, self.reports.iter().map(Report::cells)))?,
            Format::Json => print_all(self.reports.iter().map(Report::to_json))?,
            Format::Ndjson => {}
        }
        if self.with_stages {
            say(&table(&STAGE_TITLES, self.reports.iter().flat_map(Report::stage_rows)));
        }
        Ok(self.reports)
    }
}

/// Columns for people.
pub(crate) fn table(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(titles).add_rows(rows);
    table.trim_fmt()
}

/// One JSON document of JSON objects.
pub(crate) fn print_all(objects: impl Iterator<Item = String>) -> Result<(), Failure> {
    print(&format!("[\n  {}\n]", objects.collect::<Vec<_>>().join(",\n  ")))
}

/// Data, on stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::Output)
}

/// A message to the person at the terminal; stderr, so that data stays clean.
pub(crate) fn say(message: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr(), "{message}");
}
