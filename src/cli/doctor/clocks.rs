//! Whether each node answers, knows the time well enough, and agrees with the others.

use super::finding::Finding;
use crate::cli::moment::show_ns;
use crate::client::{ClockAnswer, ClockInfo, ClockPeerInfo};
use crate::types::NodeId;

/// The operator's way to find out more about a machine's clock.
const ASK_CHRONY: &str = "chronyc tracking; chronyc -n sources";

pub(super) fn checks(answers: &[ClockAnswer]) -> Vec<Finding> {
    let clocks: Vec<&ClockInfo> = answers.iter().filter_map(|answer| answer.clock.as_ref().ok()).collect();
    answers.iter().flat_map(|answer| of_node(answer, &clocks, answers.len())).collect()
}

fn of_node(answer: &ClockAnswer, clocks: &[&ClockInfo], nodes: usize) -> Vec<Finding> {
    let check = format!("node {} answers", answer.node);
    match &answer.clock {
        Err(error) => {
            let fix = format!("timberline serve --config node-{}.toml, or see its log", answer.node);
            vec![Finding::failure(check, error.to_string(), fix)]
        }
        Ok(clock) => {
            let took = answer.arrived.saturating_duration_since(answer.asked).as_nanos();
            let reached =
                Finding::ok(check, format!("within {}", show_ns(u64::try_from(took).unwrap_or(u64::MAX))));
            let vote = vote(clock.node, clocks, nodes);
            [reached, state(clock), source(clock), bound(clock), vote, leap(clock)].into()
        }
    }
}

fn named(clock: &ClockInfo, what: &str) -> String {
    format!("clock {} {what}", clock.node)
}

fn state(clock: &ClockInfo) -> Finding {
    let check = named(clock, "state");
    match clock.state.as_str() {
        "trusted" if clock.reason.is_empty() => Finding::ok(check, "trusted"),
        "trusted" => {
            Finding::warning(check, format!("trusted, but {}", clock.reason), "timberline clock status")
        }
        state => Finding::failure(check, format!("{state}: {}", clock.reason), on(clock.node, ASK_CHRONY)),
    }
}

fn source(clock: &ClockInfo) -> Finding {
    let check = named(clock, "source");
    let refused =
        clock.refused.iter().map(|refused| format!("; {} is not used: {}", refused.source, refused.reason));
    let refused: String = refused.collect();
    let source = &clock.source;
    if clock.is_unknown {
        let reason = format!("{source} is not synchronised{refused}");
        return Finding::failure(check, reason, on(clock.node, "apt-get install chrony"));
    }
    if source.ends_with("+injected") {
        let reason = format!("{source}: a control file may make it lie");
        return Finding::warning(
            check,
            reason,
            "timberline config show --config FILE; unset clock.inject_file",
        );
    }
    if source == "declared" {
        let reason = "declared: an operator vouches for the bound, and nothing measures it";
        return Finding::warning(
            check,
            reason,
            on(clock.node, "apt-get install chrony; clock.source = \"auto\""),
        );
    }
    Finding::ok(check, format!("{source}, sampled {} ago{refused}", show_ns(clock.age_ns)))
}

fn bound(clock: &ClockInfo) -> Finding {
    let check = named(clock, "uncertainty");
    let (eps_ns, eps_max_ns) = (clock.uncertainty_ns, clock.eps_max_ns);
    let reason = format!("{} of at most {}", show_ns(eps_ns), show_ns(eps_max_ns));
    let fix = || on(clock.node, ASK_CHRONY);
    if clock.is_unknown {
        return Finding::failure(check, "it cannot be told: the source does not know the time", fix());
    }
    match eps_ns {
        _ if eps_ns > eps_max_ns => Finding::failure(check, reason, fix()),
        _ if eps_ns > eps_max_ns / 2 => Finding::warning(check, reason, fix()),
        _ => Finding::ok(check, reason),
    }
}

/// What the other nodes say of this one's clock, and how far off it is by their measure.
fn vote(node: NodeId, clocks: &[&ClockInfo], nodes: usize) -> Finding {
    let check = format!("clock {node} vote");
    let seen_by = |clock: &&ClockInfo| -> Option<(NodeId, ClockPeerInfo)> {
        let peer = clock.peers.iter().find(|peer| peer.node == node)?;
        Some((clock.node, peer.clone()))
    };
    let voices: Vec<(NodeId, ClockPeerInfo)> = clocks.iter().filter_map(seen_by).collect();
    let who = |verdict: &str| -> Vec<String> {
        let they = voices.iter().filter(|(_, peer)| peer.verdict == verdict);
        they.map(|(by, _)| by.to_string()).collect()
    };
    let known = voices.iter().filter(|(_, peer)| peer.offset_low_ns != i64::MIN);
    let off_ns = known
        .map(|(_, peer)| peer.offset_low_ns.unsigned_abs().max(peer.offset_high_ns.unsigned_abs()))
        .max();
    let off = off_ns.map_or_else(String::new, |ns| format!("; at most {} off theirs", show_ns(ns)));
    let (misses, agrees) = (who("misses"), who("agrees"));
    if nodes == 1 {
        return Finding::ok(check, "the only clock of the cluster");
    }
    if !misses.is_empty() {
        let reason = format!("it misses the majority, by the word of nodes {}{off}", misses.join(", "));
        return Finding::failure(check, reason, on(node, ASK_CHRONY));
    }
    if agrees.is_empty() {
        let reason = format!("no other node can say whether it agrees{off}");
        return Finding::warning(check, reason, "timberline cluster status; timberline clock watch");
    }
    Finding::ok(check, format!("in the majority, by the word of nodes {}{off}", agrees.join(", ")))
}

