//! What follows from votes: a node that a majority contradicts is fenced, one that a single message contradicts waits.
//!
//! Knows nothing of messages or shards. The states: *trusted*; *suspended*, from the message that stated a time beyond this
//! node's `latest`, until a vote over claims that were all sampled after it; *fenced*, from a vote that went against this
//! node, or in which no majority agreed, until it has agreed for long without a break. Why not ask older votes about a
//! contradiction: when this machine stood still and its clocks with it, what the others stated before says that all is well.
//! Invariants: a contradiction counts unless the last vote explains it; a source's own fault is never hidden.

use std::collections::BTreeMap;
use std::time::Duration;

use super::doubt::{Doubt, DoubtStanding, Doubts};
use super::evidence;
use super::offset::{Span, drift};
use super::peer::{Patience, Peer, PeerStanding};
use super::vote::{Ballot, Claim, Standing, Verdict, Vote};
use crate::clock::{Fault, Reading, TimeInterval};
use crate::simulation::{Bug, is_planted};
use crate::types::{Monotonic, NodeId, OrderMark, Timestamp};

/// An answer counts in votes for so many intervals between questions.
const FRESH_QUESTIONS: u32 = 10;
/// Whoever speaks is awaited for so many.
const AWAITED_QUESTIONS: u32 = 3;

/// What an agreement is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreementOptions {
    /// All nodes of the cluster, this one included.
    pub nodes: Vec<NodeId>,
    /// How fast this node's monotonic clock may drift from true time.
    pub growth_ppb: u64,
    /// How often every peer is asked for its time.
    pub probe_every: Duration,
    /// A fenced node must agree for so long, without a break, to be trusted again.
    pub unfence_after: Duration,
    /// Nothing is past here before it is past by a majority of all nodes' clocks.
    pub quorum_wait: bool,
}

impl AgreementOptions {
    /// Every peer is asked ten times a second, a fence lasts 30 s, clocks drift by up to 50 ppm, and each node's own clock
    /// tells what is past.
    pub fn among(nodes: Vec<NodeId>) -> Self {
        Self {
            nodes,
            growth_ppb: 50_000,
            probe_every: Duration::from_millis(100),
            unfence_after: Duration::from_secs(30),
            quorum_wait: false,
        }
    }
}

/// How this node's clock stands in its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreementStatus {
    /// What the cluster holds against this clock, and the evidence in one sentence.
    pub fault: Option<(Fault, String)>,
    /// A majority agreed a moment ago, so that a leader here may assign.
    pub is_heard: bool,
    pub peers: Vec<PeerStanding>,
    /// Clocks that this node knows to be wrong, or to have been a while ago, its own among them; at most one a node.
    pub doubts: Vec<DoubtStanding>,
}

#[derive(Debug)]
struct Fence {
    fault: Fault,
    evidence: String,
    agrees_since: Option<Monotonic>,
}

/// One node's agreement with the others.
#[derive(Debug)]
pub struct Agreement {
    node: NodeId,
    options: AgreementOptions,
    patience: Patience,
    peers: BTreeMap<NodeId, Peer>,
    next_question: Monotonic,
    last: Option<(Vote, Monotonic)>,
    /// Whose messages contradict this clock, by how much, and no vote has told who is right.
    contradicted: BTreeMap<NodeId, u64>,
    fence: Option<Fence>,
    doubts: Doubts,
    /// The sleep last noticed.
    slept: Option<Fault>,
}

impl Agreement {
    pub fn new(node: NodeId, options: AgreementOptions) -> Self {
        let others = options.nodes.iter().filter(|other| **other != node);
        let peers = others.map(|other| (*other, Peer::new(options.growth_ppb))).collect();
        let patience = Patience {
            fresh: options.probe_every * FRESH_QUESTIONS,
            awaited: options.probe_every * AWAITED_QUESTIONS,
        };
        let doubts = Doubts::new(node, options.growth_ppb, patience.fresh);
        Self {
            node,
            options,
            patience,
            peers,
            next_question: Monotonic(0),
            last: None,
            contradicted: BTreeMap::new(),
            fence: None,
            doubts,
            slept: None,
        }
    }

