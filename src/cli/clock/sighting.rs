//! Where every node's clock stands at one moment, from answers that came at different ones.
//!
//! Knows nothing of drawing; time is an argument. A node read its clock at some moment between `m1`, when this process asked,
//! and `m4`, when the answer came. So, with `t` for the middle of the interval that it told, its midpoint minus this process'
//! monotonic clock lies from `t - m4` to `t - m1`. That difference hardly changes: of all answers of the last seconds the
//! tightest bounds count, each wider by what two clocks may drift apart since ([`Offsets`]). It is kept for every node on the
//! one clock here, and can be told for any moment. Invariant: while a node's clock does not jump, its place holds its
//! midpoint; a jump by more than was open is seen with the first answer after it.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::{ClockAnswer, ClockInfo};
use crate::clock::{Answer, Offsets, Span, TimeInterval};
use crate::types::{Monotonic, NodeId};

/// Two plain crystals may part by so much.
const DRIFT_APART_PPB: u64 = 100_000;
/// Beyond this an uncertainty says nothing, and sums must not overflow.
const UNCERTAINTY_NS_MAX: i64 = i64::MAX / 8;

/// A node's clock at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) node: NodeId,
    /// What it told last, or why nothing recent is known.
    pub(super) clock: Result<ClockInfo, String>,
    /// `None` if it is not heard, or does not know the time.
    pub(super) place: Option<Place>,
    /// Of the last question that came back.
    pub(super) round_trip_ns: u64,
}

/// Where a clock's interval lies on the common axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where its midpoint lies, as closely as asking told.
    pub(super) midpoint: Span,
    pub(super) uncertainty_ns: i64,
}

impl Place {
    /// Everything that may be part of its interval.
    pub(super) fn outer(&self) -> Span {
        self.midpoint.widened(self.uncertainty_ns)
    }

    /// What is part of its interval wherever its midpoint is; `None` if asking left too much open.
    pub(super) fn core(&self) -> Option<Span> {
        let low_ns = self.midpoint.high_ns.saturating_sub(self.uncertainty_ns);
        let high_ns = self.midpoint.low_ns.saturating_add(self.uncertainty_ns);
        (low_ns <= high_ns).then_some(Span { low_ns, high_ns })
    }
}

/// One node's answers so far.
#[derive(Debug)]
pub(super) struct Watched {
    node: NodeId,
    offsets: Offsets,
    told: Option<(ClockInfo, Monotonic)>,
    round_trip_ns: u64,
    /// Why the last question had no answer.
    trouble: Option<String>,
}

impl Watched {
    pub(super) fn new(node: NodeId) -> Self {
        let offsets = Offsets::new(DRIFT_APART_PPB);
        Self { node, offsets, told: None, round_trip_ns: 0, trouble: None }
    }

    /// Whether a first question was answered or given up.
    pub(super) fn is_settled(&self) -> bool {
        self.told.is_some() || self.trouble.is_some()
    }

    /// Takes an answer, or the lack of one. The common clock counts from `start`.
    pub(super) fn take(&mut self, answer: ClockAnswer, start: Instant) {
        let at = |moment: Instant| Monotonic::default().plus(moment.saturating_duration_since(start));
        let (asked, arrived) = (at(answer.asked), at(answer.arrived));
        match answer.clock {
            Err(error) => self.trouble = Some(error.to_string()),
            Ok(clock) => {
                let middle = TimeInterval::around(midpoint(&clock), 0);
                if clock.is_unknown {
                    self.offsets = Offsets::new(DRIFT_APART_PPB);
                } else {
                    self.offsets.note_answer(&Answer { asked, received: middle, answered: middle, arrived });
                }
                let round_trip = arrived.since(asked).as_nanos();
                self.round_trip_ns = u64::try_from(round_trip).unwrap_or(u64::MAX);
                (self.told, self.trouble) = (Some((clock, arrived)), None);
            }
        }
    }

    /// The clock at `now`. What was told counts for `patience`.
    pub(super) fn at(&self, now: Monotonic, patience: Duration) -> Sighting {
        let recent = self.told.as_ref().filter(|(_, at)| now.since(*at) <= patience);
        let place = recent.filter(|(clock, _)| !clock.is_unknown).and_then(|(clock, _)| {
            let uncertainty_ns = i64::try_from(interval(clock).uncertainty_ns()).unwrap_or(i64::MAX);
            Some(Place {
                midpoint: self.offsets.span(now)?,
                uncertainty_ns: uncertainty_ns.min(UNCERTAINTY_NS_MAX),
            })
        });
        let silent = || self.trouble.clone().unwrap_or_else(|| "no answer yet".to_owned());
        Sighting {
            node: self.node,
            clock: recent.map(|(clock, _)| clock.clone()).ok_or_else(silent),
            place,
            round_trip_ns: self.round_trip_ns,
        }
    }
}

