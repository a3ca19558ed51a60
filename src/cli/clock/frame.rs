//! One frame of `clock watch`: from where the clocks stand to lines. A pure function.
//!
//! Knows nothing of terminals but how wide they are. Invariants: a bar is green iff its clock is in the majority, and red iff
//! it misses it, and the column VOTE says the same without colour; whoever is not trusted has its sentence below, whole.

use std::time::Duration;

use super::axis::{Axis, Cell};
use super::council::{Council, Standing, middle};
use super::line::{Line, Paint, wrapped};
use super::sighting::{Place, Sighting};
use crate::cli::moment::{show_ns, show_signed_ns};
use crate::clock::Span;

/// With fewer columns beside the numbers, bars stand below them.
const AXIS_COLUMNS_MIN: usize = 31;
const TITLES: [&str; 7] = ["NODE", "STATE", "VOTE", "SOURCE", "EPS", "OFFSET", "ROUND TRIP"];
/// What makes the drawing true, for whoever looks at it.
const METHOD: &str = "A bar is the interval that a node claims. Nodes answer at different moments: each clock is held against this \
                      process' own between question and answer, and all are drawn for one moment; ░ is what that leaves open. \
                      OFFSET: from the majority's middle. ROUND TRIP: of the last question.";

/// What a frame is drawn from.
pub(super) struct Picture<'a> {
    pub(super) cluster: &'a str,
    pub(super) every: Duration,
    pub(super) sightings: &'a [Sighting],
    pub(super) council: &'a Council,
}

/// The frame, for a terminal of so many columns.
pub(super) fn draw(picture: &Picture, columns: usize) -> Vec<Line> {
    let Picture { sightings, council, .. } = picture;
    let rows: Vec<[String; 7]> = sightings.iter().map(|seen| numbers(seen, council)).collect();
    let widths = widths(&rows);
    let beside = columns.saturating_sub(widths.iter().map(|width| width + 2).sum());
    let is_beside = beside >= AXIS_COLUMNS_MIN;
    let axis = axis(sightings, council, if is_beside { beside } else { columns.max(AXIS_COLUMNS_MIN) });

    let mut lines = header(picture, columns);
    let titles = Line::new(Paint::Strong, padded(&TITLES.map(str::to_owned), &widths));
    if is_beside {
        lines.push(titles.with(Paint::Grey, axis.scale()));
    } else {
        lines.extend([titles, Line::new(Paint::Grey, axis.scale())]);
    }
    for (seen, row) in sightings.iter().zip(&rows) {
        let text = Line::new(state_paint(seen), padded(row, &widths));
        let bar = bar(&axis, seen, council);
        if is_beside {
            lines.push(with_cells(text, &bar, bar_paint(seen, council)));
        } else {
            lines.extend([text, with_cells(Line::default(), &bar, bar_paint(seen, council))]);
        }
    }
    lines.extend(sightings.iter().flat_map(|seen| sentence(seen, columns)));
    lines
}

fn header(picture: &Picture, columns: usize) -> Vec<Line> {
    let Picture { cluster, every, sightings, council } = picture;
    let every = show_ns(u64::try_from(every.as_nanos()).unwrap_or(u64::MAX));
    let title = format!("Clocks of {cluster}, every {every}");
    let agreeing = sightings.iter().filter(|seen| council.standing(seen.node) == Standing::Agrees).count();
    let vote = match &council.majority {
        Some(span) => {
            let half_ns = span.high_ns.abs_diff(span.low_ns) / 2;
            let of = sightings.len();
            Line::new(
                Paint::Plain,
                format!(
                    "{agreeing} of {of} agree: if they are right, true time is within {} of 0",
                    show_ns(half_ns)
                ),
            )
        }
        None if council.is_split => Line::new(
            Paint::Red,
            "no majority can be right together: nobody exposes anything; 0 is the middle of all",
        ),
        None => Line::new(Paint::Red, "too few clocks are heard for a majority; 0 is the middle of those"),
    };
    let mut lines = vec![Line::new(Paint::Strong, title), vote];
    lines.extend(wrapped(METHOD, columns, Paint::Grey));
    lines.push(Line::default());
    lines
}

