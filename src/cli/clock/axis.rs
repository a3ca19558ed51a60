//! One axis that all intervals are drawn on, and bars on it as cells of a terminal.
//!
//! Knows nothing of nodes. Zero is in the middle. Invariants: one moment is one column, whosever bar it is in; what lies
//! beyond an end is marked at that end and never left out.

use crate::cli::moment::{show_ns, show_signed_ns};
use crate::clock::Span;

/// The finest axis: half of it in nanoseconds.
const HALF_NS_MIN: i64 = 1_000;
const HALF_NS_MAX: i64 = i64::MAX / 4;
/// What reaches so many times as far as the rest is left to the axis' end.
const FAR: i64 = 20;

/// One column of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Empty,
    /// Where zero is.
    Zero,
    /// Part of the interval for certain.
    Core,
    /// Perhaps part of the interval.
    Open,
    BeyondLeft,
    BeyondRight,
    /// Of the distance to an interval that is wholly beyond an end.
    Letter(char),
}

impl Cell {
    pub(super) fn glyph(self) -> char {
        match self {
            Self::Empty => ' ',
            Self::Zero => '┆',
            Self::Core => '█',
            Self::Open => '░',
            Self::BeyondLeft => '◀',
            Self::BeyondRight => '▶',
            Self::Letter(letter) => letter,
        }
    }

    pub(super) fn is_background(self) -> bool {
        matches!(self, Self::Empty | Self::Zero)
    }
}

/// From `-half_ns` to `+half_ns`, in so many columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    half_ns: i64,
    columns: usize,
}

impl Axis {
    /// An axis in about `columns` for `near`, all of which it holds, and as much of `others` as is not far off. Their
    /// places are relative to zero.
    pub(super) fn holding(near: &[Span], others: &[Span], columns: usize) -> Self {
        let reach = |span: &Span| span.low_ns.saturating_abs().max(span.high_ns.saturating_abs());
        let least_ns = near.iter().map(reach).max().unwrap_or(0).max(HALF_NS_MIN);
        let not_far = |reach_ns: &i64| *reach_ns <= least_ns.saturating_mul(FAR);
        let wanted_ns = others.iter().map(reach).filter(not_far).max().unwrap_or(0).max(least_ns);
        // An odd number has a middle.
        Self { half_ns: round_up(wanted_ns), columns: columns.saturating_sub(1) / 2 * 2 + 1 }
    }

    /// Where `ns` is drawn; the nearest end for what lies beyond it.
    fn column(&self, ns: i64) -> usize {
        let (half, last) = (i128::from(self.half_ns), self.columns as i128 - 1);
        let from_left = i128::from(ns.clamp(-self.half_ns, self.half_ns)) + half;
        // Rounded to the nearest.
        usize::try_from((from_left * last + half) / (2 * half)).unwrap_or(0)
    }

    /// A row with nothing on it.
    pub(super) fn blank(&self) -> Vec<Cell> {
        let mut cells = vec![Cell::Empty; self.columns];
        cells[self.columns / 2] = Cell::Zero;
        cells
    }

    /// A row with the interval that lies within `outer`, and covers `core` for certain.
    pub(super) fn bar(&self, outer: &Span, core: Option<&Span>) -> Vec<Cell> {
        let mut cells = self.blank();
        let (is_left, is_right) = (outer.high_ns < -self.half_ns, outer.low_ns > self.half_ns);
        if is_left || is_right {
            self.mark_beyond(&mut cells, outer, is_left);
            return cells;
        }
        for (span, cell) in [(Some(outer), Cell::Open), (core, Cell::Core)] {
            if let Some(span) = span.filter(|span| self.shows(span)) {
                cells[self.column(span.low_ns)..=self.column(span.high_ns)].fill(cell);
            }
        }
        if outer.low_ns < -self.half_ns {
            cells[0] = Cell::BeyondLeft;
        }
        if outer.high_ns > self.half_ns {
            cells[self.columns - 1] = Cell::BeyondRight;
        }
        cells
    }

    fn shows(&self, span: &Span) -> bool {
        span.high_ns >= -self.half_ns && span.low_ns <= self.half_ns
    }

    /// An arrow at the end, and how far it is to the interval's nearer end.
    fn mark_beyond(&self, cells: &mut [Cell], outer: &Span, is_left: bool) {
        let distance = show_signed_ns(if is_left { outer.high_ns } else { outer.low_ns });
        let letters = distance.chars().map(Cell::Letter).take(self.columns - 1);
        if is_left {
            let mark: Vec<Cell> = [Cell::BeyondLeft].into_iter().chain(letters).collect();
            cells[..mark.len()].copy_from_slice(&mark);
        } else {
            let mark: Vec<Cell> = letters.chain([Cell::BeyondRight]).collect();
            let from = cells.len() - mark.len();
            cells[from..].copy_from_slice(&mark);
        }
    }

