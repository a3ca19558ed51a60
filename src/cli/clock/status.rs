//! `clock status`: every node's clock, what it knows of the others', and why it is refused.

use std::time::Duration;

use serde::Serialize;

use super::row::{ClockRow, DoubtRow, PeerRow};
use crate::cli::arguments::Common;
use crate::cli::connect::connect;
use crate::cli::failure::Failure;
use crate::cli::moment::{show, show_ns, show_signed_ns};
use crate::cli::output::{Format, Row, print_line, print_rows};
use crate::types::Timestamp;

/// A node that has not told its clock by then counts as unreachable.
pub(in crate::cli) const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Asks all nodes at once; one that does not answer has a row that says so.
pub(in crate::cli) async fn status(common: &Common) -> Result<(), Failure> {
    let answers = connect(common).await?.read_clocks(ANSWER_LIMIT).await?;
    let rows: Vec<_> = answers.iter().map(ClockRow::of).collect();
    let format = Format::or_default(common.output);
    print_rows(format, &rows)?;
    if format != Format::Table {
        return Ok(());
    }
    let peers: Vec<_> = rows
        .iter()
        .flat_map(|row| row.peers.iter().map(|peer| SeenPeer { seen_by: row.node, peer }))
        .collect();
    if !peers.is_empty() {
        print_line("")?;
        print_rows(format, &peers)?;
    }
    let sentences: Vec<_> = rows.iter().flat_map(sentences).collect();
    if !sentences.is_empty() {
        print_line(&format!("\n{}", sentences.join("\n")))?;
    }
    Ok(())
}

/// What is to be said of a node beside its numbers.
fn sentences(row: &ClockRow) -> Vec<String> {
    let reason = (!row.reason.is_empty()).then(|| row.reason.clone());
    let step = row.last_step().map(|(what, at)| format!("at {}, {what}", show(at)));
    let refused =
        row.refused.iter().map(|refused| format!("{} is not used: {}", refused.source, refused.reason));
    let doubts = row.doubts.iter().map(doubt);
    let all = reason.into_iter().chain(step).chain(refused).chain(doubts);
    all.map(|sentence| format!("node {}, {}: {sentence}", row.node, row.state)).collect()
}

/// Since when a clock is in doubt, and why.
fn doubt(doubt: &DoubtRow) -> String {
    let (since, why) = (show(Timestamp(doubt.from_timestamp_ns)), &doubt.why);
    let stands = if doubt.is_open { "in doubt since" } else { "no longer in doubt, as it was since" };
    format!("{stands} {since}: {why}; the records that this can concern are marked in the log")
}

/// A peer, and whose view of it this is.
#[derive(Serialize)]
struct SeenPeer<'a> {
    seen_by: u64,
    #[serde(flatten)]
    peer: &'a PeerRow,
}

impl Row for SeenPeer<'_> {
    fn titles() -> Vec<&'static str> {
        vec!["NODE", "PEER", "VERDICT", "OFFSET FROM", "TO", "ROUND TRIP", "ITS UNCERTAINTY"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        let peer = self.peer;
        let is_known = (peer.offset_low_ns, peer.offset_high_ns) != (i64::MIN, i64::MAX);
        let known = |text: String| if is_known { text } else { "-".to_owned() };
        let uncertainty = match peer.uncertainty_ns {
            u64::MAX => "-".to_owned(),
            ns => show_ns(ns),
        };
        vec![vec![
            self.seen_by.to_string(),
            peer.node.to_string(),
            peer.verdict.clone(),
            known(show_signed_ns(peer.offset_low_ns)),
            known(show_signed_ns(peer.offset_high_ns)),
            known(show_ns(peer.rtt_ns)),
            uncertainty,
        ]]
    }
    fn raw(&self) -> String {
        self.peer.verdict.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::clock::fixture::clock;
    use crate::cli::output::to_json;
    use crate::client::ClockDoubtInfo;
    use crate::types::NodeId;

    #[test]
    fn a_fault_is_told_whole_and_a_node_that_does_not_answer_says_so() {
        let evidence = "node 2 misses the majority by 4.9 s: ".repeat(9);
        let mut fenced = clock(2, 1_000_000);
        (fenced.state, fenced.reason) = ("fenced".to_owned(), evidence.clone());
        fenced.last_step = Some(("the wall clock stepped by 5 ns".to_owned(), Timestamp(0)));
        let told = sentences(&ClockRow::answered(&fenced));
        assert_eq!(told[0], format!("node 2, fenced: {evidence}"));
        assert_eq!(
            told[1],
            "node 2, fenced: at 1970-01-01T00:00:00.000000000Z, the wall clock stepped by 5 ns"
        );
        let gone = ClockRow::unreachable(NodeId(3), "no answer".to_owned());
        assert_eq!(sentences(&gone), ["node 3, unreachable: no answer"]);
        assert_eq!(gone.cells(), [["3", "unreachable"]]);
    }

    #[test]
    fn a_doubt_is_told_with_since_when_and_counts_while_it_is_open() {
        let mut honest = clock(1, 1_000_000);
        let doubt = ClockDoubtInfo {
            node: NodeId(2),
            from: Timestamp(5),
            until: Timestamp(7),
            off_by_ns: 9,
            reason: "outvoted".to_owned(),
            why: "it missed".to_owned(),
            is_open: true,
        };
        honest.doubts = vec![ClockDoubtInfo { is_open: false, node: NodeId(3), ..doubt.clone() }, doubt];
        let row = ClockRow::answered(&honest);
        assert_eq!(row.cells()[0].last().unwrap(), "1");
        let told = sentences(&row);
        let told = told.iter().map(|line| line.split(": it missed").next().unwrap_or_default());
        let expected = ["no longer in doubt, as it was since", "in doubt since"];
        assert!(told.eq(expected.map(|it| format!("node 1, trusted: {it} 1970-01-01T00:00:00.000000005Z"))));
        let open = r#"{"node":2,"from_timestamp_ns":5,"until_timestamp_ns":7,"off_by_ns":9,"reason":"outvoted","is_open":true}"#;
        assert!(to_json(&row).ends_with(&format!(",{open}]}}")), "{}", to_json(&row));
    }

    #[test]
    fn a_source_that_does_not_know_the_time_shows_no_interval() {
        let mut lost = clock(1, 1_000_000);
        lost.is_unknown = true;
        let cells = ClockRow::answered(&lost).cells();
        assert_eq!([&cells[0][3], &cells[0][8], &cells[0][9]], ["-", "-", "-"]);
    }
}
