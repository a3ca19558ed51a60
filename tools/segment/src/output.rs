//! Data on stdout, in the format asked for. Knows rows, not what they mean.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::failure::Failure;

/// A table is printed in pieces of so many rows: a dump may have millions.
const TABLE_ROWS: usize = 500;

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// One JSON document
    Json,
    /// One JSON object a line
    Ndjson,
}

impl Format {
    /// The format asked for; else a table on a terminal and ndjson in a pipe.
    pub(crate) fn or_default(asked: Option<Self>) -> Self {
        let default = || if io::stdout().is_terminal() { Self::Table } else { Self::Ndjson };
        asked.unwrap_or_else(default)
    }
}

/// A row: JSON by its fields, a table by its cells.
pub(crate) trait Row: Serialize {
    /// One cell for each of the sink's titles.
    fn cells(&self) -> Vec<String>;
}

/// Rows on their way out; `finish` ends them.
pub(crate) struct Sink {
    format: Format,
    titles: Vec<&'static str>,
    table: Table,
    rows: usize,
    out: BufWriter<Stdout>,
}

impl Sink {
    pub(crate) fn new(format: Format, titles: &[&'static str]) -> Self {
        let out = BufWriter::with_capacity(1 << 16, io::stdout());
        Self { format, titles: titles.to_vec(), table: blank_table(), rows: 0, out }
    }

    pub(crate) fn row(&mut self, row: &impl Row) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                if self.rows == 0 {
                    self.table.set_header(self.titles.iter().copied());
                }
                self.table.add_row(row.cells());
                if (self.rows + 1).is_multiple_of(TABLE_ROWS) {
                    writeln!(self.out, "{}", self.table.trim_fmt())?;
                    self.table = blank_table();
                }
            }
            Format::Json => {
                self.out.write_all(if self.rows == 0 { b"[\n  " } else { b",\n  " })?;
                self.out.write_all(to_json(row).as_bytes())?;
            }
            Format::Ndjson => writeln!(self.out, "{}", to_json(row))?,
        }
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        match self.format {
            Format::Table if self.table.row_count() > 0 => writeln!(self.out, "{}", self.table.trim_fmt())?,
            Format::Json if self.rows == 0 => writeln!(self.out, "[]")?,
            Format::Json => writeln!(self.out, "\n]")?,
            Format::Table | Format::Ndjson => {}
        }
        self.out.flush()?;
        Ok(())
    }
}

fn blank_table() -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows are plain data")
}

/// A message to the person at the terminal; stderr, so that data stays clean.
pub(crate) fn say(message: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr(), "{message}");
}
