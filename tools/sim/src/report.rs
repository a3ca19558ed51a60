//! What the command shows: a bar while it works, sums and tables at the end.

use std::time::{Duration, Instant};

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use indicatif::{ProgressBar, ProgressStyle};
use timberline_sim::{Found, Options, Progress, Run, Totals};

/// A progress bar over seeds.
pub(crate) struct Bar {
    bar: ProgressBar,
    began: Instant,
}

impl Bar {
    pub(crate) fn new(seeds: u64, what: &'static str) -> Self {
        let style =
            ProgressStyle::with_template("{msg:24} [{bar:30}] {pos}/{len} seeds, {elapsed} (left: {eta})");
        let bar =
            ProgressBar::new(seeds).with_style(style.expect("the template is right")).with_message(what);
        Self { bar, began: Instant::now() }
    }

    pub(crate) fn finish(&self) -> Duration {
        self.bar.finish_and_clear();
        self.began.elapsed()
    }
}

impl Progress for Bar {
    fn done(&self, _run: &Run) {
        self.bar.inc(1);
    }
}

/// Sums of runs, and how fast they went.
pub(crate) fn totals(totals: &Totals, took: Option<Duration>) -> String {
    let mut lines = vec![format!(
        "{} seeds, {} simulated seconds, {} events, {} terms",
        totals.seeds,
        totals.simulated_ns / 1_000_000_000,
        totals.events,
        totals.elections
    )];
    lines.push(format!(
        "{} appends ({} acknowledged, {} failed, {} of unknown fate), {} frames read, {} records merged, {} reads by level, {} checks",
        totals.appends, totals.acknowledged, totals.failed, totals.unknown, totals.reads, totals.merged, totals.fresh_reads,
        totals.checks
    ));
    lines.push(format!(
        "{} records handed out by members of groups, {} commits folded",
        totals.group_reads, totals.group_commits
    ));
    lines.push(format!(
        "{} trims, {} manifests sent, {} reads told that what they wanted was trimmed, {} segments repaired, {} replicas recollected",
        totals.trims, totals.manifests, totals.told_trimmed, totals.repairs, totals.recollections
    ));
    lines.push(format!(
        "{} pairs of batches put into the wrong order by wrong clocks, {} order marks read",
        totals.disordered, totals.marks
    ));
    let faults: u64 = totals.faults.values().sum();
    let each: Vec<_> =
        totals.faults.iter().map(|(class, count)| format!("{} {count}", class.name())).collect();
    lines.push(format!("{faults} faults: {}", each.join(", ")));
    lines.push(format!(
        "replicas stopped for good: {}; shards left without a quorum: {}",
        totals.stopped_replicas, totals.stopped_shards
    ));
    if let Some(took) = took {
        let speed = Duration::from_nanos(totals.simulated_ns).as_secs_f64() / took.as_secs_f64();
        lines.push(format!("took {:.1} s: {speed:.0} simulated seconds a second", took.as_secs_f64()));
    }
    lines.join("\n")
}

/// The command that repeats a run.
pub(crate) fn command(seed: u64, options: &Options) -> String {
    let mut words = vec!["cargo run --release -p timberline-sim -- --seed".to_owned(), seed.to_string()];
    if let Some(bug) = options.bug {
        words.push(format!("--planted {}", bug.name()));
    }
    if let Some(scenario) = options.scenario {
        words.push(format!("--scenario {}", scenario.name()));
    }
    if let Some(until_ns) = options.until_ns {
        words.push(format!("--until-ms {}", until_ns / 1_000_000));
    }
    if !options.without.is_empty() {
        let classes: Vec<_> = options.without.iter().map(|class| class.name()).collect();
        words.push(format!("--without {}", classes.join(",")));
    }
    words.join(" ")
}

/// Whether a planted bug was found, in a few words.
pub(crate) fn sought(found: &Found) -> String {
    match &found.by {
        Some((seed, failure)) => format!("found by {} in seed {seed}", failure.finder()),
        None => format!("not found in {} seeds", found.seeds),
    }
}

/// The table of planted bugs.
pub(crate) fn planted(found: &[Found]) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_header([
        "planted bug",
        "seeds needed",
        "found by",
        "what it said",
    ]);
    for one in found {
        let (seeds, by, said) = match &one.by {
            Some((_, failure)) => (one.seeds.to_string(), failure.finder(), failure.to_string()),
            None => (format!("not found in {}", one.seeds), "-".to_owned(), "-".to_owned()),
        };
        let said: String = said.chars().take(90).collect();
        table.add_row([one.bug.name(), &seeds, &by, &said]);
    }
    table.to_string()
}
