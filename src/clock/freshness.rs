//! How fresh a read is to be, as one timestamp: its *mark*. A read keeps its level once every shard it reads is closed at the
//! mark and everything stamped up to there was handed out.
//!
//! Knows nothing of shards, of nodes or of messages. Invariants: a clock that is not trusted gives no mark; a stronger level's mark
//! is no lower. Why the marks suffice: docs/CONSISTENCY.md.

use std::time::Duration;

use super::{Fault, Reading, TimeInterval};
use crate::simulation::{Bug, is_planted};
use crate::types::{Timestamp, Token};

/// What a read promises to contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Every append that was acknowledged, to anybody, before the read was sent.
    Linearizable,
    /// What the reader's client wrote and read before.
    Session,
    /// That, and what the bearer of the token had written and read.
    Causal(Token),
    /// Every append acknowledged so long before the read was sent.
    Bounded(Duration),
    /// What the replicas asked have.
    Eventual,
}

/// What a node knows of the time, and who vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// With what the other nodes' clocks hold against this one's.
    pub reading: Reading,
    /// A majority of the clocks agreed with this one a moment ago.
    pub is_heard: bool,
    /// Nothing is stamped later by now, on whichever node, unless its clock is wrong.
    pub admissible: Timestamp,
}

/// Why a clock gives no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("its clock is not trusted: {0}")]
    Distrusted(Fault),
    #[error("no majority of the cluster's clocks agreed with its own a moment ago")]
    Unheard,
}

impl Moment {
    /// The interval, if a mark may be made of it. What an isolated node takes for the time its own source alone vouches for:
    /// enough for ages, not for `Linearizable`.
    pub fn vouched(&self, by_majority: bool) -> Result<TimeInterval, Unfit> {
        match self.reading.fault {
            _ if is_planted(Bug::MarkUnjudged) => Ok(self.reading.interval),
            Some(fault) => Err(Unfit::Distrusted(fault)),
            None if by_majority && !self.is_heard => Err(Unfit::Unheard),
            None => Ok(self.reading.interval),
        }
    }
}

impl Level {
    /// Whether its mark is made of a clock's reading.
    pub fn needs_clock(self) -> bool {
        matches!(self, Self::Linearizable | Self::Bounded(_))
    }

    /// Whether a majority has to vouch for that clock.
    pub fn needs_majority(self) -> bool {
        matches!(self, Self::Linearizable)
    }

    /// Everything stamped up to here is to be read. `now` was read after the read was sent, by a clock that [`Moment::vouched`] for
    /// it as this level needs; `own` is what the reader's client has seen.
    pub fn mark(self, now: TimeInterval, own: Token) -> Timestamp {
        let latest = if is_planted(Bug::MarkEarliest) { now.earliest } else { now.latest };
        match self {
            Self::Linearizable => latest.max(own.0),
            Self::Session => own.0,
            Self::Causal(token) => own.max(token).0,
            Self::Bounded(age) => latest.minus_ns(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
            Self::Eventual => Timestamp::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Monotonic;

    const NOW: TimeInterval = TimeInterval { earliest: Timestamp(990), latest: Timestamp(1010) };

    fn moment(fault: Option<Fault>, is_heard: bool) -> Moment {
        let reading = Reading::new(NOW, Monotonic(5), fault);
        Moment { reading, is_heard, admissible: Timestamp(2000) }
    }

    #[test]
    fn a_mark_is_never_given_by_a_clock_that_is_not_trusted() {
        for fault in [Fault::Unsynchronised, Fault::NoMajority, Fault::Outvoted { by_ns: 7 }] {
            for by_majority in [false, true] {
                let given = moment(Some(fault), true).vouched(by_majority);
                assert_eq!(given, Err(Unfit::Distrusted(fault)));
            }
        }
    }

    #[test]
    fn an_isolated_clock_vouches_for_ages_and_not_for_everything_acknowledged() {
        let alone = moment(None, false);
        assert_eq!(alone.vouched(Level::Bounded(Duration::ZERO).needs_majority()), Ok(NOW));
        assert_eq!(alone.vouched(Level::Linearizable.needs_majority()), Err(Unfit::Unheard));
        assert_eq!(moment(None, true).vouched(true), Ok(NOW));
    }

    #[test]
    fn a_mark_contains_what_its_level_names_and_linearizable_is_never_the_weaker() {
        let (own, told) = (Token(Timestamp(700)), Token(Timestamp(800)));
        let mark = |level: Level| level.mark(NOW, own);
        assert_eq!(mark(Level::Session), own.0);
        assert_eq!(mark(Level::Causal(told)), told.0);
        assert_eq!(mark(Level::Causal(Token::default())), own.0, "causal contains the own session");
        assert_eq!(mark(Level::Bounded(Duration::from_nanos(10))), Timestamp(1000));
        assert_eq!(mark(Level::Bounded(Duration::MAX)), Timestamp::ZERO);
        let weaker = [Level::Session, Level::Causal(told), Level::Bounded(Duration::ZERO), Level::Eventual];
        assert!(weaker.iter().all(|level| mark(*level) <= mark(Level::Linearizable)));
        assert_eq!(Level::Linearizable.mark(NOW, Token(Timestamp(1020))), Timestamp(1020));
    }
}
