//! One seed: hostile until enough has happened, then calm, then judged.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use timberline::simulation::{Bug, plant, shrink};
use timberline_checkers::{Checker, MergedRecord};

use crate::clients::Crowd;
use crate::judge::judge;
use crate::plan::{FaultClass, MS, Plan, SECOND};
use crate::scenario::Scenario;
use crate::totals::Totals;
use crate::world::World;

/// A hostile phase lasts at least so long, and until so many appends were made.
const HOSTILE_NS: u64 = 30 * SECOND;
const APPENDS_MIN: usize = 1_000;
const HOSTILE_NS_MAX: u64 = 120 * SECOND;
/// Liveness must be back within this, once faults are over.
const CALM_NS_MAX: u64 = 40 * SECOND;
const LOOK_NS: u64 = 50 * MS;

/// How to run a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A mistake to make.
    pub bug: Option<Bug>,
    /// Ends the hostile phase there.
    pub until_ns: Option<u64>,
    /// A story told by hand, in place of faults by chance.
    pub scenario: Option<Scenario>,
    /// Fault classes turned off, whatever the plan says.
    pub without: BTreeSet<FaultClass>,
    /// Whether lines are kept.
    pub tells: bool,
}

/// What became of a seed.
#[derive(Debug)]
pub struct Run {
    pub seed: u64,
    pub plan: Plan,
    pub totals: Totals,
    /// Two runs with the same one were the same.
    pub fingerprint: u64,
    pub lines: Vec<String>,
    pub verdict: Result<(), Failure>,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A promise was broken.
    Broken { checker: Checker, what: String },
    /// A wrong clock was believed, or a right one was not.
    Misjudged { what: String },
    /// Faults were over, and it did not come back.
    NotLive { what: String },
    /// An assertion of the product failed.
    Panicked { what: String },
}

impl Failure {
    /// What found it.
    pub fn finder(&self) -> String {
        match self {
            Self::Broken { checker, .. } => checker.to_string(),
            Self::Misjudged { .. } => "clocks".to_owned(),
            Self::NotLive { .. } => "liveness".to_owned(),
            Self::Panicked { .. } => "assertion".to_owned(),
        }
    }
}

