//! The laws of the chrony source: what a report is worth, and a chronyd on loopback played by the test.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::packet::testing::{RECORDED_SEQUENCE, answer, recorded};
use super::packet::{LeapStatus, PACKET_BYTES, Tracking, parse, question};
use super::*;
use crate::clock::source::{Leap, STEP_TOLERANCE_NS_MIN, Sample, SourceError, TimeSource};
use crate::clock::{RawTime, SimulatedTicks};

const START: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn tracking() -> Tracking {
    Tracking {
        reference_id: 0xC000_0201,
        leap: LeapStatus::Normal,
        reference_time_ns: START - 10 * SECOND,
        correction_s: 0.000_125,
        residual_ppm: 0.25,
        skew_ppm: 2.0,
        root_delay_s: 0.001,
        root_dispersion_s: 0.002,
        update_interval_s: 64.0,
    }
}

fn at_start() -> RawTime {
    RawTime { realtime_ns: START, monotonic_ns: 7, boot_ns: 7 }
}

fn refused(tracking: &Tracking) -> String {
    tracking.bound(at_start()).unwrap_err().evidence
}

#[test]
fn a_recorded_answer_reads_as_chronyc_showed_it() {
    let tracking = parse(&recorded(), RECORDED_SEQUENCE).unwrap().unwrap();
    assert_eq!((tracking.reference_id, tracking.leap), (0x7F00_0001, LeapStatus::Normal));
    assert_eq!(tracking.reference_time_ns, 1_795_575_549_781_310_321);
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}, {expected}");
    close(tracking.correction_s, -1.264_044_726e-6);
    close(tracking.residual_ppm, 7.797_988_655e-5);
    close(tracking.skew_ppm, 0.036_155_492_067_337);
    close(tracking.root_delay_s, 5.732_999_852e-6);
    close(tracking.root_dispersion_s, 1.019_068_349e-6);
    close(tracking.update_interval_s, 0.063_195_191_323_757);
}

#[test]
fn an_answer_is_read_back_as_it_was_made_and_only_by_its_question() {
    let made = tracking();
    assert_eq!(parse(&answer(&made, 5), 6), Ok(None));
    let read = parse(&answer(&made, 5), 5).unwrap().unwrap();
    let pairs = [
        (made.correction_s, read.correction_s),
        (made.skew_ppm, read.skew_ppm),
        (made.root_dispersion_s, read.root_dispersion_s),
        (made.update_interval_s, read.update_interval_s),
    ];
    for (made, read) in pairs {
        assert!(read >= made && read <= made * (1.0 + 1e-6), "{made} {read}");
    }
    assert_eq!(question(5).len(), PACKET_BYTES);
}

#[test]
fn no_bytes_make_the_reader_panic_and_malformed_ones_say_what_they_are() {
    let whole = recorded();
    for len in 0..PACKET_BYTES {
        assert!(parse(&whole[..len], RECORDED_SEQUENCE).unwrap_err().contains(&format!("{len} bytes")));
    }
    for at in 0..PACKET_BYTES {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut changed = whole.clone();
            changed[at] = value;
            if let Ok(Some(tracking)) = parse(&changed, RECORDED_SEQUENCE) {
                let _ = tracking.bound(at_start());
            }
        }
    }
    for (at, value, word) in
        [(0, 5, "protocol 5"), (9, 2, "status 2"), (7, 4, "reply 4"), (55, 4, "leap status 4")]
    {
        let mut changed = whole.clone();
        changed[at] = value;
        assert!(parse(&changed, RECORDED_SEQUENCE).unwrap_err().contains(word), "{word}");
    }
}