fn leap(clock: &ClockInfo) -> Finding {
    let check = named(clock, "leap second");
    match clock.leap.as_str() {
        "insert" | "delete" => {
            let reason = format!("one is pending at the end of the day: {}", clock.leap);
            let fix = on(clock.node, "chronyc tracking; see that all nodes smear it, or none");
            Finding::warning(check, reason, fix)
        }
        "none" => Finding::ok(check, "none is pending"),
        _ => Finding::ok(check, "the source does not say"),
    }
}

fn on(node: NodeId, command: &str) -> String {
    format!("on node {node}'s machine: {command}")
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::finding::Outcome;
    use super::*;
    use crate::cli::clock::fixture::{clock, peer};
    use crate::client::{ClockRefusalInfo, Error};

    fn answer(clock: ClockInfo) -> ClockAnswer {
        let now = Instant::now();
        ClockAnswer { node: clock.node, asked: now, arrived: now, clock: Ok(clock) }
    }

    fn measured(node: u64, others: [u64; 2]) -> ClockInfo {
        let mut clock = clock(node, 1_000_000);
        clock.source = "chrony".to_owned();
        clock.peers = others.map(|other| peer(other, "agrees")).into();
        clock
    }

    fn well() -> [ClockInfo; 3] {
        [measured(1, [2, 3]), measured(2, [1, 3]), measured(3, [1, 2])]
    }

    /// What is not well of these clocks.
    fn found(clocks: [ClockInfo; 3]) -> Vec<(String, Outcome)> {
        let checks = checks(&clocks.map(answer));
        assert!(
            checks.iter().all(|check| (check.result == Outcome::Ok) == check.fix.is_none()),
            "{checks:?}"
        );
        let bad = checks.into_iter().filter(|check| check.result != Outcome::Ok);
        bad.map(|check| (check.check, check.result)).collect()
    }

    fn one(check: &str, result: Outcome) -> Vec<(String, Outcome)> {
        vec![(check.to_owned(), result)]
    }

    #[test]
    fn clocks_that_are_well_raise_nothing() {
        assert_eq!(found(well()), []);
    }

    #[test]
    fn each_thing_that_is_wrong_is_found_by_its_own_check() {
        let broken = |change: fn(&mut ClockInfo)| {
            let mut clocks = well();
            change(&mut clocks[1]);
            found(clocks)
        };
        let fenced = broken(|clock| clock.state = "fenced".to_owned());
        assert_eq!(fenced, one("clock 2 state", Outcome::Failure));
        let unheard = broken(|clock| clock.reason = "no majority was heard".to_owned());
        assert_eq!(unheard, one("clock 2 state", Outcome::Warning));
        let declared = broken(|clock| clock.source = "declared".to_owned());
        assert_eq!(declared, one("clock 2 source", Outcome::Warning));
        let injected = broken(|clock| clock.source = "chrony+injected".to_owned());
        assert_eq!(injected, one("clock 2 source", Outcome::Warning));
        let wide = broken(|clock| clock.uncertainty_ns = 5_000_001);
        assert_eq!(wide, one("clock 2 uncertainty", Outcome::Warning));
        let too_wide = broken(|clock| clock.uncertainty_ns = 10_000_001);
        assert_eq!(too_wide, one("clock 2 uncertainty", Outcome::Failure));
        let leap = broken(|clock| clock.leap = "insert".to_owned());
        assert_eq!(leap, one("clock 2 leap second", Outcome::Warning));
        let misses = broken(|clock| clock.peers[1].verdict = "misses".to_owned());
        assert_eq!(misses, one("clock 3 vote", Outcome::Failure));
    }

    #[test]
    fn a_source_that_is_refused_says_why() {
        let mut clocks = well();
        clocks[0].is_unknown = true;
        clocks[0].refused =
            vec![ClockRefusalInfo { source: "chrony".to_owned(), reason: "it is in local mode".to_owned() }];
        let checks = checks(&clocks.map(answer));
        let source = checks.iter().find(|check| check.check == "clock 1 source").unwrap();
        assert_eq!(source.result, Outcome::Failure);
        assert!(source.reason.contains("local mode"), "{source:?}");
    }

    #[test]
    fn a_node_that_does_not_answer_fails_one_check_and_the_others_still_vote() {
        let now = Instant::now();
        let error = Err(Error::Unreachable { address: "here".to_owned(), reason: "silence".to_owned() });
        let gone = ClockAnswer { node: NodeId(2), asked: now, arrived: now, clock: error };
        let [first, _, third] = well();
        let checks = checks(&[answer(first), gone, answer(third)]);
        let bad: Vec<_> = checks.iter().filter(|check| check.result != Outcome::Ok).collect();
        assert_eq!(bad.len(), 1);
        assert!(bad[0].check == "node 2 answers" && bad[0].fix.is_some(), "{bad:?}");
    }
}
