//! Named scenarios: what happens is told by hand, on a cluster without other faults; the seed draws the rest.
//!
//! Two clocks that jump together, by the same lie, in the same moment. A majority of right ones convicts them and goes on; where
//! two stand against two nobody can tell who is right, and nobody shows anything until they agree again. Nothing wrong is ever
//! shown in either, so every promise is checked as if no clock had lied.

use timberline::clock::Fault;
use timberline::types::{NodeId, ShardId};
use timberline_checkers::Outcome;

use crate::clients::Crowd;
use crate::plan::{Plan, SECOND};
use crate::run::{Failure, step};
use crate::world::World;

const LIE_BEGINS_NS: u64 = 10 * SECOND;
/// By then votes are held, and others lead.
const SETTLED_NS: u64 = 14 * SECOND;
const LIE_ENDS_NS: u64 = 20 * SECOND;
const ENDS_NS: u64 = 30 * SECOND;
const LIE_NS: i64 = 60_000_000_000;

/// A story with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Two clocks of five lie together: they are fenced, and three go on.
    TwoOfFiveLie,
    /// Two clocks of four lie together: all stop exposing.
    TwoOfFourLie,
}

impl Scenario {
    pub const ALL: [Self; 2] = [Self::TwoOfFiveLie, Self::TwoOfFourLie];

    /// What it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoOfFiveLie => "two-of-five-lie",
            Self::TwoOfFourLie => "two-of-four-lie",
        }
    }

    pub(crate) fn plan(self, seed: u64) -> Plan {
        Plan::without_faults(
            seed,
            match self {
                Self::TwoOfFiveLie => 5,
                Self::TwoOfFourLie => 4,
            },
        )
    }

    /// The hostile phase: right, lied to, judged, right again.
    pub(crate) fn play(self, world: &mut World, crowd: &mut Crowd) -> Result<(), Failure> {
        go_on_until(LIE_BEGINS_NS, world, crowd);
        let shard = world.specs[0].shard;
        let ids = world.node_ids();
        let leader = ids.iter().copied().find(|id| world.leads(*id, shard)).unwrap_or(ids[0]);
        let friend = ids.iter().copied().find(|id| *id != leader).unwrap_or(leader);
        let liars = [leader, friend];
        let lie_ns = if world.random.chance(500) { LIE_NS } else { -LIE_NS };
        world.lie_together(&liars, lie_ns);
        go_on_until(SETTLED_NS, world, crowd);
        let settled = world.released();
        go_on_until(LIE_ENDS_NS, world, crowd);
        let what = match self {
            Self::TwoOfFiveLie => two_are_fenced(world, &liars).or_else(|| some_shard_stands(world)),
            Self::TwoOfFourLie => nobody_knows(world).or_else(|| shows_something(world, &settled)),
        };
        if let Some(what) = what {
            return Err(Failure::Misjudged { what: format!("{}: {what}", self.name()) });
        }
        world.lie_together(&liars, 0);
        go_on_until(ENDS_NS, world, crowd);
        Ok(())
    }
}

fn go_on_until(end_ns: u64, world: &mut World, crowd: &mut Crowd) {
    while world.now_ns < end_ns {
        step(world, crowd);
    }
}

/// What is wrong with who is fenced: the liars alone should be.
fn two_are_fenced(world: &mut World, liars: &[NodeId]) -> Option<String> {
    world.node_ids().into_iter().find_map(|id| {
        let fault = world.clock_fault(id);
        let is_outvoted = matches!(fault, Some(Fault::Outvoted { .. }));
        (is_outvoted != liars.contains(&id) || (!is_outvoted && fault.is_some()))
            .then(|| format!("node {id} has {fault:?}, the liars are {liars:?}"))
    })
}

/// A shard to which nothing is appended though three clocks agree.
fn some_shard_stands(world: &World) -> Option<String> {
    let since_ns = world.true_ns() - (LIE_ENDS_NS - SETTLED_NS);
    let moves = |shard| {
        world.history.appends.iter().any(|append| {
            append.shard == shard
                && append.invoked_ns >= since_ns
                && matches!(append.outcome, Outcome::Acknowledged { .. })
        })
    };
    let stands = world.specs.iter().find(|spec| !moves(spec.shard))?;
    Some(format!("nothing was acknowledged in shard {}", stands.shard))
}

/// A node that thinks it knows who is right.
fn nobody_knows(world: &mut World) -> Option<String> {
    world.node_ids().into_iter().find_map(|id| {
        let fault = world.clock_fault(id);
        (fault != Some(Fault::NoMajority)).then(|| format!("node {id} has {fault:?}"))
    })
}

/// Something that was shown though nobody can know the time.
fn shows_something(world: &mut World, settled: &[(NodeId, ShardId, u64)]) -> Option<String> {
    let since_ns = world.true_ns() - (LIE_ENDS_NS - SETTLED_NS);
    let is_late =
        |outcome: &Outcome| matches!(outcome, Outcome::Acknowledged { at_ns, .. } if *at_ns > since_ns);
    let late = world.history.appends.iter().find(|append| is_late(&append.outcome));
    if let Some(append) = late {
        return Some(format!("{append:?} was acknowledged"));
    }
    let now = world.released();
    (now != settled).then(|| format!("released was {settled:?} and is {now:?}"))
}