    /// The line above the rows: both ends and zero.
    pub(super) fn scale(&self) -> String {
        let end = show_ns(self.half_ns.unsigned_abs());
        let half = self.columns / 2;
        format!("{:<half$}0{:>half$}", format!("-{end}"), format!("+{end}"))
    }
}

/// The next of 1, 2, 5, 10, 20, 50, ...
fn round_up(ns: i64) -> i64 {
    let mut decade = 1_i64;
    while decade < HALF_NS_MAX / 10 {
        if let Some(step) = [1, 2, 5].into_iter().map(|digit| digit * decade).find(|step| *step >= ns) {
            return step;
        }
        decade *= 10;
    }
    HALF_NS_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(low_ns: i64, high_ns: i64) -> Span {
        Span { low_ns, high_ns }
    }

    fn drawn(cells: &[Cell]) -> String {
        cells.iter().map(|cell| cell.glyph()).collect()
    }

    #[test]
    fn ends_are_round_numbers_and_the_scale_is_as_wide_as_the_bars() {
        let axis = Axis::holding(&[span(-1_020_000, 1_020_000)], &[], 21);
        assert_eq!(axis.scale(), "-2.00ms   0   +2.00ms");
        let bar = axis.bar(&span(-1_020_000, 1_020_000), Some(&span(-1_000_000, 1_000_000)));
        assert_eq!(drawn(&bar), "     ███████████     ");
        assert_eq!(
            [1, 2, 3, 999_999, 1_000_001, i64::MAX].map(round_up),
            [1, 2, 5, 1_000_000, 2_000_000, HALF_NS_MAX]
        );
    }

    #[test]
    fn what_asking_left_open_is_drawn_as_open() {
        let axis = Axis::holding(&[span(-1_000, 1_000)], &[], 21);
        assert_eq!(drawn(&axis.bar(&span(-800, 800), Some(&span(-400, 400)))), "  ░░░░█████████░░░░  ");
        assert_eq!(drawn(&axis.bar(&span(-800, 800), None)), "  ░░░░░░░░░░░░░░░░░  ");
    }

    #[test]
    fn something_not_far_off_widens_the_axis_and_something_far_off_does_not() {
        let near = [span(-1_000_000, 1_000_000)];
        assert_eq!(Axis::holding(&near, &[span(4_000_000, 6_000_000)], 21).half_ns, 10_000_000);
        let axis = Axis::holding(&near, &[span(4_999_000_000, 5_001_000_000)], 21);
        assert_eq!(axis.half_ns, 1_000_000);
        assert_eq!(drawn(&axis.bar(&span(4_999_000_000, 5_001_000_000), None)), "          ┆   +5.00s▶");
        assert_eq!(drawn(&axis.bar(&span(-5_001_000_000, -4_999_000_000), None)), "◀-5.00s   ┆          ");
    }

    proptest! {
        #[test]
        fn the_axis_holds_every_interval_or_marks_it_at_its_edge(
            near in (-5_000_000_i64..0, 0_i64..5_000_000), other in (any::<i64>(), any::<i64>()), columns in 21_usize..200,
        ) {
            let near = span(near.0, near.1);
            let other = span(other.0.min(other.1), other.0.max(other.1));
            let axis = Axis::holding(&[near], &[other], columns);
            prop_assert!(axis.half_ns >= near.high_ns.max(-near.low_ns));
            for outer in [near, other] {
                let cells = axis.bar(&outer, None);
                prop_assert_eq!(cells.len(), axis.columns);
                prop_assert_eq!(cells[0] == Cell::BeyondLeft, outer.low_ns < -axis.half_ns);
                prop_assert_eq!(cells[axis.columns - 1] == Cell::BeyondRight, outer.high_ns > axis.half_ns);
                prop_assert!(cells.iter().any(|cell| !cell.is_background()));
            }
        }

        #[test]
        fn bars_lie_on_one_axis(
            one in (-4_000_000_i64..4_000_000, 0_i64..1_000_000), two in (-4_000_000_i64..4_000_000, 0_i64..1_000_000),
        ) {
            let (one, two) = (span(one.0, one.0 + one.1), span(two.0, two.0 + two.1));
            let axis = Axis::holding(&[one, two], &[], 101);
            let ends = |bar: &Span| {
                let cells = axis.bar(bar, None);
                let is_bar = |cell: &Cell| *cell == Cell::Open;
                (cells.iter().position(is_bar), cells.iter().rposition(is_bar))
            };
            let (drawn_one, drawn_two) = (ends(&one), ends(&two));
            // An end that is later in one bar than in another is never drawn before it, and touching bars share a column.
            prop_assert!(one.low_ns > two.low_ns || drawn_one.0 <= drawn_two.0);
            prop_assert!(one.high_ns > two.high_ns || drawn_one.1 <= drawn_two.1);
            prop_assert!(!one.touches(&two) || (drawn_one.0 <= drawn_two.1 && drawn_two.0 <= drawn_one.1));
        }
    }
}
