//! Whether a run kept every promise: what is checked, and which promises a lying clock excuses.

use timberline_checkers::{Checker, Violation, check_all, disordered_pairs};

use crate::world::World;

/// The promises that hold in this run. What a clock that breaks its bound decides before the others' clocks can
/// tell may break order and freshness, and has to be marked; log safety never suffers. A liar that also forgets may break a closed timestamp (TIME.md, "What was checked").
fn binding(world: &World) -> Vec<Checker> {
    let excused = |checker: &Checker| {
        let broken_promise = matches!(checker, Checker::Closed | Checker::Merged | Checker::Groups);
        world.lied && (checker.needs_honest_clocks() || (broken_promise && world.restarted))
    };
    Checker::ALL.into_iter().filter(|checker| !excused(checker)).collect()
}

/// Checks the history of a run. Until the logs are noted, readers may be behind what was acknowledged.
pub(crate) fn judge(world: &mut World) -> Result<(), Violation> {
    let mut checkers = binding(world);
    checkers.retain(|checker| *checker != Checker::Acknowledged || !world.history.logs.is_empty());
    let tally = check_all(&world.history, &checkers)?;
    world.totals.checks += tally.0;
    if world.history.awaited_marks {
        world.totals.disordered += disordered_pairs(&world.history);
    }
    Ok(())
}
