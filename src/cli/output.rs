//! Data on stdout, in the format asked for. Knows rows, not what they mean.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use super::failure::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for people
    Table,
    /// One JSON document
    Json,
    /// One JSON object a line
    Ndjson,
    /// The bare values, one a line
    Raw,
}

impl Format {
    /// The format asked for; else a table on a terminal and ndjson in a pipe.
    pub(super) fn or_default(asked: Option<Self>) -> Self {
        let default = || if io::stdout().is_terminal() { Self::Table } else { Self::Ndjson };
        asked.unwrap_or_else(default)
    }
}

/// A row of a listing: JSON by its fields, a table by its cells, raw by its name.
pub(super) trait Row: Serialize {
    fn titles() -> Vec<&'static str>;
    /// The rows of cells it fills: one, or several where it lists parts.
    fn cells(&self) -> Vec<Vec<String>>;
    fn raw(&self) -> String;
}

/// Prints a whole listing.
pub(super) fn print_rows<R: Row>(format: Format, rows: &[R]) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match format {
        Format::Table => writeln!(out, "{}", table(rows))?,
        Format::Json => writeln!(out, "{}", to_json_pretty(&rows))?,
        Format::Ndjson => {
            for row in rows {
                writeln!(out, "{}", to_json(row))?;
            }
        }
        Format::Raw => {
            for row in rows {
                writeln!(out, "{}", row.raw())?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// Prints a single thing: JSON is then an object, not a list.
pub(super) fn print_row<R: Row>(format: Format, row: &R) -> Result<(), Failure> {
    if format == Format::Json {
        return print_line(&to_json_pretty(row));
    }
    print_rows(format, std::slice::from_ref(row))
}

/// Prints one line of data.
pub(super) fn print_line(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// A line-by-line writer for commands that print as they go; `flush` when there is nothing to do.
pub(super) fn stream() -> BufWriter<Stdout> {
    BufWriter::with_capacity(1 << 16, io::stdout())
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows are plain data")
}

fn to_json_pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("rows are plain data")
}

fn table<R: Row>(rows: &[R]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(R::titles());
    for row in rows {
        table.add_rows(row.cells());
    }
    table
}

/// A message to the person at the terminal; stderr, so that data stays clean.
pub(super) fn say(message: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr(), "{message}");
}
