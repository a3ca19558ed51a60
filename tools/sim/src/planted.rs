//! Known mistakes, planted one at a time: the checkers must find each within so many seeds.

use std::ops::Range;

use timberline::simulation::Bug;

use crate::run::{Failure, Options, Run};
use crate::sweep::{Progress, sweep};

/// How a planted mistake was found.
#[derive(Debug)]
pub struct Found {
    pub bug: Bug,
    /// Seeds tried, the failing one included.
    pub seeds: u64,
    /// The failing seed, and what found it; `None` if no seed did.
    pub by: Option<(u64, Failure)>,
}

/// Looks for `bug` among `seeds`.
pub fn hunt(bug: Bug, seeds: Range<u64>, options: &Options, progress: &dyn Progress) -> Found {
    let first = seeds.start;
    let options = Options { bug: Some(bug), ..options.clone() };
    let (totals, failed) = sweep(seeds, &options, progress);
    match failed {
        Some(Run { seed, verdict: Err(failure), .. }) => {
            Found { bug, seeds: seed - first + 1, by: Some((seed, failure)) }
        }
        _ => Found { bug, seeds: totals.seeds, by: None },
    }
}
