//! Who is in the majority, of the clocks that are seen: the nodes' own vote over what is drawn, and their own words.
//!
//! Knows nothing of drawing. The picture is voted on with the nodes' algorithm, so that what is drawn red can be seen to
//! miss. What nodes measure of each other is finer than what can be measured from here: a clock that more of them find
//! missing than agreeing misses, though the drawing leaves it open.

use std::collections::BTreeMap;

use super::sighting::{Place, Sighting};
use crate::clock::{Ballot, Claim, Span, Verdict, Vote};
use crate::types::NodeId;

/// How a clock stands to the majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Agrees,
    Misses,
    /// Nothing is known of it, or there is no majority.
    Unheard,
}

impl Standing {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "majority",
            Self::Misses => "misses",
            Self::Unheard => "unheard",
        }
    }
}

/// The clocks' vote, as it is seen from here.
#[derive(Clone, Debug)]
pub(super) struct Council {
    /// Where true time lies if a majority is right; `None` if none agrees.
    pub(super) majority: Option<Span>,
    /// The middle of that, or of all that is heard.
    pub(super) centre_ns: i64,
    /// More than half of the clocks were heard, and no majority can be right together.
    pub(super) is_split: bool,
    standings: BTreeMap<NodeId, Standing>,
}

impl Council {
    pub(super) fn of(sightings: &[Sighting]) -> Self {
        let places: BTreeMap<NodeId, Place> =
            sightings.iter().filter_map(|seen| Some((seen.node, seen.place?))).collect();
        let vote = hold(sightings, &places);
        let majorities = vote.as_ref().map_or_else(Vec::new, |(_, vote)| vote.majorities.clone());
        let standings =
            sightings.iter().map(|seen| (seen.node, standing(seen, vote.as_ref(), sightings))).collect();
        let heard: Vec<Span> = places.values().map(Place::outer).collect();
        let middle = hull(&majorities).or_else(|| hull(&heard)).map_or(0, |span| middle(&span));
        Self {
            majority: hull(&majorities),
            centre_ns: middle,
            is_split: vote.is_some_and(|(_, vote)| vote.verdict == Verdict::Split),
            standings,
        }
    }

    pub(super) fn standing(&self, node: NodeId) -> Standing {
        self.standings.get(&node).copied().unwrap_or(Standing::Unheard)
    }
}

/// The vote as the first node that is heard would hold it.
fn hold(sightings: &[Sighting], places: &BTreeMap<NodeId, Place>) -> Option<(NodeId, Vote)> {
    let (voter, mine) = places.first_key_value()?;
    let others = sightings.iter().map(|seen| seen.node).filter(|node| node != voter);
    let claim = |node: NodeId| {
        let claim = places.get(&node).map_or(Claim::Silent, |place| Claim::Whole(place.outer()));
        (node, claim)
    };
    let ballot = Ballot { mine: mine.outer(), peers: others.map(claim).collect() };
    Some((*voter, ballot.count()))
}

fn standing(seen: &Sighting, vote: Option<&(NodeId, Vote)>, sightings: &[Sighting]) -> Standing {
    let Some((voter, vote)) = vote.filter(|_| seen.place.is_some()) else { return Standing::Unheard };
    let drawn = if seen.node == *voter {
        match vote.verdict {
            Verdict::Agrees => Standing::Agrees,
            Verdict::Outvoted { .. } => Standing::Misses,
            Verdict::Split | Verdict::Unheard => Standing::Unheard,
        }
    } else {
        match vote.peers.get(&seen.node) {
            Some(crate::clock::Standing::Agrees) => Standing::Agrees,
            Some(crate::clock::Standing::Misses { .. }) => Standing::Misses,
            Some(crate::clock::Standing::Unheard) | None => Standing::Unheard,
        }
    };
    let voices = |word: &str| {
        let others = sightings.iter().filter(|other| other.node != seen.node);
        let words = others.filter_map(|other| other.clock.as_ref().ok()).flat_map(|clock| &clock.peers);
        words.filter(|peer| peer.node == seen.node && peer.verdict == word).count()
    };
    if voices("misses") > voices("agrees") { Standing::Misses } else { drawn }
}

/// From the lowest to the highest; they stand in no order.
fn hull(spans: &[Span]) -> Option<Span> {
    let low_ns = spans.iter().map(|span| span.low_ns).min()?;
    let high_ns = spans.iter().map(|span| span.high_ns).max()?;
    Some(Span { low_ns, high_ns })
}

pub(super) fn middle(span: &Span) -> i64 {
    span.low_ns.saturating_add(span.high_ns.saturating_sub(span.low_ns) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::clock::fixture::{clock, peer};

    fn seen(node: u64, midpoint_ns: i64, uncertainty_ns: i64) -> Sighting {
        let midpoint = Span { low_ns: midpoint_ns - 10, high_ns: midpoint_ns + 10 };
        Sighting {
            node: NodeId(node),
            clock: Ok(clock(node, uncertainty_ns.unsigned_abs())),
            place: Some(Place { midpoint, uncertainty_ns }),
            round_trip_ns: 20,
        }
    }

    fn unheard(node: u64) -> Sighting {
        let clock = Err("no answer".to_owned());
        Sighting { node: NodeId(node), clock, place: None, round_trip_ns: 0 }
    }

    fn standings(sightings: &[Sighting]) -> Vec<Standing> {
        let council = Council::of(sightings);
        sightings.iter().map(|seen| council.standing(seen.node)).collect()
    }

    #[test]
    fn one_that_is_far_off_misses_wherever_it_stands_in_the_list() {
        use Standing::{Agrees, Misses};
        let (off, right) = (5_000, 0);
        assert_eq!(
            standings(&[seen(1, off, 100), seen(2, right, 100), seen(3, right, 100)]),
            [Misses, Agrees, Agrees]
        );
        assert_eq!(
            standings(&[seen(1, right, 100), seen(2, right, 100), seen(3, off, 100)]),
            [Agrees, Agrees, Misses]
        );
        let council = Council::of(&[seen(1, off, 100), seen(2, right, 100), seen(3, right, 100)]);
        assert_eq!((council.centre_ns, council.is_split), (0, false));
    }

    #[test]
    fn silence_counts_as_a_clock_and_two_that_part_are_no_majority() {
        use Standing::{Agrees, Unheard};
        assert_eq!(standings(&[seen(1, 0, 100), unheard(2), seen(3, 0, 100)]), [Agrees, Unheard, Agrees]);
        let split = [seen(1, 0, 100), unheard(2), seen(3, 5_000, 100)];
        assert_eq!(standings(&split), [Unheard, Unheard, Unheard]);
        let council = Council::of(&split);
        assert!(council.is_split && council.majority.is_none());
        assert_eq!(council.centre_ns, 2_500);
        assert_eq!(standings(&[unheard(1), unheard(2)]), [Unheard, Unheard]);
    }

    #[test]
    fn a_clock_that_the_nodes_find_missing_misses_though_the_drawing_leaves_it_open() {
        let mut seen = [seen(1, 0, 100), seen(2, 150, 100), seen(3, 0, 100)];
        assert_eq!(standings(&seen), [Standing::Agrees; 3]);
        for voice in [0, 2] {
            seen[voice].clock.as_mut().unwrap().peers = vec![peer(2, "misses")];
        }
        assert_eq!(standings(&seen), [Standing::Agrees, Standing::Misses, Standing::Agrees]);
        seen[0].clock.as_mut().unwrap().peers = vec![peer(2, "agrees")];
        assert_eq!(standings(&seen), [Standing::Agrees; 3], "one against one");
    }
}