/// Runs one seed.
pub fn run(seed: u64, options: &Options) -> Run {
    let mut plan = options.scenario.map_or_else(|| Plan::draw(seed), |scenario| scenario.plan(seed));
    plan.faults.retain(|class| !options.without.contains(class));
    plant(options.bug);
    shrink(&plan.limits);
    let mut world = None;
    let story = AssertUnwindSafe(|| {
        let world = world.insert(World::new(seed, plan.clone(), options.tells));
        tell(world, options)
    });
    let verdict = catch_unwind(story)
        .unwrap_or_else(|panic| Err(Failure::Panicked { what: words(panic.as_ref()).to_owned() }));
    plant(None);
    shrink(&[]);
    let Some(mut world) = world else {
        return Run { seed, plan, totals: Totals::default(), fingerprint: 0, lines: Vec::new(), verdict };
    };
    world.sum_up();
    let fingerprint = world.trace.fingerprint();
    let (totals, trace) = (world.totals, world.trace);
    Run { seed, plan, totals, fingerprint, lines: trace.into_lines(), verdict }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

fn tell(world: &mut World, options: &Options) -> Result<(), Failure> {
    let mut crowd = Crowd::gather(world);
    match options.scenario {
        Some(scenario) => scenario.play(world, &mut crowd)?,
        None => {
            while !is_enough(world, options) {
                step(world, &mut crowd);
            }
        }
    }
    world.calm_down();
    let calm_ns = world.now_ns;
    // Safety first: what is broken by now is not to be mistaken for slowness.
    judge_now(world)?;
    wait(world, &mut crowd, |world, crowd| unsettled(world, crowd, calm_ns))?;
    if let Some(what) = world.unexplained_stop() {
        return Err(Failure::NotLive { what });
    }
    // What rots in secret shows by now, and is mended.
    wait(world, &mut crowd, |world, _| world.unreadable())?;
    // What was mended then may have been a leader's, or has not heard yet how far its log is committed.
    wait(world, &mut crowd, |world, crowd| unsettled(world, crowd, calm_ns))?;
    // Whoever knows of a wrong clock writes it down.
    wait(world, &mut crowd, |world, _| world.untold())?;
    wait(world, &mut crowd, |world, crowd| unsettled(world, crowd, calm_ns))?;
    world.note_untold();
    world.note_stopped();
    let last = note_logs(world);
    if world.stopped_shards() == 0 {
        wait(world, &mut crowd, |world, crowd| lagging(crowd.merged_end(world), last))?;
    }
    if world.stopped_shards() == 0 && world.plan.has_group() {
        wait(world, &mut crowd, |world, crowd| crowd.group_lag(world))?;
        // What its members said meanwhile stands in its log.
        wait(world, &mut crowd, |world, crowd| unsettled(world, crowd, calm_ns))?;
        world.history.logs.clear();
        note_logs(world);
    }
    judge_now(world)
}

fn judge_now(world: &mut World) -> Result<(), Failure> {
    if let Some(what) = world.misjudged.take() {
        return Err(Failure::Misjudged { what });
    }
    judge(world).map_err(|violation| Failure::Broken { checker: violation.checker, what: violation.what })
}

pub(crate) fn step(world: &mut World, crowd: &mut Crowd) {
    if let Some(event) = world.step() {
        crowd.handle(world, event);
    }
}

fn is_enough(world: &World, options: &Options) -> bool {
    if let Some(until_ns) = options.until_ns {
        return world.now_ns >= until_ns;
    }
    let lasted = world.now_ns >= HOSTILE_NS && world.history.appends.len() >= APPENDS_MIN;
    lasted || world.now_ns >= HOSTILE_NS_MAX
}

/// Goes on until nothing is missing any more.
fn wait(
    world: &mut World,
    crowd: &mut Crowd,
    mut missing: impl FnMut(&mut World, &Crowd) -> Option<String>,
) -> Result<(), Failure> {
    let end_ns = world.now_ns + CALM_NS_MAX;
    while let Some(what) = missing(world, crowd) {
        if world.now_ns >= end_ns {
            return Err(Failure::NotLive { what });
        }
        world.bring_back();
        let look_ns = world.now_ns + LOOK_NS;
        while world.now_ns < look_ns {
            step(world, crowd);
        }
    }
    Ok(())
}

/// What keeps the cluster from being whole again.
fn unsettled(world: &mut World, crowd: &Crowd, calm_ns: u64) -> Option<String> {
    for spec in world.specs.clone() {
        if world.is_stopped(&spec) {
            continue;
        }
        if let Some(repair) = world.unfinished_repair(&spec) {
            return Some(format!("shard {}: {repair}", spec.shard));
        }
        let shard = spec.shard;
        let standings = world.standings(shard);
        let failed = world.failed_replicas(&spec);
        if standings.len() + failed < spec.replicas.len() {
            return Some(format!("shard {shard}: not all replicas run: {standings:?}"));
        }
        let leader = standings.first().and_then(|standing| standing.leader);
        if leader.is_none() || standings.iter().any(|standing| standing.leader != leader) {
            return Some(format!("shard {shard}: replicas do not agree on a leader: {standings:?}"));
        }
        let released = standings.first().map(|standing| standing.released);
        let whole =
            |standing: &crate::world::Standing| standing.is_settled && Some(standing.released) == released;
        if !standings.iter().all(whole) {
            return Some(format!("shard {shard}: replicas do not have the same: {standings:?}"));
        }
        if standings.iter().any(|standing| standing.trimmed != standings[0].trimmed) {
            return Some(format!("shard {shard}: replicas do not agree on the start: {standings:?}"));
        }
        if standings.iter().any(|standing| standing.closed.0 <= crate::world::EPOCH_NS + calm_ns) {
            return Some(format!("shard {shard}: closed timestamps stand still: {standings:?}"));
        }
        if !crowd.is_idle(shard) {
            return Some(format!("shard {shard}: producers still wait for answers"));
        }
        if world.owes_answers(shard) {
            return Some(format!("shard {shard}: nodes still owe answers"));
        }
    }
    None
}

fn lagging(found: Option<MergedRecord>, last: Option<MergedRecord>) -> Option<String> {
    (found < last).then(|| format!("the merged reader stands at {found:?}, the last record is {last:?}"))
}

/// Reads every working replica's log; gives the last record of all in the merged order.
fn note_logs(world: &mut World) -> Option<MergedRecord> {
    for spec in world.specs.clone() {
        for standing in world.standings(spec.shard) {
            world.note_log(standing.node, spec.shard);
        }
    }
    world.last_record()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { checker, what } => write!(f, "promise broken ({checker}): {what}"),
            Self::Misjudged { what } => write!(f, "clock misjudged: {what}"),
            Self::NotLive { what } => write!(f, "did not come back after the faults: {what}"),
            Self::Panicked { what } => write!(f, "assertion failed: {what}"),
        }
    }
}
