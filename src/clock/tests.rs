//! The clock's laws, on raw clocks moved by hand, and the conformance suite of every source.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

const START: u64 = 1_700_000_000_000_000_000;
const OPTIONS: ClockOptions = ClockOptions { eps_max_ns: 1_000_000, growth_ppb: 50_000 };

/// A clock on hands, with its source.
struct Bench {
    ticks: SimulatedTicks,
    source: Simulated,
    clock: Clock,
}

fn bench() -> Bench {
    let (ticks, source) = (SimulatedTicks::starting_at(START), Simulated::default());
    source.set(ticks.read(), 0, 1_000, 50_000);
    let clock = Clock::simulated(OPTIONS, Arc::new(source.clone()), ticks.clone());
    Bench { ticks, source, clock }
}

/// The injection file in a folder of its own.
struct ControlFile {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn control_file() -> ControlFile {
    let folder = tempfile::tempdir().unwrap();
    ControlFile { path: folder.path().join("inject"), _folder: folder }
}

fn injected(file: &ControlFile, ticks: &SimulatedTicks) -> Clock {
    let declared = Declared::new(Duration::from_micros(100));
    let source = Injected::new(Box::new(declared), &file.path);
    Clock::simulated(OPTIONS, Arc::new(source), ticks.clone())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn look_again(clock: &Clock, ticks: &SimulatedTicks) -> Reading {
    ticks.advance(Duration::from_millis(11));
    clock.refresh();
    clock.now()
}

#[test]
fn an_honest_samples_interval_contains_true_time() {
    let bench = bench();
    // The wall clock is 400 ns slow; the source knows that within 1000 ns.
    bench.source.set(bench.ticks.read(), 300, 1_000, 50_000);
    bench.clock.refresh();
    for _ in 0..100 {
        bench.ticks.advance(Duration::from_millis(7));
        let now = bench.clock.now();
        let true_time = types_time(bench.ticks.read().realtime_ns + 400);
        assert!(now.interval.earliest <= true_time && true_time <= now.interval.latest);
        assert!(now.is_trusted());
    }
}

fn types_time(ns: u64) -> crate::types::Timestamp {
    crate::types::Timestamp(ns)
}

#[test]
fn uncertainty_grows_with_age_and_shrinks_only_on_a_new_sample() {
    let bench = bench();
    let width = || bench.clock.now().interval.uncertainty_ns();
    assert_eq!(width(), 1_000);
    bench.ticks.advance(seconds(2));
    assert_eq!(width(), 101_000, "50 ppm of 2 s on top");
    bench.clock.refresh();
    assert_eq!(width(), 101_000, "the same sample again does not make it younger");
    bench.source.set(bench.ticks.read(), 0, 1_000, 50_000);
    bench.clock.refresh();
    assert_eq!(width(), 1_000);
}

#[test]
fn a_clock_wider_than_eps_max_is_not_trusted() {
    let bench = bench();
    bench.ticks.advance(seconds(30));
    let fault = bench.clock.now().fault;
    assert_eq!(fault, Some(Fault::TooWide { uncertainty_ns: 1_501_000, eps_max_ns: 1_000_000 }));
    assert!(bench.clock.status().reason.unwrap().contains("eps_max"));
}

#[test]
fn a_step_of_the_wall_clock_is_noticed_at_once_and_until_a_newer_sample() {
    let bench = bench();
    bench.ticks.step(-5_000_000);
    assert_eq!(bench.clock.now().fault, Some(Fault::Stepped { by_ns: -5_000_000 }));
    bench.clock.refresh();
    bench.ticks.step(5_000_000);
    assert!(!bench.clock.now().is_trusted(), "stepping back proves nothing");
    bench.clock.refresh();
    bench.source.set(bench.ticks.read(), 0, 1_000, 50_000);
    bench.clock.refresh();
    assert!(bench.clock.now().is_trusted());
    assert!(bench.clock.status().last_step.is_some());
}

#[test]
fn the_sample_from_before_a_step_is_void() {
    let bench = bench();
    bench.ticks.step(5_000_000);
    for _ in 0..3 {
        bench.clock.refresh();
        assert!(matches!(bench.clock.now().fault, Some(Fault::Stepped { .. })));
    }
    assert!(matches!(bench.clock.status().state, ClockState::Untrusted(Fault::Stepped { .. })));
}

#[test]
fn a_step_before_the_first_sample_voids_nothing() {
    let (ticks, source) = (SimulatedTicks::starting_at(START), Simulated::default());
    let clock = Clock::simulated(OPTIONS, Arc::new(source.clone()), ticks.clone());
    assert!(!look_again(&clock, &ticks).is_trusted());
    ticks.step(-3_600_000_000_000);
    look_again(&clock, &ticks);
    source.set(ticks.read(), 0, 1_000, 50_000);
    assert!(look_again(&clock, &ticks).is_trusted());
    assert!(look_again(&clock, &ticks).is_trusted());
}

#[test]
fn a_step_within_what_the_source_declared_is_no_fault() {
    let bench = bench();
    bench.ticks.step(4_000);
    assert!(bench.clock.now().is_trusted());
}

#[test]
fn a_jump_of_the_boot_clock_is_untrusted_until_a_newer_sample() {
    let bench = bench();
    bench.ticks.suspend(seconds(9));
    let asleep = Some(Fault::Suspended { for_ns: 9_000_000_000 });
    assert_eq!(bench.clock.now().fault, asleep, "seen by the next look, before any refresh");
    for _ in 0..3 {
        bench.clock.refresh();
        assert_eq!(bench.clock.now().fault, asleep, "what was sampled before the sleep is void");
        bench.ticks.advance(seconds(1));
    }
    assert!(bench.clock.status().reason.unwrap().contains("suspended for 9000000000 ns"));
    bench.source.set(bench.ticks.read(), 0, 1_000, 50_000);
    bench.clock.refresh();
    assert!(bench.clock.now().is_trusted());
    assert_eq!(bench.clock.status().last_step.map(|step| step.fault), asleep);
}

#[test]
fn a_new_marker_of_the_hypervisor_is_untrusted_until_a_newer_sample() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmclock0");
    fs::write(&path, vmclock::tests::page(2, 7)).unwrap();
    let Bench { ticks, source, clock } = bench();
    let clock = clock.watching_vmclock(&path);
    clock.refresh();
    assert!(clock.now().is_trusted());
    fs::write(&path, vmclock::tests::page(4, 8)).unwrap();
    for _ in 0..3 {
        clock.refresh();
        assert_eq!(clock.now().fault, Some(Fault::Disrupted { marker: 8 }));
    }
    source.set(ticks.read(), 0, 1_000, 50_000);
    clock.refresh();
    assert!(clock.now().is_trusted());
    fs::write(&path, "no such page").unwrap();
    clock.refresh();
    assert!(clock.now().is_trusted(), "what cannot be read proves nothing");
    assert_eq!(clock.status().refused[0].source, "vmclock");
}

#[test]
fn a_clock_slewed_faster_than_any_correction_is_noticed() {
    let bench = bench();
    bench.clock.refresh();
    bench.ticks.slew(20_000_000);
    bench.clock.refresh();
    assert_eq!(bench.clock.now().fault, Some(Fault::Stepped { by_ns: 20_000_000 }));
}

/// Looks every 10 ms, as the keeper does, while the kernel slews by so much; gives how long that went unnoticed.
fn pushed_for(ppm: i64, longest: Duration) -> Option<Duration> {
    let bench = bench();
    let look = Duration::from_millis(10);
    for looks in 1..=u32::try_from(longest.as_millis() / look.as_millis()).unwrap() {
        bench.ticks.advance(look);
        bench.ticks.slew(ppm * 10);
        bench.clock.refresh();
        bench.source.set(bench.ticks.read(), 0, 1_000, 50_000);
        if let Some(Fault::Stepped { .. }) = bench.clock.now().fault {
            return Some(look * looks);
        }
    }
    None
}

#[test]
fn a_clock_that_is_pushed_by_little_at_a_time_is_noticed_once_it_adds_up() {
    assert_eq!(pushed_for(500, seconds(100)), None, "what kernels do");
    assert!(pushed_for(83_333, seconds(1)).is_some(), "chronyd's most");
    let took = pushed_for(3_000, seconds(100)).expect("noticed");
    assert!(took > seconds(4) && took < seconds(11), "{took:?}");
    assert!(pushed_for(-3_000, seconds(100)).is_some());
}

#[test]
fn a_source_without_a_sample_is_unsynchronised_with_evidence() {
    let bench = bench();
    bench.source.lose();
    bench.clock.refresh();
    assert_eq!(bench.clock.now().fault, Some(Fault::Unsynchronised));
    assert!(bench.clock.status().reason.unwrap().contains("no sample"));
}

#[test]
fn a_declared_bound_neither_ages_nor_grows() {
    let ticks = SimulatedTicks::starting_at(START);
    let declared = Declared::new(Duration::from_micros(100));
    let clock = Clock::simulated(OPTIONS, Arc::new(declared), ticks.clone());
    ticks.advance(seconds(100_000));
    assert_eq!(clock.now().interval.uncertainty_ns(), 100_000);
    assert!(clock.now().is_trusted());
}

#[test]
fn a_declared_bound_is_believed_again_once_the_clock_ran_undisturbed() {
    let ticks = SimulatedTicks::starting_at(START);
    let declared = Declared::new(Duration::from_micros(100));
    let clock = Clock::simulated(OPTIONS, Arc::new(declared), ticks.clone());
    ticks.step(1_000_000_000);
    clock.refresh();
    ticks.advance(seconds(20));
    clock.refresh();
    ticks.step(1_000_000_000);
    clock.refresh();
    ticks.advance(seconds(20));
    clock.refresh();
    assert!(!clock.now().is_trusted(), "the second step began the wait again");
    ticks.advance(seconds(10));
    clock.refresh();
    assert!(clock.now().is_trusted());
}

#[test]
fn an_injected_offset_is_a_lie_that_the_step_detector_does_not_see() {
    let (file, ticks) = (control_file(), SimulatedTicks::starting_at(START));
    let clock = injected(&file, &ticks);
    let honest = clock.now();
    fs::write(&file.path, "offset_ns=7000000\n").unwrap();
    let lying = look_again(&clock, &ticks);
    assert!(lying.is_trusted());
    assert_eq!(lying.interval.latest.ns_since(honest.interval.latest), 7_000_000 + 11_000_000);
    ticks.step(7_000_000);
    assert!(!clock.now().is_trusted(), "a step of the wall clock itself is seen all the same");
}

#[test]
fn an_injected_step_voids_what_was_sampled_and_counts_once_the_source_sampled_anew() {
    let (file, ticks) = (control_file(), SimulatedTicks::starting_at(START));
    let clock = injected(&file, &ticks);
    for (step_ns, by_ns) in [(-1_000_000_000, -1_000_000_000), (500_000_000, 1_500_000_000)] {
        fs::write(&file.path, format!("step_ns={step_ns}\n")).unwrap();
        assert_eq!(look_again(&clock, &ticks).fault, Some(Fault::Stepped { by_ns }));
        assert!(clock.status().reason.unwrap().contains("(injected)"));
        ticks.advance(seconds(DECLARED_QUIET.as_secs() - 1));
        assert!(!look_again(&clock, &ticks).is_trusted(), "what it said before is void");
        ticks.advance(seconds(1));
        let after = look_again(&clock, &ticks);
        assert!(after.is_trusted(), "{after:?}");
        let midpoint = types_time(ticks.read().realtime_ns.saturating_add_signed(step_ns));
        assert_eq!(after.interval, TimeInterval::around(midpoint, 100_000));
    }
}

#[test]
fn an_injected_drift_runs_from_where_it_was_read_and_a_bound_can_be_claimed() {
    let (file, ticks) = (control_file(), SimulatedTicks::starting_at(START));
    fs::write(&file.path, "# slow\ndrift_ppb=-1000000\nclaimed_uncertainty_ns=50\n").unwrap();
    let clock = injected(&file, &ticks);
    ticks.advance(seconds(3));
    clock.refresh();
    ticks.advance(seconds(1));
    let now = clock.now();
    assert_eq!(now.interval.uncertainty_ns(), 50);
    assert_eq!(now.interval.latest, types_time(ticks.read().realtime_ns - 4_000_000 + 50));
}

#[test]
fn a_removed_control_file_ends_the_lie() {
    let (file, ticks) = (control_file(), SimulatedTicks::starting_at(START));
    fs::write(&file.path, "offset_ns=7000000").unwrap();
    let clock = injected(&file, &ticks);
    fs::remove_file(&file.path).unwrap();
    let now = look_again(&clock, &ticks);
    assert_eq!(now.interval, TimeInterval::around(types_time(ticks.read().realtime_ns), 100_000));
}

#[test]
fn a_malformed_control_file_is_unreadable_with_evidence_until_mended() {
    let (file, ticks) = (control_file(), SimulatedTicks::starting_at(START));
    let clock = injected(&file, &ticks);
    for malformed in ["offset_ns=seven", "offset", "speed=3", "claimed_uncertainty_ns=-1"] {
        fs::write(&file.path, malformed).unwrap();
        assert_eq!(look_again(&clock, &ticks).fault, Some(Fault::Unreadable), "{malformed}");
        let reason = clock.status().reason.unwrap();
        assert!(reason.contains(malformed) && reason.contains("line 1"), "{reason}");
        fs::write(&file.path, "offset_ns = 5").unwrap();
        assert!(look_again(&clock, &ticks).is_trusted());
    }
}

#[test]
fn the_operating_systems_clocks_are_read_cheaply_and_rise() {
    let clock = Clock::new(OPTIONS, Arc::new(Declared::new(Duration::from_micros(100))));
    let (started, rounds) = (Instant::now(), 100_000_u32);
    let mut last = clock.now();
    for _ in 0..rounds {
        let now = clock.now();
        assert!(now.monotonic >= last.monotonic);
        last = now;
    }
    assert!(last.is_trusted());
    // 100 ns in a release build on an idle machine; this only catches a system call or a lock.
    assert!(started.elapsed() / rounds < Duration::from_micros(5), "{:?}", started.elapsed() / rounds);
}

#[test]
fn a_keeper_refreshes_until_it_is_dropped() {
    let clock = Arc::new(Clock::new(OPTIONS, Arc::new(Declared::new(Duration::from_micros(100)))));
    let keeper = ClockKeeper::start(Arc::clone(&clock)).unwrap();
    drop(keeper);
    assert_eq!(Arc::strong_count(&clock), 1, "its thread is gone");
}
