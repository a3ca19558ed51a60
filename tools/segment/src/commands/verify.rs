//! `verify`: every check there is.

use std::time::Instant;

use super::arguments::Verify;
use crate::failure::Failure;
use crate::finding::TITLES;
use crate::folder::open_paths;
use crate::moment::{show_bytes, show_count};
use crate::output::{Format, Sink, say};
use crate::progress::bar;
use crate::verify::{Verdict, verify as verify_all};

pub(super) fn verify(asked: &Verify, format: Format) -> Result<(), Failure> {
    if asked.threads == Some(0) {
        return Err(Failure::Usage("--threads 0 would check nothing: give 1 or more".to_owned()));
    }
    let folders = open_paths(&asked.paths.paths)?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let bar = bar(&folders, "verifying");
    let began = Instant::now();
    let verdict = verify_all(&folders, asked.threads.unwrap_or_else(cores), &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let took = began.elapsed().as_secs_f64();
    let mut sink = Sink::new(format, &TITLES);
    for finding in &verdict.findings {
        sink.row(finding)?;
    }
    sink.finish()?;
    say(&sum(&verdict, folders.len(), took));
    match verdict.damaged() {
        0 => Ok(()),
        1 => Err(Failure::Damaged("1 place is damaged".to_owned())),
        places => Err(Failure::Damaged(format!("{places} places are damaged"))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a speed for people")]
fn sum(verdict: &Verdict, shards: usize, took: f64) -> String {
    let sums = &verdict.sums;
    let warnings = verdict.findings.len() - verdict.damaged();
    format!(
        "{} shards, {} segments, {}, {} frames, {} records, {} order marks: {} damaged, {} warnings; {:.3} s, {:.2} GB/s",
        show_count(shards as u64),
        show_count(verdict.segments),
        show_bytes(sums.bytes),
        show_count(sums.frames),
        show_count(sums.records),
        show_count(sums.order_marks),
        verdict.damaged(),
        warnings,
        took,
        sums.bytes as f64 / 1e9 / took.max(1e-9),
    )
}
