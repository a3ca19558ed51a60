//! This node's clock held against the others': what events prove, questions and answers that leave, what is news.
//!
//! Knows nothing of shards. Invariants: a question and an answer are stamped with the reading by which they leave; answers
//! that wait are at most one a peer.

use std::collections::BTreeMap;
use std::mem;

use bytes::Bytes;

use super::convert::{time_from_wire, time_to_wire};
use super::{ClockNote, Event};
use crate::clock::{Agreement, AgreementOptions, Fault, Reading, TimeInterval};
use crate::codec::{decode_order_mark, encode_order_mark};
use crate::types::{NodeId, Timestamp};
use crate::wire::{ClockProbe, StatedTime};

/// An agreement and its correspondence.
pub(super) struct Probing {
    pub(super) agreement: Agreement,
    /// Peers whose last question is to be answered: its number, and the time when it came.
    asked: BTreeMap<NodeId, (u64, StatedTime)>,
    /// What was last told of.
    told: Option<Fault>,
    /// How many rounds of questions have left: whose turn it is among the doubts that go with them.
    rounds: usize,
}

impl Probing {
    pub(super) fn new(node: NodeId, options: AgreementOptions) -> Self {
        Self { agreement: Agreement::new(node, options), asked: BTreeMap::new(), told: None, rounds: 0 }
    }

    /// Notes what an event proves of clocks.
    pub(super) fn look(&mut self, event: &Event, now: &Reading) {
        self.agreement.observe(now);
        match event {
            Event::Message { from, message, .. } => {
                let (earliest, latest) = (Timestamp(message.earliest_ns), Timestamp(message.latest_ns));
                self.agreement.hear(*from, TimeInterval { earliest, latest }, now);
            }
            Event::Probe { from, probe } => self.take_probe(*from, probe, now),
            Event::Connected(peer) => self.agreement.meet(*peer),
            _ => {}
        }
    }

    fn take_probe(&mut self, from: NodeId, probe: &ClockProbe, now: &Reading) {
        let sent = time_from_wire(probe.sent);
        match probe.received {
            Some(received) => {
                let received = time_from_wire(received);
                self.agreement.take_answer(from, probe.number, (received, sent), now);
            }
            None if self.agreement.knows(from) => {
                self.agreement.hear(from, sent, now);
                if let Ok(mark) = decode_order_mark(&probe.doubt) {
                    self.agreement.learn(from, mark, now.monotonic);
                }
                self.asked.insert(from, (probe.number, time_to_wire(Agreement::stated(now))));
            }
            None => {}
        }
    }

    /// What leaves at `now`.
    pub(super) fn take(&mut self, now: &Reading) -> Vec<(NodeId, ClockProbe)> {
        let sent = time_to_wire(Agreement::stated(now));
        let answers = mem::take(&mut self.asked).into_iter();
        let answer = |(peer, (number, received))| {
            (peer, ClockProbe { number, sent, received: Some(received), doubt: Bytes::new() })
        };
        let questions = self.agreement.questions(now);
        let doubt = if questions.is_empty() { Bytes::new() } else { self.next_doubt(now) };
        let ask = |(peer, number)| (peer, ClockProbe { number, sent, received: None, doubt: doubt.clone() });
        answers.map(answer).chain(questions.into_iter().map(ask)).collect()
    }

    /// The doubt whose turn it is to be told; empty if there is none. A question may be lost: each comes again and again.
    fn next_doubt(&mut self, now: &Reading) -> Bytes {
        let doubts: Vec<_> = self.agreement.told(now.monotonic).collect();
        self.rounds = self.rounds.wrapping_add(1);
        let turn = self.rounds.checked_rem(doubts.len());
        turn.map_or_else(Bytes::new, |turn| encode_order_mark(&doubts[turn]))
    }

    /// Whether a leader with a clock that nothing is held against must not assign, because no majority of the others'
    /// agreed a moment ago.
    pub(super) fn is_unheard(&self, now: &Reading) -> bool {
        now.is_trusted() && !self.agreement.is_heard(now.monotonic)
    }

    /// What the cluster holds against this clock, if that is of another kind than what was last told.
    pub(super) fn news(&mut self) -> Option<ClockNote> {
        let fault = self.agreement.fault();
        let is_news = fault.as_ref().map(mem::discriminant) != self.told.as_ref().map(mem::discriminant);
        self.told = fault;
        let held = |(fault, evidence)| ClockNote::Held { fault, evidence };
        is_news.then(|| self.agreement.evidence().map_or(ClockNote::Cleared, held))
    }
}
