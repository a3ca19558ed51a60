//! The conformance suite of every source, and the laws of the kernel's.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::chrony::tests::answer_to;
use super::clockbound::tests::message_at;
use super::*;
use crate::clock::source::{Leap, STEP_TOLERANCE_NS_MIN, TimeSource};
use crate::clock::{Clock, ClockOptions, Fault, SimulatedTicks};
use crate::timex::KernelClock;

const START: u64 = 1_700_000_000_000_000_000;

/// What every source owes, honest reference or not. `renew` is what happens in the world between two looks.
fn conforms(source: &dyn TimeSource, ticks: &SimulatedTicks, renew: impl Fn()) {
    let awaited = || {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            renew();
            match source.sample(ticks.read()) {
                Ok(sample) => return sample,
                Err(error) => assert!(Instant::now() < deadline, "it is synchronised: {error}"),
            }
        }
    };
    let first = awaited();
    ticks.advance(Duration::from_millis(1_011));
    let second = awaited();
    assert!(second.number >= first.number, "numbers never fall");
    assert!(second.at_boot_ns <= ticks.read().boot_ns, "no sample is from the future");
    assert!(second.number > first.number || second.uncertainty_ns >= first.uncertainty_ns, "I8");
    assert!(!source.name().is_empty());
    source.disturbed(ticks.read());
    renew();
    let after = source.sample(ticks.read());
    assert!(after.is_err_and(|error| !error.evidence.is_empty()), "what was sampled before is void");
}

fn ticks() -> SimulatedTicks {
    let ticks = SimulatedTicks::starting_at(START);
    ticks.advance(Duration::from_secs(1_000));
    ticks
}

fn declared() -> Box<dyn TimeSource> {
    Box::new(Declared::new(Duration::from_micros(100)))
}

#[test]
fn the_simulated_source_conforms() {
    let (ticks, simulated) = (ticks(), Simulated::default());
    simulated.set(ticks.read(), 0, 1_000, 50_000);
    conforms(&simulated, &ticks, || ());
}

#[test]
fn the_declared_source_conforms() {
    conforms(&*declared(), &ticks(), || ());
}

#[test]
fn the_injected_source_conforms_with_a_lie_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inject");
    conforms(&Injected::new(declared(), &file), &ticks(), || ());
    let lie = || fs::write(&file, "claimed_uncertainty_ns=5").unwrap();
    conforms(&Injected::new(declared(), &file), &ticks(), lie);
}

#[test]
fn the_clockbound_source_conforms() {
    let (folder, ticks) = (tempfile::tempdir().unwrap(), ticks());
    let path = folder.path().join("shm0");
    let source = ClockBound::new(ClockBoundOptions { path: path.clone(), ..ClockBoundOptions::default() });
    conforms(&source, &ticks, || fs::write(&path, message_at(ticks.read())).unwrap());
}

#[test]
fn the_chrony_source_conforms() {
    let (daemon, ticks) = (UdpSocket::bind("127.0.0.1:0").unwrap(), ticks());
    daemon.set_nonblocking(true).unwrap();
    let source = Chrony::new(daemon.local_addr().unwrap());
    conforms(&source, &ticks, || {
        let mut bytes = [0; 256];
        if let Ok((len, from)) = daemon.recv_from(&mut bytes) {
            daemon.send_to(&answer_to(&bytes[..len], ticks.read()), from).unwrap();
        }
    });
}

#[test]
fn the_kernel_source_conforms() {
    conforms(&Played::new().source(), &ticks(), || ());
}

#[test]
fn the_choice_among_sources_conforms() {
    let (ticks, best) = (ticks(), Simulated::default());
    let auto = Auto::new(vec![Box::new(best.clone()), Box::new(Played::new().source())]);
    conforms(&auto, &ticks, || {
        if ticks.read().boot_ns < 1_001_000_000_000 {
            best.set(ticks.read(), 0, 1_000, 50_000);
        } else {
            best.lose();
        }
    });
}

/// What the kernel is played to say.
#[derive(Clone)]
struct Played(Arc<Mutex<KernelClock>>);

const SYNCHRONISED: KernelClock = KernelClock {
    maxerror_us: 1_500,
    offset_ns: -2_000,
    is_unsynchronised: false,
    leap_insert: false,
    leap_delete: false,
};

impl Played {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(SYNCHRONISED)))
    }

    fn say(&self, clock: KernelClock) {
        *self.0.lock().unwrap() = clock;
    }

    fn source(&self) -> Kernel {
        let says = Arc::clone(&self.0);
        Kernel::asking(Some("chronyd".to_owned()), 50_000, Box::new(move || Ok(*says.lock().unwrap())))
    }
}

