//! A vote over clocks: where true time can lie if more than half of the cluster's clocks are right, and who misses that.
//!
//! Marzullo's algorithm (K. Marzullo, "Maintaining the Time in a Distributed System", Stanford 1984; RFC 5905, appendix
//! A.5.5.1): of all intervals, the places that more than half of *all* clocks cover, those that were not heard included.
//! Knows nothing of how claims come about. Invariant: while more than half of all clocks state the truth and are heard, the
//! truth lies in such a place, and whoever states it touches one.

use std::collections::BTreeMap;

use super::offset::Span;
use crate::types::NodeId;

/// What a peer claims of true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Bounded on both sides, and fresh: it counts.
    Whole(Span),
    /// Only that it is not earlier: it may turn out to miss, but helps nobody to a majority.
    NotBefore(i64),
    /// An answer may come shortly.
    Awaited,
    Silent,
}

/// Everything a vote is decided by.
#[derive(Clone, Debug)]
pub struct Ballot {
    pub mine: Span,
    /// Of every other node of the cluster.
    pub peers: BTreeMap<NodeId, Claim>,
}

/// How the vote went for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A majority can be right together with it.
    Agrees,
    /// A majority can be right together, and it misses that by so much.
    Outvoted { by_ns: u64 },
    /// More than half of all clocks were heard, all that can be, and no majority can be right together.
    Split,
    /// Too few clocks were heard.
    Unheard,
}

/// How the vote went for a peer, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Agrees,
    /// It misses every majority, by so much.
    Misses {
        by_ns: u64,
    },
    Unheard,
}

/// A vote that was held.
#[derive(Clone, Debug)]
pub struct Vote {
    pub verdict: Verdict,
    pub peers: BTreeMap<NodeId, Standing>,
    /// Where true time can lie if a majority is right: apart from each other, in order.
    pub majorities: Vec<Span>,
}

impl Ballot {
    pub fn count(&self) -> Vote {
        let nodes = self.peers.len() + 1;
        let heard: Vec<Span> = self.heard().collect();
        let least = nodes / 2 + 1;
        let majorities = covered_by(&heard, least);
        let standing = |claim: &Claim| match claim {
            Claim::Whole(span) => match gap_to(span, &majorities) {
                Some(0) => Standing::Agrees,
                Some(by_ns) => Standing::Misses { by_ns },
                None => Standing::Unheard,
            },
            Claim::NotBefore(low_ns) => one_sided(*low_ns, &heard, &majorities, least),
            Claim::Awaited | Claim::Silent => Standing::Unheard,
        };
        let peers = self.peers.iter().map(|(node, claim)| (*node, standing(claim))).collect();
        let verdict = match gap_to(&self.mine, &majorities) {
            Some(0) => Verdict::Agrees,
            Some(by_ns) => Verdict::Outvoted { by_ns },
            None if 2 * heard.len() > nodes && !self.awaits() => Verdict::Split,
            None => Verdict::Unheard,
        };
        Vote { verdict, peers, majorities }
    }

    fn heard(&self) -> impl Iterator<Item = Span> {
        let whole = self.peers.values().filter_map(|claim| match claim {
            Claim::Whole(span) => Some(*span),
            Claim::NotBefore(_) | Claim::Awaited | Claim::Silent => None,
        });
        whole.chain([self.mine])
    }

    fn awaits(&self) -> bool {
        self.peers.values().any(|claim| *claim == Claim::Awaited)
    }
}

/// A peer that claims only that true time is not before `low_ns` misses if no majority can be right, not even together with
/// it, wherever its claim ends.
fn one_sided(low_ns: i64, heard: &[Span], majorities: &[Span], least: usize) -> Standing {
    let span = Span { low_ns, high_ns: i64::MAX };
    let with_it: Vec<Span> = heard.iter().copied().chain([span]).collect();
    match (gap_to(&span, majorities), gap_to(&span, &covered_by(&with_it, least))) {
        (Some(by_ns), Some(1..)) => Standing::Misses { by_ns },
        _ => Standing::Unheard,
    }
}

/// From `span` to the nearest of `majorities`; `None` if there are none.
fn gap_to(span: &Span, majorities: &[Span]) -> Option<u64> {
    majorities.iter().map(|majority| span.gap_ns(majority)).min()
}

