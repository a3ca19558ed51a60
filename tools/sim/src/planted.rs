//! Known mistakes, planted one at a time: the checkers must find each within so many seeds.

use std::ops::Range;

use timberline::simulation::Bug;

use crate::plan::{FaultClass, Plan};
use crate::run::{Failure, Options, Run};
use crate::sweep::{Progress, sweep};

/// How a planted mistake was found.
#[derive(Debug)]
pub struct Found {
    pub bug: Bug,
    /// Seeds run, the failing one included.
    pub seeds: u64,
    /// The failing seed, and what found it; `None` if no seed did.
    pub by: Option<(u64, Failure)>,
}

/// The faults without which a mistake that few runs show cannot show: runs without them say nothing of it.
fn story(bug: Bug) -> &'static [FaultClass] {
    match bug {
        // Only a leadership that is handed over moves within the clocks' uncertainty; an election takes longer.
        Bug::SkipFloor => &[FaultClass::LeadershipSwap, FaultClass::ClockAtItsBound],
        // Who found a clock wrong must not lead afterwards, and who leads then must have been away when it could be found.
        Bug::DoubtsUntold => &[FaultClass::ClockLiar, FaultClass::LeadershipSwap, FaultClass::Pause],
        // What a leader said last has to be lost on its way to one that is away for as long as nothing else is said.
        Bug::RestPastReturns => &[FaultClass::MessageLoss, FaultClass::SlowLink],
        _ => &[],
    }
}

/// Whether only runs with a group say anything of it.
fn needs_group(bug: Bug) -> bool {
    matches!(bug, Bug::CommitUnowned | Bug::StaleMemberCommits | Bug::GroupMovesBack | Bug::DeadMembersStay)
}

/// Looks for `bug` from the first of `seeds` on, in as many as those are, of the plans that have the faults of its story.
pub fn hunt(bug: Bug, seeds: Range<u64>, options: &Options, progress: &dyn Progress) -> Found {
    let options = Options { bug: Some(bug), ..options.clone() };
    let telling = |seed: &u64| {
        let plan = Plan::draw(*seed);
        story(bug).iter().all(|fault| plan.faults.contains(fault)) && (plan.has_group() || !needs_group(bug))
    };
    let count = (seeds.end - seeds.start) as usize;
    let (totals, failed) = sweep((seeds.start..).filter(telling).take(count), &options, progress);
    let by = match failed {
        Some(Run { seed, verdict: Err(failure), .. }) => Some((seed, failure)),
        _ => None,
    };
    Found { bug, seeds: totals.seeds, by }
}
