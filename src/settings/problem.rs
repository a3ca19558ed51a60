//! What is wrong with a configuration, where, and what was expected.

use std::fmt;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// One mistake. Rendered by `miette`, it shows the line of the file; its message alone names the place too.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{place}: {what}")]
pub struct Problem {
    /// `file:line:column`, an environment variable's name, or the flag.
    pub place: String,
    pub what: String,
    #[help]
    pub expected: Option<String>,
    #[source_code]
    file: Option<NamedSource<String>>,
    #[label("here")]
    span: Option<SourceSpan>,
}

impl Problem {
    /// A mistake at bytes `span` of the file `name` with content `text`.
    pub(super) fn in_file(name: &str, text: &str, span: std::ops::Range<usize>, what: String) -> Self {
        let before = &text[..span.start.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self {
            place: format!("{name}:{line}:{column}"),
            what,
            expected: None,
            file: Some(NamedSource::new(name, text.to_owned())),
            span: Some((span.start, span.len()).into()),
        }
    }

    /// A mistake outside a file: in an environment variable, a flag, or in what no source gave.
    pub(super) fn elsewhere(place: impl Into<String>, what: String) -> Self {
        Self { place: place.into(), what, expected: None, file: None, span: None }
    }

    /// The byte of the file it stands at, to sort by.
    pub(super) fn position(&self) -> usize {
        self.span.map_or(0, |span| span.offset())
    }

    #[must_use]
    pub(super) fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }
}

/// All mistakes of one configuration, in the order they were found; never empty.
#[derive(Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let line_end = if n == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
            if let Some(expected) = &problem.expected {
                write!(f, " ({expected})")?;
            }
        }
        Ok(())
    }
}

/// The candidate closest to `wrong`, if it is close enough to be what was meant.
pub(super) fn did_you_mean<'a>(wrong: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let closest = candidates.map(|candidate| (edit_distance(wrong, candidate), candidate)).min()?;
    (closest.0 <= 2.max(wrong.len() / 4)).then_some(closest.1)
}

/// Levenshtein's distance, one row at a time (Wagner and Fischer, 1974).
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        let names = || ["clock.eps_max", "clock.uncertainty", "node.id"].into_iter();
        assert_eq!(did_you_mean("clock.uncertanty", names()), Some("clock.uncertainty"));
        assert_eq!(did_you_mean("clock.epsmax", names()), Some("clock.eps_max"));
        assert_eq!(did_you_mean("zzz", names()), None);
    }

    #[test]
    fn a_place_counts_lines_and_columns_from_one_in_characters() {
        let text = "é = 1\n  key = 2\n";
        let at = text.find("key").unwrap();
        assert_eq!(Problem::in_file("f.toml", text, at..at + 3, String::new()).place, "f.toml:2:3");
    }
}