/// The places that at least `least` of `spans` cover, by one sweep over their ends. Spans are closed: those that touch in
/// one point share it.
fn covered_by(spans: &[Span], least: usize) -> Vec<Span> {
    // At one point, what begins there counts before what ends there.
    let begins = spans.iter().map(|span| (span.low_ns, false));
    let ends = spans.iter().map(|span| (span.high_ns, true));
    let mut edges: Vec<(i64, bool)> = begins.chain(ends).collect();
    edges.sort_unstable();
    let (mut cover, mut began_ns, mut places) = (0, 0, Vec::new());
    for (ns, is_end) in edges {
        if is_end {
            if cover == least {
                places.push(Span { low_ns: began_ns, high_ns: ns });
            }
            cover -= 1;
        } else {
            cover += 1;
            if cover == least {
                began_ns = ns;
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(low_ns: i64, high_ns: i64) -> Span {
        Span { low_ns, high_ns }
    }

    fn ballot(mine: Span, peers: &[Claim]) -> Ballot {
        Ballot { mine, peers: (2..).map(NodeId).zip(peers.iter().copied()).collect() }
    }

    fn verdict(mine: Span, peers: &[Claim]) -> Verdict {
        ballot(mine, peers).count().verdict
    }

    const RIGHT: Claim = Claim::Whole(Span { low_ns: -10, high_ns: 10 });

    #[test]
    fn a_node_alone_agrees_with_itself() {
        assert_eq!(verdict(span(5, 6), &[]), Verdict::Agrees);
    }

    #[test]
    fn one_liar_of_three_is_outvoted_and_the_others_see_it_miss() {
        let liar = span(60, 70);
        assert_eq!(verdict(liar, &[RIGHT, RIGHT]), Verdict::Outvoted { by_ns: 50 });
        let seen = ballot(span(-10, 10), &[RIGHT, Claim::Whole(liar)]).count();
        assert_eq!(seen.verdict, Verdict::Agrees);
        assert_eq!(seen.peers[&NodeId(2)], Standing::Agrees);
        assert_eq!(seen.peers[&NodeId(3)], Standing::Misses { by_ns: 50 });
    }

    #[test]
    fn two_liars_of_five_together_are_outvoted_by_three() {
        let lies = Claim::Whole(span(100, 120));
        assert_eq!(verdict(span(100, 120), &[lies, RIGHT, RIGHT, RIGHT]), Verdict::Outvoted { by_ns: 90 });
        assert_eq!(verdict(span(0, 9), &[lies, lies, RIGHT, RIGHT]), Verdict::Agrees);
    }

    #[test]
    fn two_against_two_is_no_majority_for_anybody() {
        let lies = Claim::Whole(span(100, 120));
        assert_eq!(verdict(span(0, 9), &[RIGHT, lies, lies]), Verdict::Split);
        assert_eq!(verdict(span(100, 109), &[lies, RIGHT, RIGHT]), Verdict::Split);
    }

    #[test]
    fn silence_is_no_vote_and_an_answer_that_may_come_is_awaited() {
        let lies = Claim::Whole(span(100, 120));
        assert_eq!(verdict(span(0, 9), &[Claim::Silent, Claim::Silent]), Verdict::Unheard);
        assert_eq!(verdict(span(0, 9), &[lies, Claim::Awaited]), Verdict::Unheard);
        assert_eq!(verdict(span(0, 9), &[lies, Claim::Silent]), Verdict::Split);
        assert_eq!(verdict(span(0, 9), &[RIGHT, Claim::Awaited]), Verdict::Agrees);
    }

    #[test]
    fn a_one_sided_claim_may_miss_but_never_helps_a_majority() {
        let ahead = ballot(span(-10, 10), &[RIGHT, Claim::NotBefore(60)]).count();
        assert_eq!(ahead.peers[&NodeId(3)], Standing::Misses { by_ns: 50 });
        assert_eq!(verdict(span(0, 9), &[Claim::NotBefore(0), Claim::Silent]), Verdict::Unheard);
    }

    #[test]
    fn a_one_sided_claim_does_not_miss_while_a_majority_may_be_right_with_it() {
        let wide = Claim::Whole(span(-100, 200));
        let vote = ballot(span(0, 10), &[wide, Claim::NotBefore(100)]).count();
        assert_eq!((vote.verdict, vote.peers[&NodeId(3)]), (Verdict::Agrees, Standing::Unheard));
    }

    #[test]
    fn a_wide_claim_makes_two_majorities_and_touching_one_is_enough() {
        let wide = Claim::Whole(span(-100, 200));
        let vote = ballot(span(0, 10), &[wide, Claim::Whole(span(100, 110))]).count();
        assert_eq!(vote.majorities, [span(0, 10), span(100, 110)]);
        assert_eq!(vote.verdict, Verdict::Agrees);
    }

    #[test]
    fn closed_spans_that_meet_in_one_point_agree() {
        assert_eq!(verdict(span(10, 20), &[Claim::Whole(span(0, 10)), Claim::Silent]), Verdict::Agrees);
        assert_eq!(verdict(span(11, 20), &[Claim::Whole(span(0, 10)), Claim::Silent]), Verdict::Split);
    }

    proptest! {
        #[test]
        fn whoever_states_the_truth_agrees_while_a_majority_does(
            honest in prop::collection::vec((0_i64..500, 0_i64..500), 3..6),
            lies in prop::collection::vec((-5000_i64..5000, 0_i64..1000), 0..3),
        ) {
            prop_assume!(lies.len() < honest.len());
            let honest: Vec<_> = honest.into_iter().map(|(below, above)| span(-below, above)).collect();
            let others = honest[1..].iter().copied().chain(lies.into_iter().map(|(low, width)| span(low, low + width)));
            let peers: Vec<_> = others.map(Claim::Whole).collect();
            let vote = ballot(honest[0], &peers).count();
            prop_assert_eq!(vote.verdict, Verdict::Agrees);
            prop_assert!(vote.majorities.iter().any(|place| place.touches(&span(0, 0))));
        }

        #[test]
        fn the_sweep_finds_what_counting_at_every_point_finds(
            spans in prop::collection::vec((-20_i64..20, 0_i64..15), 1..7), least in 1_usize..5,
        ) {
            let spans: Vec<_> = spans.into_iter().map(|(low, width)| span(low, low + width)).collect();
            let places = covered_by(&spans, least);
            for point in -40..60 {
                let here = span(point, point);
                let cover = spans.iter().filter(|span| span.touches(&here)).count();
                prop_assert_eq!(cover >= least, places.iter().any(|place| place.touches(&here)));
            }
        }
    }
}
