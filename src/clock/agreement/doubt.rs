//! Whose bound turned out to have been false, since when, and up to when that node may have stamped or shown anything by it.
//!
//! Knows nothing of shards, nor of who writes a doubt down. A doubt begins when the clock was last known to be right with
//! the majority, not when it was convicted: what lies between was stamped, and shown, by nobody knows what. It is ripe a
//! while after the conviction, when the node has fenced itself (docs/TIME.md, "Marks"). What other nodes found out and tell is
//! kept beside, for this node may lead where they do not. Invariants: at most one doubt a node, and one told by others; a
//! doubt about this node itself is handed out only once its clock is trusted again; what others told is not told on, or no
//! doubt would ever end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::offset::{Span, drift};
use super::peer::Peer;
use super::vote::{Standing, Verdict, Vote};
use crate::clock::Reading;
use crate::simulation::{Bug, is_planted};
use crate::types::{MarkReason, Monotonic, NodeId, OrderMark, Timestamp};

/// How long a doubt is handed out after the clock agreed again: leaders that come about meanwhile write it down once more.
const KEPT_AFTER: Duration = Duration::from_secs(600);

/// A stretch of time in which a clock may have been wrong, and whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Doubts of one agreement are numbered; one that grew has a new number.
    pub number: u64,
    /// From the lowest timestamp that the clock may have given up to the highest `latest` it showed.
    pub mark: OrderMark,
}

impl Doubt {
    /// What lies outside of `own`, which is written down already: before it, and behind it. Written down later, the same
    /// range would reach further into what was stamped meanwhile.
    fn beyond(self, own: Option<OrderMark>) -> impl Iterator<Item = Self> {
        let Self { number, mark } = self;
        let own = own.filter(|own| own.from <= mark.until && mark.from <= own.until);
        let (before, behind) = match own {
            None => (Some(mark), None),
            Some(own) => {
                let (until, from) = (own.from.minus_ns(1), own.until.next());
                let before = (mark.from < own.from).then_some(OrderMark { until, ..mark });
                (before, (own.until < mark.until).then_some(OrderMark { from, ..mark }))
            }
        };
        let before = before.map(|mark| Self { number, mark });
        before.into_iter().chain(behind.map(|mark| Self { number: number + 1, mark }))
    }
}

/// A doubt as operators see it, whether it is to be written down by now or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoubtStanding {
    /// Whose clock, and which of its timestamps.
    pub mark: OrderMark,
    /// The clock does not agree again yet; this node's own: is still fenced.
    pub is_open: bool,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    doubt: Doubt,
    /// When the node has fenced itself, whatever it heard.
    ripe_at: Monotonic,
    /// Since when the clock is trusted again.
    closed_at: Option<Monotonic>,
}

impl Case {
    fn is_kept(&self, now: Monotonic) -> bool {
        self.closed_at.is_none_or(|at| now.since(at) <= KEPT_AFTER)
    }
}

/// What others say of a clock. They say it again and again while they hand it out themselves.
#[derive(Clone, Copy, Debug)]
struct Told {
    doubt: Doubt,
    heard_at: Monotonic,
}

/// A moment at which a clock agreed. Its `earliest` is kept as it was: when the doubt arises, this node's own clock may be the
/// wrong one, or its machine have slept since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Agreed {
    at: Monotonic,
    earliest: Timestamp,
}

impl Agreed {
    fn now(now: &Reading) -> Self {
        Self { at: now.monotonic, earliest: now.interval.earliest }
    }

    /// At an earlier moment, by a clock that is right.
    fn before(now: &Reading, at: Monotonic) -> Self {
        let ago_ns = now.monotonic.0.saturating_sub(at.0);
        Self { at, earliest: now.interval.earliest.minus_ns(ago_ns) }
    }
}

/// Why a clock does not agree, and where its `latest` minus this node's monotonic clock lay.
struct Conviction {
    node: NodeId,
    reason: MarkReason,
    off_by_ns: u64,
    reach: Span,
}

