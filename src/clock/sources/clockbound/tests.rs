//! The laws of the ClockBound source, on segments written here as the daemon writes them.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::segment::{MAGIC, SEGMENT_BYTES, VERSION};
use super::*;
use crate::clock::source::{STEP_TOLERANCE_NS_MIN, Sample, SourceError, TimeSource};
use crate::clock::{Clock, ClockOptions, Fault, RawTime, SimulatedTicks};

const START: u64 = 1_700_000_000_000_000_000;
const BOUND_NS: u64 = 40_000;
const DRIFT_PPB: u64 = 60_000;
/// `CLOCK_MONOTONIC` when a bench is made.
const UPTIME: Duration = Duration::from_secs(100);

/// What the daemon says, before it is bytes.
#[derive(Clone, Copy)]
struct Message {
    as_of_ns: u64,
    void_after_ns: u64,
    bound_ns: i64,
    drift_ppb: u32,
    status: i32,
    generation: u16,
}

impl Message {
    /// All is well.
    fn of(now: RawTime) -> Self {
        Self {
            as_of_ns: now.monotonic_ns,
            void_after_ns: now.monotonic_ns + 1_000_000_000_000,
            bound_ns: BOUND_NS.cast_signed(),
            drift_ppb: DRIFT_PPB as u32,
            status: 1,
            generation: 2,
        }
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC[0].to_ne_bytes());
        bytes.extend(MAGIC[1].to_ne_bytes());
        bytes.extend((SEGMENT_BYTES as u32).to_ne_bytes());
        bytes.extend(VERSION.to_ne_bytes());
        bytes.extend(self.generation.to_ne_bytes());
        for moment_ns in [self.as_of_ns, self.void_after_ns] {
            bytes.extend((moment_ns / 1_000_000_000).cast_signed().to_ne_bytes());
            bytes.extend((moment_ns % 1_000_000_000).cast_signed().to_ne_bytes());
        }
        bytes.extend(self.bound_ns.to_ne_bytes());
        bytes.extend(0_u64.to_ne_bytes());
        bytes.extend(self.drift_ppb.to_ne_bytes());
        bytes.extend(self.status.to_ne_bytes());
        bytes.resize(SEGMENT_BYTES, 0);
        bytes
    }
}

/// A good message, now.
pub(in crate::clock::sources) fn message_at(now: RawTime) -> Vec<u8> {
    Message::of(now).bytes()
}

struct Bench {
    folder: tempfile::TempDir,
    ticks: SimulatedTicks,
    source: Arc<ClockBound>,
}

/// A machine with a ClockBound that this node has looked at once.
fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let ticks = SimulatedTicks::starting_at(START);
    ticks.advance(UPTIME);
    let options = ClockBoundOptions { path: folder.path().join("shm0"), ..ClockBoundOptions::default() };
    let bench = Bench { folder, ticks, source: Arc::new(ClockBound::new(options)) };
    bench.write(&bench.message());
    assert!(bench.sample().is_ok(), "as-of is the very moment of the first look");
    bench
}

impl Bench {
    fn path(&self) -> PathBuf {
        self.folder.path().join("shm0")
    }

    fn message(&self) -> Message {
        Message::of(self.ticks.read())
    }

    fn write(&self, message: &Message) {
        fs::write(self.path(), message.bytes()).unwrap();
    }

    fn sample(&self) -> Result<Sample, SourceError> {
        self.source.sample(self.ticks.read())
    }

    fn refusal(&self) -> SourceError {
        let error = self.sample().expect_err("it is refused");
        assert!(error.evidence.contains("shm0"), "the evidence names the file: {}", error.evidence);
        error
    }

    fn clock(&self) -> Clock {
        let options = ClockOptions { eps_max_ns: 10_000_000, growth_ppb: 50_000 };
        Clock::simulated(options, Arc::clone(&self.source) as _, self.ticks.clone())
    }
}

