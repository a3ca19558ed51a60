//! Laws of clocks that are wrong without knowing it, checked as things happen: here it is known which clock is wrong.
//!
//! One node's clock at most is ever wrong, so in a cluster of three or more the others are right and a majority. The laws: what
//! is far off is not believed for longer than answers count; a node that was proved wrong acknowledges nothing until its clock
//! is right; who is right is never outvoted. That order holds as well is the other checkers' to judge.

use timberline::clock::{AgreementStatus, Fault};
use timberline::lane::{ClockNote, Event};
use timberline::types::{NodeId, Timestamp};

use super::World;
use super::clock::is_visible;
use crate::plan::{FaultClass, MS, SECOND};

/// A contradiction of less may have passed by the time of a vote, for bounds widen.
const MARGIN_NS: u64 = 20 * MS;

impl World {
    /// A time source takes a sample. A lie that begins in the sight of a majority, or on a node that is fenced, is noticed
    /// before anything is decided by it; any other may show.
    pub(super) fn take_sample(&mut self, id: NodeId) {
        let now_ns = self.now_ns;
        let clocks = self.clocks(id);
        let node = self.nodes.get_mut(&id).expect("the cluster's nodes never change");
        let before_ns = node.clock.told_lie_ns;
        node.clock.sample(now_ns, &mut self.random);
        let lie_ns = node.clock.told_lie_ns;
        if !node.clock.is_wrong() {
            node.contradicted = false;
        }
        if lie_ns == 0 || lie_ns == before_ns {
            return;
        }
        let is_watched = clocks.is_none_or(|clocks| match clocks.fault {
            None => clocks.is_heard,
            Some((fault, _)) => !fault.is_open(),
        });
        let is_noticed = is_visible(lie_ns) && (is_watched || is_visible(before_ns));
        self.lied |= !is_noticed || self.nodes.len() < 3;
    }

    /// How a running node sees its clock and the others'.
    fn clocks(&mut self, id: NodeId) -> Option<AgreementStatus> {
        let now_ns = self.now_ns;
        let node = self.node(id);
        let reading = node.clock.read(now_ns);
        node.lane.as_ref().map(|lane| lane.clocks(&reading))
    }

    /// Whether a majority of clocks agreed with this node's a moment ago.
    fn is_believed(&mut self, id: NodeId) -> bool {
        self.clocks(id).is_some_and(|clocks| clocks.fault.is_none() && clocks.is_heard)
    }

    /// Notes a message of a node whose clock is right that proves this one's wrong.
    pub(super) fn hear_contradiction(&mut self, id: NodeId, event: &Event) {
        let (now_ns, margin_ns) = (self.now_ns, 2 * self.plan.eps_max_ns + MARGIN_NS);
        let Event::Message { message, .. } = event else { return };
        let node = self.node(id);
        if node.clock.is_wrong() {
            let latest = node.clock.read(now_ns).interval.latest;
            node.contradicted |= Timestamp(message.earliest_ns).ns_since(latest) > margin_ns;
        }
    }

    pub(super) fn judge_acknowledgement(&mut self, id: NodeId) {
        if self.nodes.len() >= 3 && self.nodes[&id].contradicted {
            self.misjudge(&format!("node {id} acknowledges an append, though its clock was proved wrong"));
        }
    }

    pub(super) fn judge_held(&mut self, id: NodeId, note: &ClockNote) {
        // A machine that slept may see the others miss it until its clock has noticed.
        let sleeps = self.plan.has(FaultClass::ClockSuspend);
        let is_outvoted = matches!(note, ClockNote::Held { fault: Fault::Outvoted { .. }, .. });
        if is_outvoted && self.wrong != Some(id) && !sleeps {
            self.misjudge(&format!("node {id} is outvoted, though its clock is right"));
        }
    }

    /// Operators look at a clock that lies.
    pub(super) fn look_at_clock(&mut self, id: NodeId) {
        let now_ns = self.now_ns;
        let node = &self.nodes[&id];
        let long_ns = 10 * self.plan.probe_every_ns + SECOND / 2;
        let lies = node.clock.lies_visibly_for_ns(now_ns) > long_ns && self.nodes.len() >= 3;
        if lies && !node.is_paused(now_ns) && self.is_believed(id) {
            self.misjudge(&format!("node {id} is believed, though its clock is off by seconds"));
        }
    }

    fn misjudge(&mut self, what: &str) {
        self.trace.tell(self.now_ns, || format!("misjudged: {what}"));
        let at_ms = self.now_ns / MS;
        self.misjudged.get_or_insert_with(|| format!("{what} (at {at_ms} ms)"));
    }
}
