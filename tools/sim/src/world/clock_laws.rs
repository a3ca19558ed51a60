//! Laws of clocks that are wrong without knowing it, checked as things happen: here it is known which clock is wrong.
//!
//! By chance one node's clock at most is ever wrong, so in a cluster of three or more the others are right and a majority. The
//! laws: what is far off is not believed for longer than answers count; a node that was proved wrong acknowledges nothing before
//! its source's next sample; who is right is never outvoted, and nobody marks where all were right. That order holds as well, and
//! that what breaks it is marked, is the other checkers' to judge.

use timberline::clock::{AgreementStatus, Fault};
use timberline::lane::{ClockNote, Event};
use timberline::types::{NodeId, OrderMark, ShardId, Timestamp};

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
        if node.clock.sample(now_ns, &mut self.random) {
            // Where it stands now is to be proved anew.
            node.contradicted = false;
            self.note_error(id);
        }
        let node = &self.nodes[&id];
        let lie_ns = node.clock.told_lie_ns;
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

    /// Clocks jump in the same moment, by the same lie, and their nodes look at them at once; 0 ends it.
    pub(crate) fn lie_together(&mut self, liars: &[NodeId], lie_ns: i64) {
        let now_ns = self.now_ns;
        for id in liars {
            self.wrong.insert(*id);
            self.trace.tell(now_ns, || format!("node {id}'s clock lies by {} ms", lie_ns / 1_000_000));
            self.node(*id).clock.lie_ns = lie_ns;
            self.take_sample(*id);
            self.node(*id).clock.refresh(now_ns);
        }
    }

    /// What is held against a running node's clock.
    pub(crate) fn clock_fault(&mut self, id: NodeId) -> Option<Fault> {
        self.clocks(id)?.fault.map(|(fault, _)| fault)
    }

    /// How a running node sees its clock and the others'.
    pub(super) fn clocks(&mut self, id: NodeId) -> Option<AgreementStatus> {
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
        if node.clock.shows_wrong() {
            let latest = node.clock.read(now_ns).interval.latest;
            let by_ns = Timestamp(message.earliest_ns).ns_since(latest);
            if by_ns > margin_ns && !std::mem::replace(&mut node.contradicted, true) {
                self.trace.tell(now_ns, || format!("node {id}'s clock is proved wrong by {} ms", by_ns / MS));
            }
        }
    }

    pub(super) fn judge_acknowledgement(&mut self, id: NodeId) {
        if self.nodes.len() >= 3 && self.nodes[&id].contradicted {
            self.misjudge(&format!("node {id} acknowledges an append, though its clock was proved wrong"));
        }
    }

    pub(super) fn judge_held(&mut self, id: NodeId, note: &ClockNote) {
        self.trace.tell(self.now_ns, || format!("node {id}'s clock: {note:?}"));
        // A machine that slept may see the others miss it until its clock has noticed.
        let sleeps = self.plan.has(FaultClass::ClockSuspend);
        let is_outvoted = matches!(note, ClockNote::Held { fault: Fault::Outvoted { .. }, .. });
        if is_outvoted && !self.wrong.contains(&id) && !sleeps {
            self.misjudge(&format!("node {id} is outvoted, though its clock is right"));
        }
    }

    /// Nobody marks where no clock was ever wrong; for machines that slept, see above. Whose it was is not judged: one whose
    /// machine stood still may take another's for wrong.
    pub(super) fn judge_mark(&mut self, shard: ShardId, mark: &OrderMark) {
        if self.wrong.is_empty() && !self.plan.has(FaultClass::ClockSuspend) {
            self.misjudge(&format!("shard {shard} has a mark, though no clock was wrong: {mark}"));
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
