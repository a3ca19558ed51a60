//! Reports on stdout, in the format asked for; everything else on stderr.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::failure::Failure;
use crate::report::{Report, TITLES};

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
    reports: Vec<Report>,
}

impl Sink {
    /// The format asked for; else a table on a terminal and ndjson in a pipe.
    pub(crate) fn new(asked: Option<Format>) -> Self {
        let default = || if io::stdout().is_terminal() { Format::Table } else { Format::Ndjson };
        Self { format: asked.unwrap_or_else(default), reports: Vec::new() }
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
            Format::Table => {
                let mut table = Table::new();
                table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
                table.set_header(TITLES).add_rows(self.reports.iter().map(Report::cells));
                print(&table.trim_fmt())?;
            }
            Format::Json => {
                let reports: Vec<_> = self.reports.iter().map(Report::to_json).collect();
                print(&format!("[\n  {}\n]", reports.join(",\n  ")))?;
            }
            Format::Ndjson => {}
        }
        Ok(self.reports)
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::Output)
}

/// A message to the person at the terminal; stderr, so that data stays clean.
pub(crate) fn say(message: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr(), "{message}");
}
