//! A source file as rules see it: comments and literals blanked, tests told apart. Lines keep their numbers.

use std::ops::Range;

/// A Rust file.
pub(crate) struct Source {
    /// Relative to the package, such as `src/cli/run.rs`.
    pub(crate) path: String,
    pub(crate) raw: String,
    /// The text with comments and the content of literals replaced by spaces.
    pub(crate) code: String,
    /// Inline `#[cfg(test)]` items.
    tests: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, raw: impl Into<String>) -> Self {
        let (path, raw) = (path.into(), raw.into());
        let code = blank(&raw);
        let tests = test_items(&code);
        Self { path, raw, code, tests }
    }

    /// The folder of the layer table it belongs to: `cli` of `src/cli/run.rs`.
    pub(crate) fn folder(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let folder = inside.split('/').next()?;
        Some(folder.strip_suffix(".rs").unwrap_or(folder)).filter(|name| !matches!(*name, "lib" | "main"))
    }

    pub(crate) fn is_test_file(&self) -> bool {
        let stem = self.path.rsplit('/').next().unwrap_or("").trim_end_matches(".rs");
        self.path.starts_with("tests/")
            || stem.ends_with("tests")
            || ["/tests/", "/testing/"].iter().any(|folder| self.path.contains(folder))
    }

    pub(crate) fn is_test(&self, offset: usize) -> bool {
        self.is_test_file() || self.tests.iter().any(|range| range.contains(&offset))
    }

    /// `file:line` of a byte.
    pub(crate) fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path, self.line(offset))
    }

    pub(crate) fn line(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Where `word` stands as a whole identifier.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let whole = move |at: &usize| {
            let (before, after) = (&self.code[..*at], &self.code[at + word.len()..]);
            !part(before.chars().next_back()) && !part(after.chars().next())
        };
        self.code.match_indices(word).map(|(at, _)| at).filter(whole)
    }
}

/// The end of the bracketed text that opens at `open`, exclusive.
pub(crate) fn matching(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

fn test_items(code: &str) -> Vec<Range<usize>> {
    let starts = code.match_indices("#[cfg(test)]").map(|(at, _)| at);
    let item = |at: usize| {
        let end = code[at..].find(['{', ';']).map_or(code.len(), |found| at + found);
        at..if code[end..].starts_with('{') { matching(code, end) } else { end }
    };
    starts.map(item).collect()
}

/// Replaces comments and the content of string and character literals by spaces.
fn blank(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = token_end(bytes, at);
        if let Some(end) = end {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at = end.unwrap_or(at + 1);
    }
    String::from_utf8(out).expect("whole literals were blanked, byte by byte")
}

/// The end of the comment or literal that begins at `at`, if one does.
fn token_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let find = |text: &[u8], from: usize| {
        rest[from..]
            .windows(text.len())
            .position(|window| window == text)
            .map_or(bytes.len(), |n| at + from + n)
    };
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => Some(find(b"\n", 2)),
        [b'/', b'*', ..] => Some((find(b"*/", 2) + 2).min(bytes.len())),
        [b'r', b'"' | b'#', ..] if !in_word || bytes[at - 1] == b'b' => {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            if rest.get(1 + hashes) != Some(&b'"') {
                return None;
            }
            let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            Some((find(&close, 2 + hashes) + close.len()).min(bytes.len()))
        }
        [b'"', ..] => Some(quoted_end(bytes, at, b'"')),
        [b'\'', b'\\', ..] => Some(quoted_end(bytes, at, b'\'')),
        // A character literal closes within four bytes; a lifetime does not.
        [b'\'', ..] => (2..=5)
            .find(|n| rest.get(*n) == Some(&b'\''))
            .filter(|n| one_char(&rest[1..*n]))
            .map(|n| at + n + 1),
        _ => None,
    }
}

fn one_char(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().count() == 1)
}

fn quoted_end(bytes: &[u8], open: usize, quote: u8) -> usize {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

#[test]
fn comments_and_literals_are_blanked_and_code_and_lifetimes_are_not() {
    let source = Source::new(
        "src/a.rs",
        "let a = \"unsafe \\\" unsafe\"; // unsafe\n/* unsafe */ let b: &'a str = r#\"unsafe\"#; let c = ('{', '\\'');\nunsafe {}",
    );
    let found: Vec<_> = source.words("unsafe").map(|at| source.line(at)).collect();
    assert_eq!(found, [3]);
    assert!(source.code.contains("&'a str") && source.code.matches('{').count() == 1);
}

#[test]
fn inline_tests_are_told_from_code() {
    let source = Source::new("src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\nfn c() {}");
    let of = |name: &str| source.is_test(source.words(name).next().unwrap());
    assert_eq!(["a", "b", "c"].map(of), [false, true, false]);
}
