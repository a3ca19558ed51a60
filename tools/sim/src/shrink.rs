//! From a failing seed to the shortest prefix, and the fewest fault classes, that still fail.

use crate::plan::{FaultClass, MS, Plan};
use crate::run::{Options, Run, run};

/// Prefixes are told apart this finely.
const GRAIN_NS: u64 = 10 * MS;

/// Shortens a failing run: first fault classes are left out, then time is cut in halves. A prefix counts if it fails in
/// the same way, as found by the same checker.
pub fn shrink(failed: &Run, options: &Options) -> (Options, Run) {
    let finder = failed.verdict.as_ref().err().map(crate::Failure::finder);
    let fails = |options: &Options| {
        let run = run(failed.seed, options);
        (run.verdict.as_ref().err().map(crate::Failure::finder) == finder).then_some(run)
    };
    let mut best = options.clone();
    let mut shortest = None;
    let classes: Vec<FaultClass> = Plan::draw(failed.seed).faults.into_iter().collect();
    for class in classes {
        let mut fewer = best.clone();
        fewer.without.insert(class);
        if let Some(run) = fails(&fewer) {
            (best, shortest) = (fewer, Some(run));
        }
    }
    let mut low_ns = 0;
    let mut high_ns = shortest.as_ref().unwrap_or(failed).totals.simulated_ns;
    while high_ns - low_ns > GRAIN_NS {
        // Whole milliseconds, as the command that repeats it says.
        let middle_ns = low_ns.midpoint(high_ns) / MS * MS;
        let shorter = Options { until_ns: Some(middle_ns), ..best.clone() };
        match fails(&shorter) {
            Some(run) => {
                (best, shortest) = (shorter, Some(run));
                high_ns = middle_ns;
            }
            None => low_ns = middle_ns,
        }
    }
    let shortest = shortest.unwrap_or_else(|| run(failed.seed, &best));
    (best, shortest)
}
