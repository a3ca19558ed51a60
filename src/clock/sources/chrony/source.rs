//! Samples from chronyd: asked once a second, listened to at each refresh, never waited for.
//!
//! Invariants: one question is open at a time, and only its own answer counts; a sample's age counts from the question; after
//! a jump of the clock no report is believed before chronyd has compared its clock again.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};

use super::packet::{PACKET_BYTES, Tracking, parse, question};
use crate::clock::source::{Sample, SourceError, TimeSource};
use crate::clock::ticks::RawTime;

const ASK_EVERY_NS: u64 = 1_000_000_000;
/// A question without an answer so long after is asked anew.
const ANSWER_NS_MAX: u64 = 500_000_000;
/// A chronyd that is silent this long is gone; until then its last report stands and grows. A restart is faster.
const SILENCE_NS_MAX: u64 = 5_000_000_000;
/// Late answers to earlier questions that are read at one refresh.
const DATAGRAMS_MAX: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Question {
    sequence: u32,
    at: RawTime,
}

/// Whether what chronyd measured is still true of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Holds,
    /// The wall clock jumped; what chronyd measured last before is not known yet.
    Shaken,
    /// It measured at this time before the jump, and must do so again.
    AwaitsComparison {
        reference_time_ns: u64,
    },
}

#[derive(Debug)]
struct State {
    socket: Option<UdpSocket>,
    open: Option<Question>,
    asked_at_boot_ns: Option<u64>,
    sequence: u32,
    /// The newest report, judged, and when it was asked for.
    report: Option<(Result<Sample, SourceError>, u64)>,
    /// Why there is no newer one.
    trouble: Option<String>,
    number: u64,
    trust: Trust,
}

/// The bound that chronyd reports.
#[derive(Debug)]
pub struct Chrony {
    address: SocketAddr,
    state: Mutex<State>,
}

impl Chrony {
    /// `address` is chronyd's command port on this machine, 127.0.0.1:323 unless its configuration says otherwise.
    pub fn new(address: SocketAddr) -> Self {
        let state = State {
            socket: None,
            open: None,
            asked_at_boot_ns: None,
            sequence: 0,
            report: None,
            trouble: None,
            number: 0,
            trust: Trust::Holds,
        };
        Self { address, state: Mutex::new(state) }
    }

    /// Whether a question is open.
    #[cfg(test)]
    pub(super) fn is_waiting(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).open.is_some()
    }

    /// Reads what has arrived.
    fn listen(&self, state: &mut State) {
        for _ in 0..DATAGRAMS_MAX {
            let (Some(socket), Some(open)) = (&state.socket, state.open) else { return };
            let mut bytes = [0; 2 * PACKET_BYTES];
            match socket.recv(&mut bytes) {
                Ok(len) => match parse(&bytes[..len], open.sequence) {
                    Ok(Some(tracking)) => self.take(state, &tracking, open.at),
                    Ok(None) => {}
                    Err(what) => state.trouble = Some(format!("chronyd at {} gave {what}", self.address)),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    state.open = None;
                    state.trouble = Some(self.unheard(&error));
                }
            }
        }
    }

    fn unheard(&self, error: &io::Error) -> String {
        format!(
            "chronyd at {} cannot be asked: {error}; start it (`systemctl start chrony`, or chronyd), and see that chrony.conf \
             has no `cmdport 0`, or set clock.chrony_address",
            self.address
        )
    }

    fn take(&self, state: &mut State, tracking: &Tracking, asked: RawTime) {
        state.open = None;
        state.trouble = None;
        let judged = self.judge(state, tracking, asked);
        state.report = Some((judged, asked.boot_ns));
    }

    fn judge(&self, state: &mut State, tracking: &Tracking, asked: RawTime) -> Result<Sample, SourceError> {
        let reference_time_ns = tracking.reference_time_ns;
        let bound = tracking.bound(asked).map_err(|error| {
            let evidence = format!("chronyd at {} {}", self.address, error.evidence);
            SourceError { evidence, ..error }
        })?;
        match state.trust {
            Trust::Holds => {}
            Trust::AwaitsComparison { reference_time_ns: before } if reference_time_ns != before => {
                state.trust = Trust::Holds;
            }
            Trust::Shaken | Trust::AwaitsComparison { .. } => {
                state.trust = Trust::AwaitsComparison { reference_time_ns };
                return Err(SourceError::unsynchronised(format!(
                    "chronyd at {} has not compared its clock since it jumped; it does so within its update interval",
                    self.address
                )));
            }
        }
        state.number += 1;
        let sample = Sample::measured(state.number, asked.boot_ns, bound.error_ns, bound.growth_ppb);
        Ok(Sample { leap: bound.leap, ..sample })
    }

    /// Asks if it is time to.
    fn ask(&self, state: &mut State, now: RawTime) {
        let since = |boot_ns: u64| now.boot_ns.saturating_sub(boot_ns);
        if state.open.is_some_and(|open| since(open.at.boot_ns) > ANSWER_NS_MAX) {
            state.open = None;
            state.trouble = Some(format!(
                "chronyd at {} did not answer within {} ms",
                self.address,
                ANSWER_NS_MAX / 1_000_000
            ));
        }
        if state.open.is_some() || state.asked_at_boot_ns.is_some_and(|asked| since(asked) < ASK_EVERY_NS) {
            return;
        }
        state.asked_at_boot_ns = Some(now.boot_ns);
        // Not to be taken for another run's: what comes in late then has a number far off.
        state.sequence = state.sequence.wrapping_add(1 + (now.monotonic_ns as u32 & 0xFFFF));
        match self.send(state) {
            Ok(()) => state.open = Some(Question { sequence: state.sequence, at: now }),
            Err(error) => {
                // A socket that broke is made anew for the next question.
                state.socket = None;
                state.trouble = Some(self.unheard(&error));
            }
        }
    }

    fn send(&self, state: &mut State) -> io::Result<()> {
        let socket = match state.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        let socket = state.socket.insert(socket);
        match socket.send(&question(state.sequence)) {
            // The answer to an earlier question, that nobody listens there; this one is not yet sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                socket.send(&question(state.sequence)).map(|_| ())
            }
            sent => sent.map(|_| ()),
        }
    }

    fn connect(&self) -> io::Result<UdpSocket> {
        let here: SocketAddr = if self.address.is_ipv4() {
            ([127, 0, 0, 1], 0).into()
        } else {
            ([0, 0, 0, 0, 0, 0, 0, 1], 0).into()
        };
        let socket = UdpSocket::bind(here)?;
        socket.set_nonblocking(true)?;
        socket.connect(self.address)?;
        Ok(socket)
    }
}

impl TimeSource for Chrony {
    fn name(&self) -> String {
        "chrony".to_owned()
    }

    fn sample(&self, now: RawTime) -> Result<Sample, SourceError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.listen(&mut state);
        self.ask(&mut state, now);
        let silent = || {
            let nothing = || format!("chronyd at {} was asked and has not answered yet", self.address);
            SourceError::unreadable(state.trouble.clone().unwrap_or_else(nothing))
        };
        match &state.report {
            Some((judged, asked)) if now.boot_ns.saturating_sub(*asked) <= SILENCE_NS_MAX => judged.clone(),
            _ => Err(silent()),
        }
    }

    fn disturbed(&self, _now: RawTime) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // An answer that is under way may be from before.
        state.open = None;
        state.asked_at_boot_ns = None;
        state.report = None;
        state.trust = Trust::Shaken;
    }
}