#[test]
fn each_status_has_its_effect() {
    let bench = bench();
    let clock = bench.clock();
    for (status, is_usable, word) in [
        (0, false, "Unknown"),
        (1, true, ""),
        (3, false, "Disrupted"),
        (2, true, ""),
        (4, false, "status 4"),
        (-1, false, "status -1"),
    ] {
        bench.ticks.advance(Duration::from_secs(1));
        bench.write(&Message { status, ..bench.message() });
        clock.refresh();
        assert_eq!(clock.now().is_trusted(), is_usable, "status {status}");
        let reason = clock.status().reason.unwrap_or_default();
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn the_bound_counts_from_as_of_and_grows_by_the_daemons_drift() {
    let bench = bench();
    let clock = bench.clock();
    let message = bench.message();
    bench.ticks.advance(Duration::from_secs(2));
    bench.write(&Message { bound_ns: 70_000, ..message });
    clock.refresh();
    let expected_ns = 70_000 + STEP_TOLERANCE_NS_MIN + 2 * DRIFT_PPB;
    assert_eq!(clock.now().interval.uncertainty_ns(), expected_ns);
    assert_eq!(clock.status().age_ns, 2_000_000_000);
}

#[test]
fn a_message_is_one_sample_however_often_it_is_read() {
    let bench = bench();
    let first = bench.sample().unwrap();
    bench.ticks.advance(Duration::from_millis(10));
    assert_eq!(bench.sample().unwrap(), first);
    bench.write(&bench.message());
    assert!(bench.sample().unwrap().number > first.number);
}

#[test]
fn a_message_past_its_void_after_is_stale() {
    let bench = bench();
    let void_after_ns = bench.ticks.read().monotonic_ns + 3_000_000_000;
    bench.write(&Message { void_after_ns, ..bench.message() });
    bench.ticks.advance(Duration::from_millis(2_999));
    assert!(bench.sample().is_ok());
    bench.ticks.advance(Duration::from_millis(1));
    assert!(bench.refusal().evidence.contains("stale"));
}

#[test]
fn what_was_written_before_the_first_look_is_not_believed() {
    let bench = bench();
    let options = ClockBoundOptions { path: bench.path(), ..ClockBoundOptions::default() };
    bench.ticks.advance(Duration::from_millis(300));
    let late = ClockBound::new(options);
    let error = late.sample(bench.ticks.read()).unwrap_err();
    assert!(error.evidence.contains("written 300 ms before"), "{}", error.evidence);
    bench.ticks.advance(Duration::from_millis(700));
    bench.write(&bench.message());
    assert!(late.sample(bench.ticks.read()).is_ok());
}

#[test]
fn a_message_from_the_future_is_another_boots() {
    let bench = bench();
    let as_of_ns = bench.ticks.read().monotonic_ns + 60_000_000_000;
    bench.write(&Message { as_of_ns, void_after_ns: u64::MAX / 2, ..bench.message() });
    assert!(bench.refusal().evidence.contains("another boot"));
}

#[test]
fn after_a_jump_only_what_is_written_well_after_it_is_believed() {
    let bench = bench();
    bench.source.disturbed(bench.ticks.read());
    bench.ticks.advance(Duration::from_secs(31));
    bench.write(&bench.message());
    assert!(bench.refusal().evidence.contains("after a jump"));
    bench.ticks.advance(Duration::from_secs(1));
    assert!(bench.sample().is_err(), "the message is still the one from before");
    bench.write(&bench.message());
    assert!(bench.sample().is_ok());
}

#[test]
fn ages_are_right_after_a_sleep() {
    let bench = bench();
    bench.ticks.suspend(Duration::from_secs(500));
    bench.source.disturbed(bench.ticks.read());
    bench.ticks.advance(Duration::from_secs(40));
    bench.write(&bench.message());
    bench.ticks.advance(Duration::from_secs(3));
    let sample = bench.sample().unwrap();
    assert_eq!(bench.ticks.read().boot_ns - sample.at_boot_ns, 3_000_000_000);
}

#[test]
fn a_drift_no_crystal_keeps_is_refused_unless_told() {
    let bench = bench();
    bench.write(&Message { drift_ppb: 9_999, ..bench.message() });
    assert!(bench.refusal().evidence.contains("clock.clockbound_drift_ppb_min"));
    let told = ClockBoundOptions { path: bench.path(), drift_ppb_min: 9_999 };
    assert!(ClockBound::new(told).sample(bench.ticks.read()).is_ok());
    bench.write(&Message { drift_ppb: 1_000_000_000, ..bench.message() });
    assert!(bench.refusal().evidence.contains("1000000000 ppb"));
}

#[test]
fn every_shorter_file_is_truncated_and_says_so() {
    let bench = bench();
    let whole = bench.message().bytes();
    for len in 0..SEGMENT_BYTES {
        fs::write(bench.path(), &whole[..len]).unwrap();
        let error = bench.refusal();
        assert_eq!(error.fault, Fault::Unreadable);
        assert!(error.evidence.contains(&format!("{len} bytes, expected 80")), "{}", error.evidence);
    }
    fs::write(bench.path(), &whole).unwrap();
    assert!(bench.sample().is_ok(), "whole again, believed again");
    fs::write(bench.path(), [&whole[..], &[7; 100]].concat()).unwrap();
    assert!(bench.sample().is_ok(), "what stands behind the segment is no part of it");
}

#[test]
fn another_magic_version_or_field_out_of_range_is_refused_by_name() {
    let bench = bench();
    let whole = bench.message().bytes();
    for (at, bytes, word) in [
        (0, vec![1], "not a ClockBound segment"),
        (7, vec![1], "not a ClockBound segment"),
        (12, 1_u16.to_ne_bytes().to_vec(), "version 1, expected 2"),
        (12, 3_u16.to_ne_bytes().to_vec(), "version 3, expected 2"),
        (14, vec![0, 0], "generation 0"),
        (8, 79_u32.to_ne_bytes().to_vec(), "truncated"),
        (24, 1_000_000_000_i64.to_ne_bytes().to_vec(), "as-of"),
        (16, (-1_i64).to_ne_bytes().to_vec(), "as-of"),
        (16, i64::MAX.to_ne_bytes().to_vec(), "as-of"),
        (40, (-1_i64).to_ne_bytes().to_vec(), "void-after"),
        (48, (-1_i64).to_ne_bytes().to_vec(), "bound of -1 ns"),
    ] {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(bench.path(), changed).unwrap();
        let error = bench.refusal();
        assert!(error.evidence.contains(word), "{word}: {}", error.evidence);
    }
}

#[test]
fn no_byte_of_the_file_makes_it_panic() {
    let bench = bench();
    let whole = bench.message().bytes();
    for at in 0..SEGMENT_BYTES {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut changed = whole.clone();
            changed[at] = value;
            fs::write(bench.path(), changed).unwrap();
            let sampled = bench.sample();
            assert!(
                sampled.is_ok_and(|sample| sample.at_boot_ns <= bench.ticks.read().boot_ns)
                    || bench.sample().is_err()
            );
        }
    }
}

#[test]
fn a_write_under_way_keeps_the_last_sample_and_one_that_never_ends_is_torn() {
    let bench = bench();
    let last = bench.sample().unwrap();
    bench.write(&Message { generation: 3, bound_ns: 1, ..bench.message() });
    bench.ticks.advance(Duration::from_millis(100));
    assert_eq!(bench.sample().unwrap(), last);
    bench.ticks.advance(Duration::from_millis(1));
    assert!(bench.refusal().evidence.contains("torn"));
    bench.write(&Message { generation: 4, ..bench.message() });
    assert!(bench.sample().is_ok());
}

#[test]
fn a_file_deleted_replaced_or_that_is_none_is_told_and_found_again() {
    let bench = bench();
    fs::remove_file(bench.path()).unwrap();
    let error = bench.refusal();
    assert!(error.fault == Fault::Unreadable && error.evidence.contains("start the ClockBound daemon"));
    fs::create_dir(bench.path()).unwrap();
    bench.refusal();
    fs::remove_dir(bench.path()).unwrap();
    bench.write(&bench.message());
    let before = bench.sample().unwrap();
    // As a daemon does that starts anew: another file takes the name.
    let beside = bench.folder.path().join("shm0.new");
    fs::write(&beside, Message { bound_ns: 50_000, ..bench.message() }.bytes()).unwrap();
    fs::rename(&beside, bench.path()).unwrap();
    let after = bench.sample().unwrap();
    assert!(after.number > before.number);
    assert_eq!(after.uncertainty_ns, 50_000 + STEP_TOLERANCE_NS_MIN);
}

#[test]
fn a_reader_beside_a_writer_sees_only_whole_messages() {
    let bench = bench();
    let (path, done) = (bench.path(), Arc::new(AtomicBool::new(false)));
    let (message, stop) = (bench.message(), Arc::clone(&done));
    // The bound says which drift belongs to it.
    let writer = thread::spawn(move || {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let mut generation = message.generation;
        let mut round = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            round = (round + 1) % 1_000;
            let next = Message { bound_ns: round.into(), drift_ppb: 10_000 + round, ..message };
            let bytes = next.bytes();
            generation = generation.checked_add(2).unwrap_or(2);
            file.write_all_at(&(generation - 1).to_ne_bytes(), 14).unwrap();
            file.write_all_at(&bytes[64..72], 64).unwrap();
            file.write_all_at(&bytes[16..56], 16).unwrap();
            file.write_all_at(&generation.to_ne_bytes(), 14).unwrap();
        }
    });
    let mut seen = 0;
    while seen < 2_000 {
        let Ok(sample) = bench.sample() else { continue };
        if sample.growth_ppb == DRIFT_PPB {
            continue;
        }
        seen += 1;
        assert_eq!(sample.growth_ppb - 10_000, sample.uncertainty_ns - STEP_TOLERANCE_NS_MIN, "torn");
    }
    done.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}