    /// The reading as the other clocks leave it: with their fault if the source has none, and, if a quorum is waited for, with what
    /// is past by a majority of clocks.
    pub fn judge(&self, now: &Reading) -> Reading {
        let held = self.fault().filter(|fault| !(fault.is_open() && is_planted(Bug::ExposeWhileSuspended)));
        let past = if self.options.quorum_wait { now.past.min(self.past_by_majority(now)) } else { now.past };
        Reading { fault: now.fault.or(held), past, ..*now }
    }

    /// The latest time that a majority of clocks, this one among all, say is past. What a peer stated is carried on by the
    /// monotonic clock, less what that may drift: true time is no earlier, if the peer is right. Nothing is past before a
    /// majority was heard.
    fn past_by_majority(&self, now: &Reading) -> Timestamp {
        let carried = |peer: &Peer| {
            let low_ns = peer.offsets.low_ns(now.monotonic)?;
            Some(Timestamp(now.monotonic.0.saturating_add_signed(low_ns)))
        };
        let mut past: Vec<Timestamp> = self.peers.values().filter_map(carried).collect();
        past.push(now.interval.earliest);
        past.sort_unstable_by(|a, b| b.cmp(a));
        // Of n clocks, n / 2 + 1 are a majority: this one and all peers.
        past.get(self.peers.len().div_ceil(2)).copied().unwrap_or(Timestamp::ZERO)
    }

    /// What the other clocks hold against this one.
    pub fn fault(&self) -> Option<Fault> {
        let suspended = self.contradicted.first_key_value();
        let suspended = suspended.map(|(by, by_ns)| Fault::Contradicted { by: *by, by_ns: *by_ns });
        self.fence.as_ref().map(|fence| fence.fault).or(suspended)
    }

    /// Whether a leader on this node may assign: a majority agreed with its clock a moment ago.
    pub fn is_heard(&self, now: Monotonic) -> bool {
        let agreed = |vote: &Vote, at: Monotonic| {
            vote.verdict == Verdict::Agrees && now.since(at) <= self.patience.fresh
        };
        self.peers.is_empty() || self.last.as_ref().is_some_and(|(vote, at)| agreed(vote, *at))
    }

    /// Whose clocks turned out to have been wrong, as far as that is to be written down by now.
    pub fn doubts(&self, now: Monotonic) -> impl Iterator<Item = Doubt> {
        self.doubts.due(now)
    }

    /// What this node itself found out of wrong clocks, for other nodes to know: nothing while its own clock is contradicted or
    /// unheard.
    pub fn told(&self, now: Monotonic) -> impl Iterator<Item = OrderMark> {
        let may_tell = self.fault().is_none() && self.is_heard(now) && !is_planted(Bug::DoubtsUntold);
        self.doubts.own(now).filter(move |_| may_tell).map(|doubt| doubt.mark)
    }

    /// Takes what another node found out.
    pub fn learn(&mut self, from: NodeId, mark: OrderMark, now: Monotonic) {
        if self.knows(from) && (self.knows(mark.node) || mark.node == self.node) {
            self.doubts.learn(mark, now);
        }
    }

    /// What this node may state to others: nothing while its own source says that it does not know.
    pub fn stated(now: &Reading) -> TimeInterval {
        if knows_time(now) { now.interval } else { TimeInterval::UNKNOWN }
    }

    /// When `questions` has some at the latest; `None` if there is nobody to ask.
    pub fn due(&self) -> Option<Monotonic> {
        (!self.peers.is_empty()).then_some(self.next_question)
    }

    /// Whether it is one of the other nodes.
    pub fn knows(&self, peer: NodeId) -> bool {
        self.peers.contains_key(&peer)
    }

    /// A connection to a peer came about: it is asked at once.
    pub fn meet(&mut self, peer: NodeId) {
        if self.knows(peer) {
            self.next_question = Monotonic(0);
        }
    }

    /// Whom to ask now, and by what number; the questions must leave at `now`.
    pub fn questions(&mut self, now: &Reading) -> Vec<(NodeId, u64)> {
        if now.monotonic < self.next_question || self.peers.is_empty() {
            return Vec::new();
        }
        self.hold_vote(now);
        self.next_question = now.monotonic.plus(self.options.probe_every);
        self.peers.values_mut().for_each(|peer| peer.ask(now.monotonic));
        self.peers.keys().map(|node| (*node, now.monotonic.0)).collect()
    }

