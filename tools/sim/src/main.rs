//! `timberline-sim`: runs seeds, replays one, tells its story, hunts planted bugs.
//!
//! Exit codes: 0 all promises kept (or every planted bug found), 1 not so, 2 bad usage.

mod report;

use std::ops::Range;
use std::process::ExitCode;

use clap::Parser;
use timberline::simulation::Bug;
use timberline_sim::{FaultClass, Found, Options, Run, Scenario, hunt, run, shrink, sweep};

/// Seeds within which a planted bug must be found.
const PLANTED_SEEDS: u64 = 1000;
const SEEDS: u64 = 100;

/// Simulates whole Timberline clusters, with faults, in virtual time, and checks every promise.
#[derive(Debug, Parser)]
#[command(name = "timberline-sim", version)]
struct Arguments {
    /// How many seeds to run: 100, or at most 1,000 for each planted bug.
    #[arg(long, conflicts_with_all = ["seed"])]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    first: u64,
    /// Replays this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Tells the story of the replayed seed, line by line.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Ends the hostile phase of the replayed seed there, in milliseconds of virtual time.
    #[arg(long, value_name = "MS", requires = "seed")]
    until_ms: Option<u64>,
    /// Tells this story on each seed's cluster, in place of faults by chance.
    #[arg(long, value_name = "NAME", value_parser = parse_scenario, conflicts_with = "until_ms")]
    scenario: Option<Scenario>,
    /// Turns fault classes off, such as `partition,bit-rot`.
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', value_parser = parse_class)]
    without: Vec<FaultClass>,
    /// Plants a bug (`all`: one after the other) that must be found within 1,000 seeds.
    #[arg(long, value_name = "BUG", value_parser = parse_bugs)]
    planted: Option<Bugs>,
}

#[derive(Clone, Debug)]
struct Bugs(Vec<Bug>);

fn parse_class(name: &str) -> Result<FaultClass, String> {
    let names: Vec<_> = FaultClass::ALL.into_iter().map(FaultClass::name).collect();
    let found = FaultClass::ALL.into_iter().find(|class| class.name() == name);
    found.ok_or_else(|| format!("there is no fault class {name:?}; there are: {}", names.join(", ")))
}

fn parse_scenario(name: &str) -> Result<Scenario, String> {
    let names: Vec<_> = Scenario::ALL.into_iter().map(Scenario::name).collect();
    let found = Scenario::ALL.into_iter().find(|scenario| scenario.name() == name);
    found.ok_or_else(|| format!("there is no scenario {name:?}; there are: {}", names.join(", ")))
}

fn parse_bugs(name: &str) -> Result<Bugs, String> {
    if name == "all" {
        return Ok(Bugs(Bug::ALL.to_vec()));
    }
    let names: Vec<_> = Bug::ALL.into_iter().map(Bug::name).collect();
    let found = Bug::ALL.into_iter().find(|bug| bug.name() == name);
    found
        .map(|bug| Bugs(vec![bug]))
        .ok_or_else(|| format!("there is no bug {name:?}; there are: all, {}", names.join(", ")))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        bug: None,
        scenario: arguments.scenario,
        until_ns: arguments.until_ms.map(|ms| ms * 1_000_000),
        without: arguments.without.iter().copied().collect(),
        tells: arguments.trace,
    };
    if arguments.seed.is_none() {
        // A failed assertion is a finding, told with its seed; its backtrace would drown it. A replay shows it.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let seeds = |usual: u64| arguments.first..arguments.first + arguments.seeds.unwrap_or(usual);
    match (arguments.seed, arguments.planted) {
        (Some(_), Some(Bugs(bugs))) if bugs.len() > 1 => {
            eprintln!("one seed takes one planted bug: name it in place of `all`");
            ExitCode::from(2)
        }
        (Some(seed), planted) => {
            let bug = planted.and_then(|bugs| bugs.0.first().copied());
            replay(&run(seed, &Options { bug, ..options.clone() }), &Options { bug, ..options })
        }
        (None, Some(Bugs(bugs))) => hunt_all(&bugs, &seeds(PLANTED_SEEDS), &options),
        (None, None) => sweep_all(seeds(SEEDS), &options),
    }
}

fn replay(run: &Run, options: &Options) -> ExitCode {
    for line in &run.lines {
        println!("{line}");
    }
    println!("seed {}\n{}", run.seed, run.plan);
    println!("{}", report::totals(&run.totals, None));
    println!("fingerprint {:016x}", run.fingerprint);
    match &run.verdict {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{failure}\nrepeat: {}", report::command(run.seed, options));
            ExitCode::FAILURE
        }
    }
}

fn sweep_all(seeds: Range<u64>, options: &Options) -> ExitCode {
    let progress = report::Bar::new(seeds.end - seeds.start, "seeds");
    let (totals, failed) = sweep(seeds, options, &progress);
    let took = progress.finish();
    println!("{}", report::totals(&totals, Some(took)));
    let Some(failed) = failed else { return ExitCode::SUCCESS };
    println!("seed {} fails\n{}", failed.seed, failed.plan);
    if let Err(failure) = &failed.verdict {
        println!("{failure}");
    }
    println!("looking for the shortest prefix that still fails ..");
    let (shortest, run) = shrink(&failed, options);
    if let Err(failure) = &run.verdict {
        println!("{failure}");
    }
    println!("repeat: {} --trace", report::command(failed.seed, &shortest));
    ExitCode::FAILURE
}

fn hunt_all(bugs: &[Bug], seeds: &Range<u64>, options: &Options) -> ExitCode {
    let mut found = Vec::new();
    for bug in bugs {
        let progress = report::Bar::new(seeds.end - seeds.start, bug.name());
        let result: Found = hunt(*bug, seeds.clone(), options, &progress);
        let took = progress.finish();
        println!("{:24} {} after {:.1} s", bug.name(), report::sought(&result), took.as_secs_f64());
        found.push(result);
    }
    println!("{}", report::planted(&found));
    if found.iter().all(|found| found.by.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