#[test]
fn the_bound_is_root_distance_and_what_is_still_corrected() {
    let bound = tracking().bound(at_start()).unwrap();
    // Rounded up, each.
    assert_eq!(bound.error_ns, 500_000 + 2_000_000 + 125_000 + 1);
    assert_eq!(bound.growth_ppb, 2_250 + 1);
    let behind = Tracking { correction_s: -0.000_125, residual_ppm: -0.25, ..tracking() };
    assert_eq!(behind.bound(at_start()).unwrap(), bound, "signs only say which way");
    assert!(refused(&Tracking { skew_ppm: -1.0, ..tracking() }).contains("at least 0"));
}

#[test]
fn chronyd_in_local_mode_is_refused() {
    for local in [0x7F7F_0101, 0x7F7F_01FF] {
        let text = refused(&Tracking { reference_id: local, ..tracking() });
        assert!(text.contains("is in local mode") && text.contains("server, pool or refclock"), "{text}");
    }
    assert!(tracking().bound(at_start()).is_ok());
}

#[test]
fn chronyd_that_is_not_synchronised_is_refused() {
    assert!(
        refused(&Tracking { leap: LeapStatus::NotSynchronised, ..tracking() }).contains("not synchronised")
    );
    assert!(refused(&Tracking { reference_id: 0, ..tracking() }).contains("not synchronised"));
}

#[test]
fn a_reference_older_than_eight_intervals_is_refused() {
    let aged = |update_interval_s: f64, age_s: u64| Tracking {
        update_interval_s,
        reference_time_ns: START - age_s * SECOND,
        ..tracking()
    };
    assert!(aged(128.0, 1_024).bound(at_start()).is_ok());
    assert!(refused(&aged(128.0, 1_026)).contains("expected within 1024 s"));
    assert!(aged(0.0, 512).bound(at_start()).is_ok(), "the first interval is 0");
    assert!(refused(&aged(0.0, 513)).contains("no longer answer"));
    let ahead = Tracking { reference_time_ns: START + 2 * SECOND, ..tracking() };
    assert!(refused(&ahead).contains("set back"));
}

#[test]
fn a_leap_second_that_chronyd_expects_is_passed_on() {
    let leap = |leap| Tracking { leap, ..tracking() }.bound(at_start()).unwrap().leap;
    assert_eq!(leap(LeapStatus::InsertSecond), Leap::Insert);
    assert_eq!(leap(LeapStatus::DeleteSecond), Leap::Delete);
    assert_eq!(leap(LeapStatus::Normal), Leap::None);
}

/// The answer of an honest chronyd to a question, now.
pub(in crate::clock::sources) fn answer_to(asked: &[u8], now: RawTime) -> Vec<u8> {
    let sequence = u32::from_be_bytes(asked[8..12].try_into().unwrap());
    answer(&Tracking { reference_time_ns: now.realtime_ns, ..tracking() }, sequence)
}

/// A chronyd played by the test, and the source that asks it.
struct Bench {
    daemon: UdpSocket,
    ticks: SimulatedTicks,
    source: Chrony,
}

fn bench() -> Bench {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let source = Chrony::new(daemon.local_addr().unwrap());
    let ticks = SimulatedTicks::starting_at(START - 100 * SECOND);
    ticks.advance(Duration::from_secs(100));
    Bench { daemon, ticks, source }
}

impl Bench {
    fn sample(&self) -> Result<Sample, SourceError> {
        self.source.sample(self.ticks.read())
    }

    /// Receives one question: its number and who asked.
    fn question(&self) -> (u32, SocketAddr) {
        let mut bytes = [0; 2 * PACKET_BYTES];
        let (len, from) = self.daemon.recv_from(&mut bytes).unwrap();
        let sequence = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
        assert_eq!(bytes[..len], question(sequence));
        (sequence, from)
    }

    /// Answers the next question, and gives what the source then says. The datagram is awaited.
    fn answered(&self, tracking: &Tracking) -> Result<Sample, SourceError> {
        // It asks; what it says before it is answered does not matter here.
        let _ = self.sample();
        let (sequence, from) = self.question();
        self.daemon.send_to(&answer(tracking, sequence), from).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let said = self.sample();
            if !self.source.is_waiting() {
                return said;
            }
            assert!(Instant::now() < deadline, "the answer is read");
        }
    }
}