/// What one node knows of wrong clocks, its own included.
#[derive(Debug)]
pub(super) struct Doubts {
    node: NodeId,
    growth_ppb: u64,
    ripens_after: Duration,
    /// When each clock was last known to be right with the majority. Of one that never was: when this node first voted.
    agreed: BTreeMap<NodeId, Agreed>,
    cases: BTreeMap<NodeId, Case>,
    told: BTreeMap<NodeId, Told>,
    numbered: u64,
}

impl Doubts {
    /// `ripens_after`: a node that hears nobody for so long assigns nothing, and one that is heard has voted.
    pub(super) fn new(node: NodeId, growth_ppb: u64, ripens_after: Duration) -> Self {
        let (agreed, cases, told) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { node, growth_ppb, ripens_after, agreed, cases, told, numbered: 0 }
    }

    /// The doubts that are to be written down: this node's own, and what others told that goes beyond them.
    pub(super) fn due(&self, now: Monotonic) -> impl Iterator<Item = Doubt> {
        let told = self.told.values().filter(move |told| now.since(told.heard_at) <= KEPT_AFTER);
        let beyond = move |told: &Told| {
            let own = self.own(now).find(|own| own.mark.node == told.doubt.mark.node);
            told.doubt.beyond(own.map(|own| own.mark))
        };
        self.own(now).chain(told.flat_map(beyond))
    }

    /// What this node found out itself, as far as it is to be written down and told.
    pub(super) fn own(&self, now: Monotonic) -> impl Iterator<Item = Doubt> {
        let is_due = move |case: &&Case| {
            let is_told = case.closed_at.is_some() || case.doubt.mark.node != self.node;
            case.is_kept(now) && is_told && now >= case.ripe_at
        };
        self.cases.values().filter(is_due).map(|case| case.doubt)
    }

    /// Every doubt that is open, or that new leaders still write down.
    pub(super) fn standings(&self, now: Monotonic) -> Vec<DoubtStanding> {
        let known = self.cases.values().filter(|case| case.is_kept(now));
        let standing =
            |case: &Case| DoubtStanding { mark: case.doubt.mark, is_open: case.closed_at.is_none() };
        known.map(standing).collect()
    }

    /// Another node says that a clock may have been wrong.
    pub(super) fn learn(&mut self, mark: OrderMark, now: Monotonic) {
        let known = self.told.get(&mark.node).filter(|told| now.since(told.heard_at) <= KEPT_AFTER);
        let doubt = match known.map(|told| told.doubt) {
            Some(known) if covers(&known.mark, &mark) => known,
            known => {
                // Where it goes beyond this node's own doubt at both ends it is two.
                self.numbered += 2;
                Doubt {
                    number: self.numbered - 1,
                    mark: known.map_or(mark, |known| joined(&mark, &known.mark)),
                }
            }
        };
        self.told.insert(mark.node, Told { doubt, heard_at: now });
    }

    /// This node's fence was lifted.
    pub(super) fn lift(&mut self, now: Monotonic) {
        self.close(self.node, now);
    }

    /// Takes what a vote says of every clock. Only of a vote that went for this node are the peers' standings believed.
    pub(super) fn note(&mut self, vote: &Vote, peers: &BTreeMap<NodeId, Peer>, now: &Reading) {
        let everybody = peers.keys().copied().chain([self.node]);
        everybody.for_each(|node| _ = self.agreed.entry(node).or_insert(Agreed::now(now)));
        let mine = own_reach(now);
        match vote.verdict {
            Verdict::Agrees => {
                self.agreed.insert(self.node, Agreed::now(now));
                for (node, peer) in peers {
                    self.note_peer(*node, peer, vote.peers.get(node).copied(), now);
                }
            }
            Verdict::Outvoted { by_ns } => {
                let (node, reason) = (self.node, MarkReason::Outvoted);
                self.convict(&Conviction { node, reason, off_by_ns: by_ns, reach: mine }, now);
            }
            Verdict::Split => {
                // Others may have led since all agreed again, though the fence of an earlier split still stands here.
                let agreed = self.agreed[&self.node].at;
                if self.cases.get(&self.node).is_some_and(|case| agreed > case.ripe_at) {
                    self.close(self.node, now.monotonic);
                }
                // Any of them may have been wrong since it last agreed.
                let reach = peers.values().filter_map(Peer::reach).fold(mine, Span::hull);
                let since = self.agreed.values().min().copied().unwrap_or_else(|| Agreed::now(now));
                self.agreed.insert(self.node, since);
                let (node, reason) = (self.node, MarkReason::NoMajority);
                self.convict(&Conviction { node, reason, off_by_ns: 0, reach }, now);
            }
            Verdict::Unheard => {}
        }
    }

