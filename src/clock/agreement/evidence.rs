//! One sentence for the operator: who claims what, and who misses whom by how much.
//!
//! Knows nothing of what follows from it.

use std::fmt::Write;

use super::offset::Span;
use super::vote::{Ballot, Claim, Vote};
use crate::types::NodeId;

/// Why `node` is fenced that misses the majority by `by_ns`.
pub(super) fn outvoted(node: NodeId, by_ns: u64, ballot: &Ballot, vote: &Vote) -> String {
    let supports = |claim: &Claim| match claim {
        Claim::Whole(span) => vote.majorities.iter().any(|majority| majority.touches(span)),
        Claim::NotBefore(_) | Claim::Awaited | Claim::Silent => false,
    };
    let by: Vec<NodeId> =
        ballot.peers.iter().filter(|(_, claim)| supports(claim)).map(|(peer, _)| *peer).collect();
    let midpoint_ns = midpoint(&ballot.mine);
    let places: Vec<String> =
        vote.majorities.iter().map(|span| range(&span.shifted(midpoint_ns.saturating_neg()))).collect();
    format!(
        "node {node} misses the majority by {}: it claims to know the time to {}, but {} agree that the true time lies {} \
         from its clock; check its time source",
        ms(by_ns),
        ms(ballot.mine.high_ns.abs_diff(ballot.mine.low_ns) / 2),
        names(&by),
        places.join(" or "),
    )
}

/// Why `node` is fenced that stands still because no majority agrees.
pub(super) fn split(node: NodeId, ballot: &Ballot) -> String {
    let midpoint_ns = midpoint(&ballot.mine);
    let nodes = ballot.peers.len() + 1;
    let mut text =
        format!("no majority of the {nodes} nodes' clocks can be right together; from node {node}'s clock");
    for (peer, claim) in &ballot.peers {
        match claim {
            Claim::Whole(span) => {
                let span = range(&span.shifted(midpoint_ns.saturating_neg()));
                let _ = write!(text, ", node {peer} claims that the true time lies {span}");
            }
            Claim::NotBefore(_) | Claim::Awaited | Claim::Silent => {
                let _ = write!(text, ", node {peer} is not heard");
            }
        }
    }
    text.push_str("; check the time sources of all of them");
    text
}

/// Why `node` waits for a vote.
pub(super) fn contradicted(node: NodeId, by: NodeId, by_ns: u64) -> String {
    format!(
        "node {by} stated a time that is {} later than node {node} holds possible: one of the two clocks is wrong, and node \
         {node} exposes nothing until fresh answers of the others tell which",
        ms(by_ns)
    )
}

/// "nodes 1 and 2".
fn names(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
    match names.split_last() {
        None => "the others".to_owned(),
        Some((only, [])) => format!("node {only} and another"),
        Some((last, others)) => format!("nodes {} and {last}", others.join(", ")),
    }
}

fn range(span: &Span) -> String {
    format!("{} to {}", signed_ms(span.low_ns), signed_ms(span.high_ns))
}

fn midpoint(span: &Span) -> i64 {
    span.low_ns.saturating_add(span.high_ns.saturating_sub(span.low_ns) / 2)
}

fn ms(ns: u64) -> String {
    format!("{}.{:03} ms", ns / 1_000_000, ns % 1_000_000 / 1_000)
}

fn signed_ms(ns: i64) -> String {
    format!("{}{}", if ns < 0 { "-" } else { "+" }, ms(ns.unsigned_abs()))
}