#[test]
fn the_kernels_bound_is_maxerror_what_it_still_corrects_and_the_second_under_way() {
    let sample = Played::new().source().sample(ticks().read()).unwrap();
    assert_eq!(sample.uncertainty_ns, 1_500_000 + 2_000 + 50_000 + 1_000 + STEP_TOLERANCE_NS_MIN);
    assert_eq!((sample.growth_ppb, sample.leap), (50_000, Leap::None));
}

#[test]
fn a_writer_of_maxerror_0_is_refused() {
    let (kernel, ticks) = (Played::new(), ticks());
    let source = kernel.source();
    kernel.say(KernelClock { maxerror_us: 0, ..SYNCHRONISED });
    let evidence = source.sample(ticks.read()).unwrap_err().evidence;
    assert!(
        evidence.contains("maxerror = 0") && evidence.contains("systemd-timesyncd and linuxptp"),
        "{evidence}"
    );
    kernel.say(SYNCHRONISED);
    ticks.advance(Duration::from_secs(1));
    assert!(source.sample(ticks.read()).is_ok());
}

#[test]
fn a_kernel_that_nobody_synchronises_or_attests_is_refused() {
    let (kernel, ticks) = (Played::new(), ticks());
    kernel.say(KernelClock { is_unsynchronised: true, ..SYNCHRONISED });
    assert!(kernel.source().sample(ticks.read()).unwrap_err().evidence.contains("STA_UNSYNC"));
    let unattested = Kernel::asking(None, 50_000, Box::new(|| Ok(SYNCHRONISED)));
    assert!(unattested.sample(ticks.read()).unwrap_err().evidence.contains("clock.kernel_attested"));
    let forbidden =
        Kernel::asking(Some("ntpd".into()), 50_000, Box::new(|| Err(io::ErrorKind::PermissionDenied.into())));
    assert_eq!(forbidden.sample(ticks.read()).unwrap_err().fault, Fault::Unreadable);
}

#[test]
fn after_a_jump_the_kernel_is_believed_once_maxerror_has_fallen() {
    let (kernel, ticks) = (Played::new(), ticks());
    let source = kernel.source();
    assert!(source.sample(ticks.read()).is_ok());
    source.disturbed(ticks.read());
    for maxerror_us in [2_000, 2_500, 3_000, 3_000] {
        kernel.say(KernelClock { maxerror_us, ..SYNCHRONISED });
        assert!(source.sample(ticks.read()).unwrap_err().evidence.contains("since the clock jumped"));
        ticks.advance(Duration::from_secs(1));
    }
    kernel.say(KernelClock { maxerror_us: 2_900, ..SYNCHRONISED });
    assert!(source.sample(ticks.read()).is_ok());
}

#[test]
fn the_kernels_leap_second_is_passed_on() {
    let kernel = Played::new();
    for (leap_insert, leap_delete, leap) in
        [(true, false, Leap::Insert), (false, true, Leap::Delete), (false, false, Leap::None)]
    {
        kernel.say(KernelClock { leap_insert, leap_delete, ..SYNCHRONISED });
        let clock = Clock::simulated(ClockOptions::default(), Arc::new(kernel.source()), ticks());
        assert_eq!(clock.status().leap, leap);
        assert!(clock.now().is_trusted(), "it is shown, no more");
    }
}

#[test]
fn a_machine_without_any_source_is_not_trusted_and_told_what_to_do() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = SourceOptions {
        clockbound: ClockBoundOptions { path: folder.path().join("shm0"), ..ClockBoundOptions::default() },
        chrony_address: nobody,
        vmclock_path: folder.path().join("vmclock0"),
        ..SourceOptions::default()
    };
    let clock = options.clock(ClockOptions::default(), None);
    assert_eq!(clock.now().fault, Some(Fault::Unsynchronised));
    let status = clock.status();
    let reason = status.reason.unwrap();
    for word in
        ["clockbound: ", "chrony: ", "kernel: ", "apt-get install chrony", "clock.source = \"declared\""]
    {
        assert!(reason.contains(word), "{word}: {reason}");
    }
    let sources: Vec<_> = status.refused.iter().map(|refusal| refusal.source.as_str()).collect();
    assert_eq!(sources, ["clockbound", "chrony", "kernel"]);
}

#[test]
fn a_declared_clock_says_so() {
    let clock = SourceOptions::declared(Duration::from_millis(2)).clock(ClockOptions::default(), None);
    assert_eq!((clock.status().source.as_str(), clock.status().uncertainty_ns), ("declared", 2_000_000));
}