    fn note_peer(&mut self, node: NodeId, peer: &Peer, standing: Option<Standing>, now: &Reading) {
        match standing {
            Some(Standing::Agrees) => {
                if let Some(asked) = peer.vouched_at() {
                    self.agreed.insert(node, Agreed::before(now, asked));
                    self.close(node, now.monotonic);
                }
            }
            Some(Standing::Misses { by_ns }) => {
                let reach = peer.reach().unwrap_or_else(|| own_reach(now));
                let reason = MarkReason::Outvoted;
                self.convict(&Conviction { node, reason, off_by_ns: by_ns, reach }, now);
            }
            Some(Standing::Unheard) | None => {}
        }
    }

    fn close(&mut self, node: NodeId, now: Monotonic) {
        if let Some(case) = self.cases.get_mut(&node) {
            case.closed_at.get_or_insert(now);
        }
    }

    /// Opens a doubt, or lets the one about the same node grow: it is closed, or not ripe yet. What a convicted node shows
    /// later it shows fenced.
    fn convict(&mut self, conviction: &Conviction, now: &Reading) {
        let node = conviction.node;
        let old = self.cases.get(&node).copied();
        if old.is_some_and(|case| case.closed_at.is_none() && now.monotonic >= case.ripe_at) {
            return;
        }
        let is_news = old.is_none_or(|case| case.closed_at.is_some());
        let ripe_at = match old {
            Some(case) if !is_news => case.ripe_at,
            _ => now.monotonic.plus(self.ripens_after),
        };
        let mut mark = self.doubted(conviction, ripe_at, now);
        if let Some(case) = old.filter(|case| case.is_kept(now.monotonic)) {
            mark = joined(&mark, &case.doubt.mark);
        }
        let number = old.filter(|_| !is_news).map_or(self.numbered + 1, |case| case.doubt.number);
        self.numbered = self.numbered.max(number);
        self.cases.insert(node, Case { doubt: Doubt { number, mark }, ripe_at, closed_at: None });
    }

    /// From when the clock last agreed until `ripe_at`, in its own time where that is lower, or higher.
    fn doubted(&self, conviction: &Conviction, ripe_at: Monotonic, now: &Reading) -> OrderMark {
        let known = self.agreed.get(&conviction.node).copied().filter(|_| !is_planted(Bug::MarkTooShort));
        let Agreed { at: since, earliest: agreed } = known.unwrap_or_else(|| Agreed::now(now));
        let drifted_ns = drift(self.growth_ppb, ripe_at.0.saturating_sub(since.0)).unsigned_abs();
        let from = agreed.min(shown(since, conviction.reach.low_ns)).minus_ns(drifted_ns);
        let until = shown(ripe_at, conviction.reach.high_ns).plus_ns(drifted_ns).max(from);
        let Conviction { node, reason, off_by_ns, .. } = *conviction;
        OrderMark { node, from, until, off_by_ns, reason }
    }
}

/// One mark for both ranges of a clock, and what lies between.
fn joined(mark: &OrderMark, known: &OrderMark) -> OrderMark {
    OrderMark {
        from: mark.from.min(known.from),
        until: mark.until.max(known.until),
        off_by_ns: mark.off_by_ns.max(known.off_by_ns),
        ..*mark
    }
}

/// Whether `known` says all that `mark` says.
fn covers(known: &OrderMark, mark: &OrderMark) -> bool {
    known.node == mark.node && known.from <= mark.from && mark.until <= known.until
}

/// Where this node's `latest` lies.
fn own_reach(now: &Reading) -> Span {
    let high_ns = Span::of(now.interval, now.monotonic).high_ns;
    Span { low_ns: high_ns, high_ns }
}

/// A clock's timestamp when the monotonic clock shows `at`.
fn shown(at: Monotonic, ahead_ns: i64) -> Timestamp {
    Timestamp(at.0.saturating_add_signed(ahead_ns))
}