fn numbers(seen: &Sighting, council: &Council) -> [String; 7] {
    let node = seen.node.to_string();
    let vote = council.standing(seen.node).as_str().to_owned();
    let Ok(clock) = &seen.clock else {
        return [
            node,
            "unreachable".to_owned(),
            vote,
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ];
    };
    let uncertainty = if clock.is_unknown { "-".to_owned() } else { show_ns(clock.uncertainty_ns) };
    let offset = seen.place.map_or_else(|| "-".to_owned(), |place| offset(&place, council.centre_ns));
    [node, clock.state.clone(), vote, clock.source.clone(), uncertainty, offset, show_ns(seen.round_trip_ns)]
}

fn offset(place: &Place, centre_ns: i64) -> String {
    let from_centre = place.midpoint.shifted(centre_ns.saturating_neg());
    let open_ns = from_centre.high_ns.abs_diff(from_centre.low_ns) / 2;
    format!("{} ±{}", show_signed_ns(middle(&from_centre)), show_ns(open_ns))
}

fn widths(rows: &[[String; 7]]) -> [usize; 7] {
    let mut widths = TITLES.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn padded(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let column = |(cell, width): (&String, &usize)| format!("{cell:<width$}  ");
    cells.iter().zip(widths).map(column).collect::<Vec<_>>().concat()
}

/// Around the majority: what is in it is held whole.
fn axis(sightings: &[Sighting], council: &Council, columns: usize) -> Axis {
    let outer = |seen: &&Sighting| Some(seen.place?.outer().shifted(council.centre_ns.saturating_neg()));
    let agrees =
        |seen: &&Sighting| council.majority.is_none() || council.standing(seen.node) == Standing::Agrees;
    let near: Vec<Span> = sightings.iter().filter(agrees).filter_map(|seen| outer(&seen)).collect();
    let all: Vec<Span> = sightings.iter().filter_map(|seen| outer(&seen)).collect();
    Axis::holding(&near, &all, columns)
}

fn bar(axis: &Axis, seen: &Sighting, council: &Council) -> Vec<Cell> {
    let back = council.centre_ns.saturating_neg();
    let place =
        seen.place.map(|place| (place.outer().shifted(back), place.core().map(|core| core.shifted(back))));
    place.map_or_else(|| axis.blank(), |(outer, core)| axis.bar(&outer, core.as_ref()))
}

fn bar_paint(seen: &Sighting, council: &Council) -> Paint {
    match council.standing(seen.node) {
        Standing::Agrees => Paint::Green,
        Standing::Misses => Paint::Red,
        Standing::Unheard => Paint::Grey,
    }
}

fn state_paint(seen: &Sighting) -> Paint {
    match &seen.clock {
        Ok(clock) if clock.state == "trusted" => Paint::Plain,
        Ok(_) => Paint::Red,
        Err(_) => Paint::Grey,
    }
}

/// Cells behind each other that are painted alike are one piece.
fn with_cells(line: Line, cells: &[Cell], paint: Paint) -> Line {
    let runs = cells.chunk_by(|one, next| one.is_background() == next.is_background());
    runs.fold(line, |line, run| {
        let paint = if run[0].is_background() { Paint::Grey } else { paint };
        line.with(paint, run.iter().map(|cell| cell.glyph()).collect::<String>())
    })
}

/// Why a node is not trusted or not heard.
fn sentence(seen: &Sighting, columns: usize) -> Vec<Line> {
    let (reason, paint) = match &seen.clock {
        Ok(clock) if clock.reason.is_empty() => return Vec::new(),
        Ok(clock) => (format!("node {}, {}: {}", seen.node, clock.state, clock.reason), state_paint(seen)),
        Err(reason) => (format!("node {}, unreachable: {reason}", seen.node), Paint::Grey),
    };
    let mut lines = vec![Line::default()];
    lines.extend(wrapped(&reason, columns, paint));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::clock::fixture::clock;
    use crate::types::NodeId;

    const MS: i64 = 1_000_000;

    fn seen(node: u64, midpoint_ns: i64) -> Sighting {
        let midpoint = Span { low_ns: midpoint_ns - 50_000, high_ns: midpoint_ns + 50_000 };
        Sighting {
            node: NodeId(node),
            clock: Ok(clock(node, 1_000_000)),
            place: Some(Place { midpoint, uncertainty_ns: MS }),
            round_trip_ns: 300_000,
        }
    }

    fn lines(sightings: &[Sighting], columns: usize) -> Vec<Line> {
        let council = Council::of(sightings);
        draw(
            &Picture { cluster: "dev", every: Duration::from_millis(250), sightings, council: &council },
            columns,
        )
    }

    /// The line of a node.
    fn row(lines: &[Line], node: u64) -> &Line {
        let begins = |line: &&Line| line.render(999, false).starts_with(&format!("{node}  "));
        lines.iter().find(begins).expect("every node has a row")
    }

    /// What the bars of a line are painted in.
    fn paints(line: &Line) -> Vec<Paint> {
        let is_bar = |text: &str| text.contains(['█', '░', '◀', '▶']);
        line.0.iter().filter(|piece| is_bar(&piece.text)).map(|piece| piece.paint).collect()
    }

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|line| line.render(999, false) + "\n").collect()
    }

    #[test]
    fn a_node_that_misses_the_majority_is_drawn_red() {
        for off_ns in [5 * MS, -5 * MS, 5_000 * MS] {
            let lines = lines(&[seen(1, 0), seen(2, off_ns), seen(3, 100)], 160);
            assert_eq!(paints(row(&lines, 2)), [Paint::Red], "{}", text(&lines));
            assert_eq!(paints(row(&lines, 1)), [Paint::Green]);
            assert_eq!(paints(row(&lines, 3)), [Paint::Green]);
            assert!(row(&lines, 2).render(999, false).contains("misses"), "and it is said without colour");
            assert!(text(&lines).contains("2 of 3 agree"));
        }
    }

    #[test]
    fn who_is_not_heard_has_no_bar_and_says_why() {
        let mut silent = seen(2, 0);
        (silent.clock, silent.place) = (Err("no answer within 2s".to_owned()), None);
        let lines = lines(&[seen(1, 0), silent, seen(3, 0)], 160);
        assert!(paints(row(&lines, 2)).is_empty());
        assert_eq!(row(&lines, 2).0[0].paint, Paint::Grey);
        assert!(text(&lines).contains("node 2, unreachable: no answer within 2s"));
    }

    #[test]
    fn a_split_cluster_is_said_to_be_one_and_nobody_is_green() {
        let lines = lines(&[seen(1, 0), seen(2, 5 * MS), seen(3, 10 * MS)], 160);
        assert!(text(&lines).contains("no majority can be right together"));
        assert!((1..=3).all(|node| paints(row(&lines, node)) == [Paint::Grey]));
    }

    #[test]
    fn the_sentence_of_a_fenced_node_stands_below_whole() {
        let mut fenced = seen(2, 5 * MS);
        let evidence =
            "node 2 misses the majority by 3.9 ms: it claims to know the time to 1 ms, but ".repeat(5);
        let told = fenced.clock.as_mut().unwrap();
        (told.state, told.reason) = ("fenced".to_owned(), evidence.clone());
        let lines = lines(&[seen(1, 0), fenced, seen(3, 0)], 100);
        let words: Vec<String> = text(&lines).split_whitespace().map(str::to_owned).collect();
        let sentence: Vec<&str> = evidence.split_whitespace().collect();
        assert!(words.windows(sentence.len()).any(|part| part == sentence), "{}", text(&lines));
    }

    #[test]
    fn a_wider_claim_is_a_wider_bar() {
        let width = |uncertainty_ns: i64| {
            let mut sightings = [seen(1, 0), seen(2, 0), seen(3, 0)];
            sightings[1].place.as_mut().unwrap().uncertainty_ns = uncertainty_ns;
            let lines = lines(&sightings, 160);
            let bar = |node| row(&lines, node).render(999, false).chars().filter(|c| *c == '█').count();
            (bar(2), bar(1))
        };
        let (wide, beside) = width(5 * MS);
        assert!(wide > 4 * beside, "{wide} against {beside}");
        let (same, beside) = width(MS);
        assert_eq!(same, beside);
    }

    #[test]
    fn all_bars_of_a_frame_begin_behind_the_same_column_of_zero() {
        for columns in [60, 160] {
            let lines = lines(&[seen(1, 0), seen(2, 3_000 * MS), seen(3, 0)], columns);
            let scale = text(&lines)
                .lines()
                .find(|line| line.contains("+2.00ms"))
                .map(str::to_owned)
                .expect("a scale");
            let end = scale.chars().count();
            let below = lines.iter().skip_while(|line| !line.render(999, false).contains("+2.00ms"));
            let bars = below.filter(|line| !paints(line).is_empty());
            let ends: Vec<usize> = bars.map(|line| line.render(999, false).chars().count()).collect();
            // Each bar's line is filled up to the axis' end, which is the scale's.
            assert_eq!(ends, [end; 3], "{}", text(&lines));
            assert!(end <= columns);
        }
    }
}