fn interval(clock: &ClockInfo) -> TimeInterval {
    TimeInterval { earliest: clock.earliest, latest: clock.latest }
}

fn midpoint(clock: &ClockInfo) -> crate::types::Timestamp {
    clock.earliest.plus_ns(interval(clock).uncertainty_ns())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::clock::fixture::clock;
    use crate::client::Error;
    use crate::types::Timestamp;

    const PATIENCE: Duration = Duration::from_secs(2);
    const TRUE_START_NS: u64 = 1_700_000_000_000_000_000;

    struct Asking {
        start: Instant,
        watched: Watched,
    }

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    impl Asking {
        fn new() -> Self {
            Self { start: Instant::now(), watched: Watched::new(NodeId(1)) }
        }

        /// Asked at `asked_us`, read at `read_us` by a clock `ahead_us` ahead, arrived at `arrived_us`.
        fn ask(&mut self, asked_us: u64, read_us: u64, arrived_us: u64, ahead_us: u64, uncertainty_ns: u64) {
            let mut told = clock(1, uncertainty_ns);
            let midpoint = Timestamp(TRUE_START_NS).plus_ns((read_us + ahead_us) * 1_000);
            (told.earliest, told.latest) =
                (midpoint.minus_ns(uncertainty_ns), midpoint.plus_ns(uncertainty_ns));
            let (asked, arrived) = (self.start + us(asked_us), self.start + us(arrived_us));
            self.watched.take(ClockAnswer { node: NodeId(1), asked, arrived, clock: Ok(told) }, self.start);
        }

        fn place(&self, at_us: u64) -> Place {
            self.watched.at(Monotonic(at_us * 1_000), PATIENCE).place.expect("it was heard")
        }
    }

    fn holds(span: &Span, ahead_us: u64) -> bool {
        let truth = (TRUE_START_NS + ahead_us * 1_000).cast_signed();
        span.touches(&Span { low_ns: truth, high_ns: truth })
    }

    #[test]
    fn asking_late_or_slowly_moves_no_clock() {
        let mut asking = Asking::new();
        asking.ask(0, 900, 1_000, 0, 50_000);
        assert!(holds(&asking.place(200_000).midpoint, 0), "read just before the answer came");
        asking.ask(500_000, 500_010, 500_600, 0, 50_000);
        let place = asking.place(900_000);
        assert!(holds(&place.midpoint, 0), "read just after it was asked");
        let open_ns = place.midpoint.high_ns - place.midpoint.low_ns;
        assert!(open_ns < 250_000, "both together leave 110 us and the drift: {open_ns}");
    }

    #[test]
    fn a_jump_counts_at_once_and_so_does_a_wider_claim() {
        let mut asking = Asking::new();
        asking.ask(0, 50, 100, 0, 50_000);
        asking.ask(200_000, 200_050, 200_100, 5_000, 70_000);
        let place = asking.place(200_200);
        assert!(holds(&place.midpoint, 5_000) && !holds(&place.midpoint, 0), "{place:?}");
        assert_eq!(place.uncertainty_ns, 70_000);
        asking.ask(400_000, 400_050, 400_100, 0, 50_000);
        assert!(holds(&asking.place(400_200).midpoint, 0), "and back");
    }

    #[test]
    fn what_is_open_is_no_part_of_the_core() {
        let place = Place { midpoint: Span { low_ns: -3, high_ns: 5 }, uncertainty_ns: 10 };
        assert_eq!(place.outer(), Span { low_ns: -13, high_ns: 15 });
        assert_eq!(place.core(), Some(Span { low_ns: -5, high_ns: 7 }));
        assert_eq!(Place { uncertainty_ns: 3, ..place }.core(), None);
    }

    #[test]
    fn a_node_that_falls_silent_or_does_not_know_the_time_has_no_place() {
        let mut asking = Asking::new();
        assert!(!asking.watched.is_settled());
        asking.ask(0, 50, 100, 0, 50_000);
        let (asked, arrived) = (asking.start + us(100), asking.start + us(2_000_100));
        let late = Error::Timeout { what: "the clock".to_owned(), after: PATIENCE, last: None };
        let silence = ClockAnswer { node: NodeId(1), asked, arrived, clock: Err(late) };
        asking.watched.take(silence, asking.start);
        let silent = asking.watched.at(Monotonic(2_000_200_000), PATIENCE);
        assert!(silent.place.is_none() && silent.clock.is_err_and(|why| why.contains("the clock")));
        let mut lost = clock(1, 50_000);
        lost.is_unknown = true;
        let (asked, arrived) = (asking.start + us(3_000_000), asking.start + us(3_000_100));
        asking.watched.take(ClockAnswer { node: NodeId(1), asked, arrived, clock: Ok(lost) }, asking.start);
        let lost = asking.watched.at(Monotonic(3_000_200_000), PATIENCE);
        assert!(lost.place.is_none() && lost.clock.is_ok());
    }
}
