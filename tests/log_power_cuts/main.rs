//! A log on a file system whose power is cut, again and again, in the middle of whatever the log is doing.
//!
//! A child process, this test started once more, works on a log on a loop-mounted ext4; the power goes at a step that the
//! seed picks. What is then found on the device must be a log that keeps every promise told. Each log goes on from what
//! the last cut left, until another is begun. `TIMBERLINE_TEST_ROOT=1` allows it, `TIMBERLINE_FAULT_SECONDS=N` makes it that
//! long, `TIMBERLINE_FAULT_SEED=N` repeats its choices. docs/TESTING.md says more.

#[path = "../process_faults/powered.rs"]
mod powered;
mod promises;
mod telling;
mod witness;
mod worker;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use powered::{Cutter, Place, PoweredVolume, allowed, drop_caches};
use promises::{Found, Promises};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use witness::Witness;

/// Cuts without `TIMBERLINE_FAULT_SECONDS`.
const ROUNDS: u32 = 24;
/// Cuts that one log lives through.
const ROUNDS_PER_LOG: u32 = 12;
/// What is aimed at, by turns.
const TARGETS: [&str; 15] = [
    "append",
    "append sync",
    "roll",
    "index",
    "preparation",
    "truncation",
    "truncation sync",
    "trim",
    "trim sync",
    "removal",
    "vote",
    "vote sync",
    "reset",
    "opening",
    "opening sync",
];

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")))
}

/// What the cuts met.
#[derive(Default)]
struct Totals {
    rounds: u32,
    met: BTreeMap<String, u32>,
    tails_cut: u32,
    logs_begun: u32,
    /// Workers killed before another met the cut.
    kills: u32,
    /// Cuts that took frames begun and not durable.
    took_frames: u32,
}

impl Totals {
    fn tell(&self) {
        let Self { rounds, tails_cut, logs_begun, kills, took_frames, .. } = self;
        println!("{rounds} power cuts, of {logs_begun} logs, {kills} soon after a kill; they met:");
        for (what, count) in &self.met {
            println!("{count:7}  {what}");
        }
        println!("{took_frames} took frames that were not durable, {tails_cut} left a torn tail to cut");
    }
}

struct Campaign {
    volume: PoweredVolume,
    cutter: Cutter,
    rng: StdRng,
    promises: Promises,
    /// What is to be aimed at before the next shuffle.
    targets: Vec<&'static str>,
    totals: Totals,
}

impl Campaign {
    fn round(&mut self) {
        let round = self.totals.rounds;
        let begins = round.is_multiple_of(ROUNDS_PER_LOG);
        if begins {
            self.begin_log();
        }
        if self.targets.is_empty() {
            self.targets = TARGETS.to_vec();
            self.targets.shuffle(&mut self.rng);
        }
        let target = if begins { "creation" } else { self.targets.pop().expect("it was filled") };
        // An opening and a creation are a few steps, the others come again and again.
        let steps = match target {
            "opening sync" => 1,
            "opening" => 2,
            "creation" => 6,
            _ => 8,
        };
        let is_killed_before = !begins && self.rng.random_bool(0.25);
        if is_killed_before {
            self.kill();
        }
        let (occurrence, flags) = (self.rng.random_range(1..=steps), 1 + round % 2);
        let pages = self.rng.random_bool(0.5).then(|| self.rng.random());
        let aimed = self.cutter.aim(&self.volume, flags, pages.map(|pages| (worker::FOLDER.as_ref(), pages)));
        let mut witness = Witness::start(&self.volume.folder(), self.rng.random());
        witness.await_step(target, occurrence, &mut self.promises);
        aimed.cut();
        let is_killed = self.rng.random_bool(0.5);
        let met = witness.end(is_killed, &mut self.promises);
        println!(
            "cut {round}: flags {flags}, pages {pages:?}, killed {is_killed}, aimed at {target} {occurrence}, met {met}"
        );
        self.volume.restore();
        self.judge(&witness);
        self.totals.rounds += 1;
        *self.totals.met.entry(met).or_default() += 1;
        // The next child begins on an empty page cache too.
        self.volume.restore();
    }

    /// A worker is killed with the power on: the next one opens what is in the page cache only, and answers on it.
    fn kill(&mut self) {
        let target = TARGETS.choose(&mut self.rng).expect("there are targets");
        let mut witness = Witness::start(&self.volume.folder(), self.rng.random());
        witness.await_step(target, 1, &mut self.promises);
        witness.end(true, &mut self.promises);
        self.totals.kills += 1;
    }

    fn begin_log(&mut self) {
        let shards = self.volume.folder().join("shards");
        if shards.exists() {
            std::fs::remove_dir_all(shards).expect("the log before can be removed");
            self.volume.restore();
        }
        self.promises = Promises::none();
        self.totals.logs_begun += 1;
    }

    fn judge(&mut self, witness: &Witness) {
        let found = Found::read(&self.volume.folder());
        if let Ok(found) = &found {
            self.totals.took_frames += u32::from(self.promises.taken(found) > 0);
            self.totals.tails_cut += u32::from(found.is_cut);
        }
        if let Err(broken) = self.promises.judge(&found) {
            panic!("{broken}\n{}", witness.last_lines());
        }
        if let Ok(mut found) = found {
            found.is_cut = false;
            let again = Found::read(&self.volume.folder()).expect("it opens again");
            assert_eq!(again, found, "another opening finds the same");
        }
    }
}

#[test]
fn a_power_cut_in_the_middle_of_anything_leaves_a_log_that_opens_with_all_that_was_synced() {
    if let Some((root, seed)) = witness::child_of() {
        return worker::work(&root, seed);
    }
    if !allowed() {
        return;
    }
    let seed = from_environment("TIMBERLINE_FAULT_SEED").unwrap_or_else(rand::random);
    println!("TIMBERLINE_FAULT_SEED={seed}");
    let place = Place::new();
    let built = tempfile::tempdir().expect("a temporary folder");
    let mut campaign = Campaign {
        cutter: Cutter::build(built.path()),
        volume: PoweredVolume::mount(place),
        rng: StdRng::seed_from_u64(seed),
        promises: Promises::none(),
        targets: Vec::new(),
        totals: Totals::default(),
    };
    drop_caches();
    let (started, seconds) = (Instant::now(), from_environment("TIMBERLINE_FAULT_SECONDS"));
    while seconds
        .map_or(campaign.totals.rounds < ROUNDS, |seconds| started.elapsed() < Duration::from_secs(seconds))
    {
        campaign.round();
    }
    campaign.totals.tell();
}
