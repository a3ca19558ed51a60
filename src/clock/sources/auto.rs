//! The best source there is: the first of a list that gives a sample, and another one when it fails.
//!
//! Knows nothing of what the sources are. Invariants: numbers rise whatever source a sample comes from, so a change of
//! source is a new sample (I8); a source in use is left for a better one only after that one has worked for a while.

use std::sync::{Mutex, PoisonError};

use crate::clock::source::{Refusal, Sample, SourceError, TimeSource};
use crate::clock::ticks::RawTime;

/// A better source must work so long before it is changed to: each change is one more thing to doubt.
const SETTLED_NS: u64 = 30_000_000_000;
const WHAT_TO_DO: &str = "Install chrony (`apt-get install chrony`) or ClockBound and give it a server; for a lab, where nothing \
                          measures the clock, vouch for it yourself with clock.source = \"declared\" and clock.uncertainty";

#[derive(Debug, Default)]
struct Standing {
    /// Since when it gives samples without a break, by `CLOCK_BOOTTIME`.
    works_since_boot_ns: Option<u64>,
    refusal: Option<String>,
}

#[derive(Debug)]
struct State {
    standings: Vec<Standing>,
    chosen: Option<usize>,
    /// The source and the number of its sample that was given out last.
    given: Option<(usize, u64)>,
    number: u64,
}

/// A choice among sources.
pub struct Auto {
    /// Best first.
    candidates: Vec<Box<dyn TimeSource>>,
    state: Mutex<State>,
}

impl Auto {
    /// `candidates` stand best first.
    pub fn new(candidates: Vec<Box<dyn TimeSource>>) -> Self {
        let standings = candidates.iter().map(|_| Standing::default()).collect();
        let state = State { standings, chosen: None, given: None, number: 0 };
        Self { candidates, state: Mutex::new(state) }
    }

    /// Asks every candidate, so that why each is not used is known at any time.
    fn ask(&self, state: &mut State, now: RawTime) -> Vec<Option<Sample>> {
        let asked = self.candidates.iter().zip(&mut state.standings).map(|(candidate, standing)| {
            match candidate.sample(now) {
                Ok(sample) => {
                    standing.works_since_boot_ns.get_or_insert(now.boot_ns);
                    standing.refusal = None;
                    Some(sample)
                }
                Err(error) => {
                    *standing = Standing { works_since_boot_ns: None, refusal: Some(error.evidence) };
                    None
                }
            }
        });
        asked.collect()
    }

    fn nothing_works(&self, state: &State) -> SourceError {
        let each = self.refusals_in(state);
        let each: Vec<_> =
            each.iter().map(|refusal| format!("{}: {}", refusal.source, refusal.reason)).collect();
        SourceError::unsynchronised(format!(
            "no source of time can be used. {WHAT_TO_DO}. Asked were {}",
            each.join("; ")
        ))
    }

    fn refusals_in(&self, state: &State) -> Vec<Refusal> {
        let refused = self.candidates.iter().zip(&state.standings);
        let refused = refused.filter_map(|(candidate, standing)| {
            Some(Refusal { source: candidate.name(), reason: standing.refusal.clone()? })
        });
        refused.collect()
    }
}

impl TimeSource for Auto {
    /// That of the source in use.
    fn name(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.chosen.map_or_else(|| "auto".to_owned(), |chosen| self.candidates[chosen].name())
    }

    fn sample(&self, now: RawTime) -> Result<Sample, SourceError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = self.ask(&mut state, now);
        let kept = state.chosen.filter(|chosen| samples[*chosen].is_some());
        let eligible = |at: &usize| {
            let works_since = state.standings[*at].works_since_boot_ns;
            let is_settled = works_since.is_some_and(|since| now.boot_ns.saturating_sub(since) >= SETTLED_NS);
            samples[*at].is_some() && (kept.is_none_or(|kept| kept == *at) || is_settled)
        };
        state.chosen = (0..samples.len()).find(eligible);
        let Some((chosen, sample)) = state.chosen.and_then(|chosen| Some((chosen, samples[chosen]?))) else {
            return Err(self.nothing_works(&state));
        };
        if state.given != Some((chosen, sample.number)) {
            state.given = Some((chosen, sample.number));
            state.number += 1;
        }
        Ok(Sample { number: state.number, ..sample })
    }

    fn disturbed(&self, now: RawTime) {
        for candidate in &self.candidates {
            candidate.disturbed(now);
        }
    }

    fn refusals(&self) -> Vec<Refusal> {
        self.refusals_in(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Simulated, SimulatedTicks};

    struct Bench {
        ticks: SimulatedTicks,
        best: Simulated,
        second: Simulated,
        auto: Auto,
    }

    fn bench() -> Bench {
        let (best, second) = (Simulated::default(), Simulated::default());
        let auto = Auto::new(vec![Box::new(best.clone()), Box::new(second.clone())]);
        Bench { ticks: SimulatedTicks::starting_at(1_700_000_000_000_000_000), best, second, auto }
    }

    impl Bench {
        /// The uncertainty tells which source it came from.
        fn sample(&self) -> Result<Sample, SourceError> {
            self.auto.sample(self.ticks.read())
        }
    }

    #[test]
    fn the_first_that_gives_a_sample_is_used_and_why_others_are_not_is_told() {
        let bench = bench();
        let error = bench.sample().unwrap_err();
        assert!(error.evidence.contains("no sample") && error.evidence.contains("Install chrony"));
        assert!(error.evidence.contains("declared"));
        assert_eq!(bench.auto.name(), "auto");
        bench.second.set(bench.ticks.read(), 0, 2_000, 1);
        assert_eq!(bench.sample().unwrap().uncertainty_ns, 2_000);
        assert_eq!(bench.auto.name(), "simulated");
        assert_eq!(bench.auto.refusals().len(), 1);
    }

    #[test]
    fn a_source_that_fails_is_left_at_once_and_a_better_one_taken_once_it_settled() {
        let bench = bench();
        bench.best.set(bench.ticks.read(), 0, 1_000, 1);
        bench.second.set(bench.ticks.read(), 0, 2_000, 1);
        assert_eq!(bench.sample().unwrap().uncertainty_ns, 1_000);
        bench.best.lose();
        assert_eq!(bench.sample().unwrap().uncertainty_ns, 2_000);
        bench.best.set(bench.ticks.read(), 0, 1_000, 1);
        assert_eq!(bench.sample().unwrap().uncertainty_ns, 2_000);
        bench.ticks.advance(Duration::from_secs(29));
        assert_eq!(bench.sample().unwrap().uncertainty_ns, 2_000, "it has not settled");
        bench.ticks.advance(Duration::from_secs(1));
        assert_eq!(bench.sample().unwrap().uncertainty_ns, 1_000);
    }

    #[test]
    fn numbers_rise_across_sources_and_stand_while_nothing_is_new() {
        let bench = bench();
        // Both count from 1.
        bench.best.set(bench.ticks.read(), 0, 1_000, 1);
        bench.second.set(bench.ticks.read(), 0, 2_000, 1);
        let first = bench.sample().unwrap().number;
        assert_eq!(bench.sample().unwrap().number, first);
        bench.best.lose();
        let second = bench.sample().unwrap().number;
        bench.second.lose();
        bench.best.set(bench.ticks.read(), 0, 1_000, 1);
        let third = bench.sample().unwrap().number;
        assert!(first < second && second < third, "{first} {second} {third}");
    }
}
