//! What the audience sees: steps and proofs on stdout, a progress bar on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::proof::Proof;
use crate::cli::failure::Failure;
use crate::cli::output::print_line;

pub(super) fn step(what: &str) -> Result<(), Failure> {
    print_line(&format!("• {what}"))
}

pub(super) fn show(proof: &Proof) -> Result<(), Failure> {
    let mark = if proof.holds { "✓" } else { "✗" };
    print_line(&format!("  {mark} {}", proof.statement))
}

pub(super) fn bar(records: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} records sent {msg}");
    ProgressBar::new(records as u64).with_style(style.expect("the template is valid"))
}

/// What to type next, with the program called as this one was.
pub(super) fn next_steps() -> String {
    let program = std::env::args().next().unwrap_or_else(|| "timberline".to_owned());
    format!(
        "\
Next, a cluster of your own. In one terminal:
  {program} dev
In another (in the same folder; the data is in tests/data):
  {program} topic create flights --shards 4
  {program} produce flights --file tests/data/flights-2013-01-first-week.ndjson.zst \\
      --key-field tailnum --key-default none --event-time-field event_time
  {program} consume flights --from begin --to-end
  {program} shard list flights"
    )
}