#[test]
fn chronyd_is_asked_once_a_second_and_ages_count_from_the_question() {
    let bench = bench();
    let asked_boot_ns = bench.ticks.read().boot_ns;
    let first = bench.answered(&tracking()).unwrap();
    assert_eq!(first.at_boot_ns, asked_boot_ns);
    let bound_ns = 2_625_000 + STEP_TOLERANCE_NS_MIN;
    assert!((bound_ns..bound_ns + 10).contains(&first.uncertainty_ns), "{first:?}");
    bench.ticks.advance(Duration::from_millis(999));
    assert_eq!(bench.sample(), Ok(first));
    bench.ticks.advance(Duration::from_millis(1));
    assert!(bench.answered(&tracking()).unwrap().number > first.number);
    bench.daemon.set_nonblocking(true).unwrap();
    assert!(bench.daemon.recv(&mut [0; 8]).is_err(), "two questions, no more");
}

#[test]
fn a_silent_chronyd_is_believed_for_five_seconds_and_asked_again() {
    let bench = bench();
    let last = bench.answered(&tracking()).unwrap();
    for _ in 0..5 {
        bench.ticks.advance(Duration::from_secs(1));
        assert_eq!(bench.sample(), Ok(last));
    }
    bench.ticks.advance(Duration::from_millis(1));
    let error = bench.sample().unwrap_err();
    assert!(error.evidence.contains("did not answer within 500 ms"), "{}", error.evidence);
}

#[test]
fn a_late_answer_to_an_earlier_question_does_not_count() {
    let bench = bench();
    assert!(bench.sample().is_err());
    let (early, from) = bench.question();
    bench.ticks.advance(Duration::from_millis(1_001));
    assert!(bench.sample().is_err());
    let (sequence, _) = bench.question();
    bench.daemon.send_to(&answer(&Tracking { root_delay_s: 0.0, ..tracking() }, early), from).unwrap();
    bench.daemon.send_to(&answer(&tracking(), sequence), from).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let sample = loop {
        match bench.sample() {
            Ok(sample) => break sample,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert!(sample.uncertainty_ns > 2_600_000, "{sample:?}");
}

#[test]
fn nobody_listening_is_told_with_what_to_do() {
    let bench = bench();
    let address = bench.daemon.local_addr().unwrap();
    drop(bench.daemon);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let evidence = bench.source.sample(bench.ticks.read()).unwrap_err().evidence;
        if evidence.contains("cannot be asked") {
            assert!(evidence.contains(&address.to_string()) && evidence.contains("systemctl start chrony"));
            return;
        }
        assert!(Instant::now() < deadline, "{evidence}");
    }
}

#[test]
fn after_a_jump_chronyd_must_compare_its_clock_again() {
    let bench = bench();
    bench.answered(&tracking()).unwrap();
    bench.source.disturbed(bench.ticks.read());
    for _ in 0..3 {
        assert!(bench.answered(&tracking()).unwrap_err().evidence.contains("since it jumped"));
        bench.ticks.advance(Duration::from_secs(1));
    }
    let compared = Tracking { reference_time_ns: START + SECOND, ..tracking() };
    assert!(bench.answered(&compared).is_ok());
    bench.source.disturbed(bench.ticks.read());
    assert!(bench.answered(&compared).is_err(), "each jump counts anew");
}

#[test]
fn a_refusal_follows_at_once_and_names_chronyd() {
    let bench = bench();
    bench.answered(&tracking()).unwrap();
    bench.ticks.advance(Duration::from_secs(1));
    let lost = Tracking { leap: LeapStatus::NotSynchronised, ..tracking() };
    let evidence = bench.answered(&lost).unwrap_err().evidence;
    assert!(evidence.starts_with("chronyd at 127.0.0.1:"), "{evidence}");
}
