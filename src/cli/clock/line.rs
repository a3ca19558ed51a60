//! Lines of a drawing: pieces of text, each with what it is painted in. Knows nothing of what they say.

use crossterm::style::Stylize;

/// What a piece is painted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Strong,
    Green,
    Red,
    Grey,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) paint: Paint,
}

/// One line, without its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<Piece>);

impl Line {
    pub(super) fn new(paint: Paint, text: impl Into<String>) -> Self {
        Self::default().with(paint, text)
    }

    #[must_use]
    pub(super) fn with(mut self, paint: Paint, text: impl Into<String>) -> Self {
        self.0.push(Piece { text: text.into(), paint });
        self
    }

    /// As text, at most so many columns of it. Every character here fills one column.
    pub(super) fn render(&self, columns: usize, in_colour: bool) -> String {
        let mut left = columns;
        let pieces = self.0.iter().map(|piece| {
            let text: String = piece.text.chars().take(left).collect();
            left -= text.chars().count();
            if in_colour { painted(text, piece.paint) } else { text }
        });
        pieces.collect()
    }
}

fn painted(text: String, paint: Paint) -> String {
    match paint {
        Paint::Plain => text,
        Paint::Strong => text.bold().to_string(),
        Paint::Green => text.green().to_string(),
        Paint::Red => text.red().to_string(),
        Paint::Grey => text.dark_grey().to_string(),
    }
}

/// A sentence over lines of at most so many columns, broken between words.
pub(super) fn wrapped(text: &str, columns: usize, paint: Paint) -> Vec<Line> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.into_iter().map(|line| Line::new(paint, line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_terminals_edge_and_painted_only_in_colour() {
        let line = Line::new(Paint::Plain, "ab").with(Paint::Red, "░░░");
        assert_eq!(line.render(4, false), "ab░░");
        assert_eq!(line.render(9, false), "ab░░░");
        let escape = '\u{1b}';
        assert!(!line.render(9, false).contains(escape));
    }

    #[test]
    fn a_wrapped_sentence_loses_no_word() {
        let text = "one two three four five";
        let lines: Vec<String> =
            wrapped(text, 9, Paint::Plain).iter().map(|line| line.render(99, false)).collect();
        assert_eq!(lines, ["one two", "three", "four five"]);
        assert_eq!(wrapped("unbreakable", 3, Paint::Plain).len(), 1);
    }
}
