//! Whether a run kept every promise: what is checked, and which promises a lying clock excuses.

use timberline_checkers::{Checker, Violation, check_all};

use crate::world::World;

/// The promises that hold in this run. While a clock breaks its bound, order and freshness may suffer; log safety
/// never. A liar that also forgets may break a closed timestamp (TIME.md, "What was checked").
fn binding(world: &World) -> Vec<Checker> {
    let excused = |checker: &Checker| {
        let broken_promise = matches!(checker, Checker::Closed | Checker::Merged);
        world.lied && (checker.needs_honest_clocks() || (broken_promise && world.restarted))
    };
    Checker::ALL.into_iter().filter(|checker| !excused(checker)).collect()
}

/// Checks the history of a run.
pub(crate) fn judge(world: &mut World) -> Result<(), Violation> {
    let tally = check_all(&world.history, &binding(world))?;
    world.totals.checks += tally.0;
    Ok(())
}