    /// Takes what a message proves that `from` stamped with `stated` when it left. To be called before anything of the
    /// message is acted on.
    pub fn hear(&mut self, from: NodeId, stated: TimeInterval, now: &Reading) {
        if !self.knows(from) {
            return;
        }
        self.check(from, stated, now);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.hear(stated, now.monotonic);
        }
    }

    /// Takes an answer: the peer's interval when the question reached it, and when the answer left.
    pub fn take_answer(
        &mut self,
        from: NodeId,
        number: u64,
        (received, answered): (TimeInterval, TimeInterval),
        now: &Reading,
    ) {
        self.hear(from, answered, now);
        let answer = |peer: &mut Peer| peer.answer(number, received, answered, now.monotonic);
        if self.peers.get_mut(&from).is_some_and(answer) {
            self.hold_vote(now);
        }
    }

    /// Looks at this node's own clock. To be called with every reading that something is decided by: one that has left
    /// what the others agreed on is noticed before it is used.
    pub fn observe(&mut self, now: &Reading) {
        if let Some(fault @ (Fault::Suspended { .. } | Fault::Disrupted { .. })) = now.fault
            && self.slept != Some(fault)
        {
            // The monotonic clock stood still: what was measured on it is void.
            self.slept = Some(fault);
            self.forget();
        }
        if !knows_time(now) {
            return;
        }
        let Some((vote, at)) = self.last.as_ref().filter(|(vote, _)| vote.verdict == Verdict::Agrees) else {
            return;
        };
        let drifted_ns = drift(self.options.growth_ppb, now.monotonic.0.saturating_sub(at.0));
        let mine = Span::of(now.interval, now.monotonic).widened(drifted_ns);
        let gap_ns = vote.majorities.iter().map(|majority| majority.gap_ns(&mine)).min();
        if gap_ns.is_some_and(|gap_ns| gap_ns > 0) {
            self.hold_vote(now);
            if self.last.as_ref().is_some_and(|(vote, _)| vote.verdict == Verdict::Unheard) {
                // The others are silent by now; what they stated is as true as it was.
                let ballot = self.ballot(Duration::MAX, now);
                let vote = ballot.count();
                self.decide(&ballot, &vote, now);
            }
        }
    }

    /// Whether a peer states a time that this node holds impossible. Its statement left before now, so no delay excuses it.
    fn check(&mut self, from: NodeId, stated: TimeInterval, now: &Reading) {
        let by_ns = stated.earliest.ns_since(now.interval.latest);
        let is_news = by_ns > 0 && knows_time(now) && !self.contradicted.contains_key(&from);
        if is_news && !self.explains(from, now.monotonic) {
            // What was sampled since an earlier contradiction, and is still open, may go on to count: unless it speaks for
            // this clock, which may have jumped again meanwhile.
            self.contradicted.insert(from, by_ns);
            let is_first = self.contradicted.len() == 1;
            if (is_first || self.is_vouched_for(now)) && !is_planted(Bug::VoteCountsStale) {
                self.forget();
            }
            self.next_question = Monotonic(0);
        }
    }

    fn is_vouched_for(&self, now: &Reading) -> bool {
        let ballot = self.ballot(self.patience.fresh, now);
        ballot.peers.values().any(|claim| matches!(claim, Claim::Whole(span) if span.touches(&ballot.mine)))
    }

    /// Whether the last vote, a recent one, has told already which of the two clocks is wrong.
    fn explains(&self, peer: NodeId, now: Monotonic) -> bool {
        let Some((vote, at)) = &self.last else { return false };
        now.since(*at) <= self.patience.fresh
            && match vote.verdict {
                Verdict::Agrees => matches!(vote.peers.get(&peer), Some(Standing::Misses { .. })),
                Verdict::Outvoted { .. } | Verdict::Split => true,
                Verdict::Unheard => false,
            }
    }

    fn forget(&mut self) {
        self.peers.values_mut().for_each(Peer::forget);
        self.last = None;
    }

    /// What answers claim that are no older than `fresh`.
    fn ballot(&self, fresh: Duration, now: &Reading) -> Ballot {
        let patience = Patience { fresh, ..self.patience };
        let claims = self.peers.iter().map(|(node, peer)| (*node, peer.claim(now.monotonic, patience)));
        Ballot { mine: Span::of(now.interval, now.monotonic), peers: claims.collect() }
    }

    fn hold_vote(&mut self, now: &Reading) {
        if !knows_time(now) {
            self.last = None;
            // Whoever does not know the time agrees with nobody, whatever is open.
            if let Some(fence) = self.fence.as_mut() {
                fence.agrees_since = None;
            }
            return;
        }
        let ballot = self.ballot(self.patience.fresh, now);
        let vote = ballot.count();
        self.decide(&ballot, &vote, now);
        self.last = Some((vote, now.monotonic));
    }

    fn decide(&mut self, ballot: &Ballot, vote: &Vote, now: &Reading) {
        self.doubts.note(vote, &self.peers, now);
        match vote.verdict {
            Verdict::Agrees => {
                self.contradicted.retain(|peer, _| is_open(ballot, vote, *peer));
                self.agree(now.monotonic);
            }
            Verdict::Outvoted { by_ns } => {
                let evidence = evidence::outvoted(self.node, by_ns, ballot, vote);
                self.raise(Fault::Outvoted { by_ns }, evidence);
            }
            Verdict::Split => self.raise(Fault::NoMajority, evidence::split(self.node, ballot)),
            Verdict::Unheard => self.interrupt(),
        }
    }

    fn raise(&mut self, fault: Fault, evidence: String) {
        self.contradicted.clear();
        self.fence = Some(Fence { fault, evidence, agrees_since: None });
    }

    fn agree(&mut self, now: Monotonic) {
        let is_open = !self.contradicted.is_empty();
        let Some(fence) = self.fence.as_mut().filter(|_| !is_open) else { return };
        let since = *fence.agrees_since.get_or_insert(now);
        if now.since(since) >= self.options.unfence_after {
            self.fence = None;
            self.doubts.lift(now);
        }
    }

    /// Too few were heard to agree. Not so while a contradiction is open: then too few were heard since, and one wrong clock
    /// would keep all others fenced.
    fn interrupt(&mut self) {
        let is_open = !self.contradicted.is_empty();
        if let Some(fence) = self.fence.as_mut().filter(|_| !is_open) {
            fence.agrees_since = None;
        }
    }

    /// For operators: how this clock and the others stand.
    pub fn status(&self, now: &Reading) -> AgreementStatus {
        let mine = Span::of(now.interval, now.monotonic);
        let midpoint_ns = mine.low_ns.saturating_add(mine.high_ns.saturating_sub(mine.low_ns) / 2);
        let peers = self.peers.iter().map(|(node, peer)| {
            let standing = self.last.as_ref().and_then(|(vote, _)| vote.peers.get(node).copied());
            peer.show(*node, midpoint_ns, now.monotonic, standing.unwrap_or(Standing::Unheard))
        });
        AgreementStatus {
            fault: self.evidence(),
            is_heard: self.is_heard(now.monotonic),
            peers: peers.collect(),
            doubts: self.doubts.standings(now.monotonic),
        }
    }

    /// What the other clocks hold against this one, and the evidence in one sentence.
    pub fn evidence(&self) -> Option<(Fault, String)> {
        if let Some(fence) = &self.fence {
            return Some((fence.fault, fence.evidence.clone()));
        }
        let (by, by_ns) = self.contradicted.first_key_value()?;
        let sentence = evidence::contradicted(self.node, *by, *by_ns);
        Some((Fault::Contradicted { by: *by, by_ns: *by_ns }, sentence))
    }
}

/// Whether the reading's interval is one that its source stands for, be it too wide.
fn knows_time(now: &Reading) -> bool {
    matches!(now.fault, None | Some(Fault::TooWide { .. }))
}

/// Whether it is still open, after a vote that this node agrees with, who of the two was wrong.
fn is_open(ballot: &Ballot, vote: &Vote, peer: NodeId) -> bool {
    let convicted = matches!(vote.peers.get(&peer), Some(Standing::Misses { .. }));
    match ballot.peers.get(&peer) {
        // By now the two can be right together.
        Some(Claim::Whole(span)) => !convicted && !span.touches(&ballot.mine),
        Some(Claim::Awaited) => true,
        Some(Claim::NotBefore(low_ns)) => !convicted && *low_ns > ballot.mine.high_ns,
        Some(Claim::Silent) | None => false,
    }
}
