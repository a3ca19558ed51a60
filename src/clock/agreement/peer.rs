//! One peer's clock as this node knows it: what was asked, what came back, what that claims.
//!
//! Knows nothing of other peers. Invariants: questions under way are bounded; an answer to a question that was not asked,
//! or was asked before everything was forgotten, proves nothing.

use std::collections::VecDeque;
use std::time::Duration;

use super::offset::{Answer, Offsets, Span};
use super::vote::{Claim, Standing};
use crate::clock::TimeInterval;
use crate::types::{Monotonic, NodeId, Timestamp};

/// Questions to one peer that may be under way.
const QUESTIONS_MAX: usize = 16;

/// How a peer's clock stands to this node's, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStanding {
    pub node: NodeId,
    /// The peer's midpoint minus this node's. `None` if nothing recent is known of it.
    pub offset: Option<Span>,
    /// Of the last question that came back.
    pub round_trip_ns: u64,
    /// What the peer stated last.
    pub stated: Option<TimeInterval>,
    /// When the question left that its last answer with a time was to.
    pub vouched_at: Option<Monotonic>,
    pub standing: Standing,
}

/// How long what was heard counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// An answer counts in votes for so long.
    pub(super) fresh: Duration,
    /// Whoever speaks may answer for so long.
    pub(super) awaited: Duration,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) offsets: Offsets,
    heard_at: Option<Monotonic>,
    /// When the last answer with a bounded interval came, and when its question left.
    answered_at: Option<Monotonic>,
    vouched_at: Option<Monotonic>,
    /// Where its `latest` minus this node's monotonic clock lies, by its last bounded statement.
    reach: Option<Span>,
    /// It answered since all was forgotten, if only that it does not know the time.
    has_answered: bool,
    /// When the oldest question left that was not followed by an answer.
    asked_since: Option<Monotonic>,
    /// When the questions under way left: that is also their number.
    questions: VecDeque<Monotonic>,
    round_trip_ns: u64,
    stated: Option<TimeInterval>,
}

impl Peer {
    pub(super) fn new(growth_ppb: u64) -> Self {
        Self {
            offsets: Offsets::new(growth_ppb),
            heard_at: None,
            answered_at: None,
            vouched_at: None,
            reach: None,
            has_answered: false,
            asked_since: None,
            questions: VecDeque::new(),
            round_trip_ns: 0,
            stated: None,
        }
    }

    pub(super) fn ask(&mut self, now: Monotonic) {
        if self.questions.len() >= QUESTIONS_MAX {
            self.questions.pop_front();
        }
        self.questions.push_back(now);
        self.asked_since.get_or_insert(now);
    }

    pub(super) fn hear(&mut self, stated: TimeInterval, now: Monotonic) {
        self.heard_at = Some(now);
        self.stated = Some(stated);
        if stated.latest < Timestamp::MAX {
            // It left a while ago: no longer, most often, than the last question was under way.
            let low_ns = Span::of(stated, now).high_ns;
            let high_ns = low_ns.saturating_add_unsigned(self.round_trip_ns);
            self.reach = Some(Span { low_ns, high_ns });
        }
        if self.offsets.note_message(stated, now) {
            // Its clock or this one jumped; its next answer tells where it stands.
            (self.answered_at, self.has_answered, self.asked_since) = (None, false, None);
        }
    }

    /// Takes the answer to question `number`; whether that was asked.
    pub(super) fn answer(
        &mut self,
        number: u64,
        received: TimeInterval,
        answered: TimeInterval,
        now: Monotonic,
    ) -> bool {
        let Some(at) = self.questions.iter().position(|asked| asked.0 == number) else { return false };
        let asked = self.questions[at];
        // Older ones are lost, or come too late to tell more.
        self.questions.drain(..=at);
        (self.has_answered, self.asked_since) = (true, None);
        self.round_trip_ns = now.0.saturating_sub(asked.0);
        self.offsets.note_answer(&Answer { asked, received, answered, arrived: now });
        if received.latest < Timestamp::MAX && answered.earliest > Timestamp::ZERO {
            (self.answered_at, self.vouched_at) = (Some(now), Some(asked));
            self.reach = Some(Span {
                low_ns: Span::of(answered, now).high_ns,
                high_ns: Span::of(answered, asked).high_ns,
            });
        }
        true
    }

    /// Its clock was as its last bounded answer says when that was asked, or later.
    pub(super) fn vouched_at(&self) -> Option<Monotonic> {
        self.vouched_at
    }

    /// Where its `latest` minus this node's monotonic clock lies. `None` until it stated a time.
    pub(super) fn reach(&self) -> Option<Span> {
        self.reach
    }

    /// This machine may have stood still: that true time is not later than was stated up to now counts no more, nor do answers
    /// to what was asked up to now.
    pub(super) fn forget(&mut self) {
        self.offsets.forget_highs();
        self.questions.clear();
        (self.answered_at, self.has_answered, self.asked_since) = (None, false, None);
    }

    pub(super) fn claim(&self, now: Monotonic, patience: Patience) -> Claim {
        let within = |at: Option<Monotonic>, limit| at.is_some_and(|at| now.since(at) <= limit);
        if within(self.answered_at, patience.fresh)
            && let Some(span) = self.offsets.span(now)
        {
            return Claim::Whole(span);
        }
        // Who was not asked yet is about to be.
        let in_time = self.asked_since.is_none_or(|since| now.since(since) <= patience.awaited);
        if in_time && !self.has_answered && within(self.heard_at, patience.fresh) {
            return Claim::Awaited;
        }
        self.offsets.low_ns(now).map_or(Claim::Silent, Claim::NotBefore)
    }

    /// `midpoint_ns`: this node's midpoint minus its monotonic clock. Where a peer stands that is not heard, nobody knows.
    pub(super) fn show(
        &self,
        node: NodeId,
        midpoint_ns: i64,
        now: Monotonic,
        standing: Standing,
    ) -> PeerStanding {
        let offset = self.offsets.midpoint(now).filter(|_| standing != Standing::Unheard);
        let offset = offset.map(|offset| offset.shifted(midpoint_ns.saturating_neg()));
        let Self { round_trip_ns, stated, vouched_at, .. } = *self;
        PeerStanding { node, offset, round_trip_ns, stated, vouched_at, standing }
    }
}
