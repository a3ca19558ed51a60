//! `stat`: what the files are made of, as rows and as a picture.

use hdrhistogram::Histogram;
use serde::Serialize;
use timberline::types::Timestamp;

use super::arguments::Stat;
use crate::failure::Failure;
use crate::folder::open_paths;
use crate::measure::{Bucket, Measured, draw, measure};
use crate::moment::{show, show_bytes, show_count, show_ns};
use crate::output::{Format, Row, Sink, say};
use crate::progress::bar;

const TITLES: [&str; 7] = ["measure", "of", "amount", "median", "90 %", "99 %", "most"];

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Bytes,
    Frames,
    Records,
    Ns,
}

impl Unit {
    fn show(self, amount: u64) -> String {
        match self {
            Self::Bytes => show_bytes(amount),
            Self::Ns => show_ns(amount),
            Self::Frames => format!("{} frames", show_count(amount)),
            Self::Records => format!("{} records", show_count(amount)),
        }
    }
}

/// One measure: an amount, or how amounts are distributed.
#[derive(Serialize)]
struct Line {
    measure: &'static str,
    of: String,
    unit: Unit,
    /// The sum; of a distribution, how many values there are.
    amount: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p90: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
}

impl Line {
    fn sum(measure: &'static str, of: impl Into<String>, unit: Unit, amount: u64) -> Self {
        Self { measure, of: of.into(), unit, amount, p50: None, p90: None, p99: None, max: None }
    }

    fn distribution(
        measure: &'static str,
        of: impl Into<String>,
        unit: Unit,
        values: &Histogram<u64>,
    ) -> Self {
        // A histogram rounds up within its precision, never above what was seen.
        let at = |quantile| Some(values.value_at_quantile(quantile).min(values.max()));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: Some(values.max()),
            ..Self::sum(measure, of, unit, values.len())
        }
    }
}

impl Row for Line {
    fn cells(&self) -> Vec<String> {
        let shown = |amount: Option<u64>| amount.map_or_else(String::new, |amount| self.unit.show(amount));
        let amount = if self.max.is_some() { show_count(self.amount) } else { self.unit.show(self.amount) };
        vec![
            self.measure.to_owned(),
            self.of.clone(),
            amount,
            shown(self.p50),
            shown(self.p90),
            shown(self.p99),
            shown(self.max),
        ]
    }
}

pub(super) fn stat(asked: &Stat, format: Format) -> Result<(), Failure> {
    let folders = open_paths(&asked.paths.paths)?;
    let bar = bar(&folders, "measuring");
    let measured = measure(&folders, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let mut sink = Sink::new(format, &TITLES);
    for line in lines(&measured) {
        sink.row(&line)?;
    }
    sink.finish()?;
    let Some(path) = &asked.svg else { return Ok(()) };
    let names: Vec<_> = asked.paths.paths.iter().map(|path| path.display().to_string()).collect();
    let svg = draw(&measured, &names.join(", "))
        .map_err(|reason| Failure::Refused(format!("the picture cannot be drawn: {reason}")))?;
    std::fs::write(path, svg).map_err(|source| Failure::Write { path: path.clone(), source })?;
    say(&format!("the picture is in {}", path.display()));
    Ok(())
}

fn lines(measured: &Measured) -> Vec<Line> {
    let mut lines = Vec::new();
    lines.extend(measured.bytes.iter().map(|(name, bytes)| Line::sum("bytes", *name, Unit::Bytes, *bytes)));
    lines
        .extend(measured.frames.iter().map(|(name, count)| Line::sum("frames", *name, Unit::Frames, *count)));
    for (name, (frames, stored)) in &measured.compression {
        lines.push(Line::sum("compression", format!("{name}, frames"), Unit::Frames, *frames));
        lines.push(Line::sum("compression", format!("{name}, stored"), Unit::Bytes, *stored));
    }
    lines.push(Line::sum("records", "all", Unit::Records, measured.records));
    lines.push(Line::distribution("batch", "records", Unit::Records, &measured.batch_records));
    lines.push(Line::distribution("batch", "stored bytes", Unit::Bytes, &measured.batch_bytes));
    lines.push(Line::distribution("uncertainty", "all", Unit::Ns, &measured.uncertainty_ns));
    lines.push(Line::distribution("gap", "all", Unit::Ns, &measured.gap_ns));
    lines.extend(over_time(measured));
    lines
}

/// Uncertainty and gaps in a few slices of time, each named by when it begins.
fn over_time(measured: &Measured) -> Vec<Line> {
    const SLICES: usize = 8;
    let first = measured.span.map_or(Timestamp::ZERO, |(first, _)| first);
    let each = measured.buckets.len().div_ceil(SLICES).max(1);
    let mut lines = Vec::new();
    for (place, slice) in measured.buckets.chunks(each).enumerate() {
        let begins = show(first.plus_ns((place * each) as u64 * measured.bucket_ns));
        let sum = |of: fn(&Bucket) -> u64| slice.iter().map(of).sum();
        lines.push(Line::sum("records", &begins, Unit::Records, sum(|bucket| bucket.records)));
        lines.push(Line::sum("data", &begins, Unit::Bytes, sum(|bucket| bucket.body_bytes)));
        for (name, all) in [
            ("uncertainty", merged(slice, |bucket| &bucket.uncertainty_ns)),
            ("gap", merged(slice, |bucket| &bucket.gap_ns)),
        ] {
            if !all.is_empty() {
                lines.push(Line::distribution(name, &begins, Unit::Ns, &all));
            }
        }
    }
    lines
}

fn merged(slice: &[Bucket], of: fn(&Bucket) -> &Histogram<u64>) -> Histogram<u64> {
    let mut all = of(&slice[0]).clone();
    for bucket in &slice[1..] {
        all.add(of(bucket)).expect("all buckets' histograms have the same bounds");
    }
    all
}
