//! The shape of files and functions, and what must not be left in them.

use super::Broken;
use super::scan::{Source, matching};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 60;
const NAMES_THAT_SAY_NOTHING: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "manager", "base", "impl", "misc"];

/// Long files, long functions, files without a purpose, names that say nothing.
pub(crate) fn shape(source: &Source) -> Vec<Broken> {
    let mut broken = long_functions(source);
    let path = &source.path;
    let lines = source.raw.lines().count();
    if lines > FILE_LINES_MAX {
        broken.push(format!("{path}: {lines} lines; split it by journey, {FILE_LINES_MAX} are the most"));
    }
    if !source.raw.starts_with("//!") {
        broken.push(format!("{path}:1: open the file with `//!`: what it is, what it knows nothing of"));
    }
    for name in path.trim_end_matches(".rs").split('/') {
        let last = name.rsplit('_').next().unwrap_or(name);
        if NAMES_THAT_SAY_NOTHING.contains(&last) {
            broken.push(format!("{path}: `{name}` says nothing; name it after what it does"));
        }
    }
    broken
}

fn long_functions(source: &Source) -> Vec<Broken> {
    let mut broken = Vec::new();
    for at in source.words("fn") {
        let Some(open) = body(&source.code, at) else { continue };
        let end = matching(&source.code, open) - 1;
        let lines = source.line(end) - source.line(at) + 1;
        if lines > FUNCTION_LINES_MAX {
            broken.push(format!(
                "{}: a function of {lines} lines; {FUNCTION_LINES_MAX} are the most",
                source.place(at)
            ));
        }
    }
    broken
}

/// Where the body of the function at `at` opens; `None` for a declaration or a function type.
fn body(code: &str, at: usize) -> Option<usize> {
    let named = code[at + 2..].trim_start().starts_with(|c: char| c.is_alphabetic() || c == '_');
    let stop = at + code[at..].find(['{', ';'])?;
    (named && code[stop..].starts_with('{')).then_some(stop)
}

/// Anything in a `mod.rs` or `lib.rs` but declarations.
pub(crate) fn logic_in_mod(source: &Source) -> Vec<Broken> {
    if !source.path.ends_with("/mod.rs") && !source.path.ends_with("/lib.rs") {
        return Vec::new();
    }
    let mut broken = Vec::new();
    let mut at = 0;
    while let Some(start) = next_item(&source.code, at) {
        let end = item_end(&source.code, start);
        let item = &source.code[start..end];
        if !declares(item) {
            let first = item.lines().next().unwrap_or("").trim();
            broken.push(format!("{}: logic in a file that only declares: `{first}`", source.place(start)));
        }
        at = end;
    }
    broken
}

/// Where the next item begins, attributes skipped.
fn next_item(code: &str, mut at: usize) -> Option<usize> {
    loop {
        at += code[at..].find(|c: char| !c.is_whitespace())?;
        if !code[at..].starts_with('#') {
            return Some(at);
        }
        at = matching(code, at + code[at..].find('[')?);
    }
}

/// A braced item ends at its brace, unless a `;` follows it or comes first.
fn item_end(code: &str, start: usize) -> usize {
    let Some(stop) = code[start..].find(['{', ';']).map(|n| start + n) else { return code.len() };
    if code[stop..].starts_with(';') {
        return stop + 1;
    }
    let end = matching(code, stop);
    let tail = code[end..].trim_start();
    if tail.starts_with(';') { code.len() - tail.len() + 1 } else { end }
}

fn declares(item: &str) -> bool {
    let mut item = item.trim_start();
    if let Some(rest) = item.strip_prefix("pub") {
        let rest = rest.trim_start();
        item = if rest.starts_with('(') { rest[matching(rest, 0)..].trim_start() } else { rest };
    }
    let keyword = item.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    match keyword {
        "mod" => !item.contains('{'),
        "use" | "type" => true,
        "const" => !item.trim_start_matches("const").trim_start().starts_with("fn"),
        _ => false,
    }
}

/// Macros that mark unfinished work, and tests that wait for time to pass.
pub(crate) fn leftovers(source: &Source) -> Vec<Broken> {
    let mut broken = Vec::new();
    for name in ["todo", "unimplemented", "dbg"] {
        for at in source.words(name).filter(|at| source.code[at + name.len()..].starts_with('!')) {
            broken.push(format!("{}: `{name}!` is left", source.place(at)));
        }
    }
    for at in source.words("sleep").filter(|at| source.is_test(*at)) {
        if source.code[at + "sleep".len()..].starts_with('(') {
            broken.push(format!("{}: a test sleeps; wait for the event itself", source.place(at)));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaks(rule: fn(&Source) -> Vec<Broken>, path: &str, text: &str) -> usize {
        rule(&Source::new(path, text)).len()
    }

    #[test]
    fn a_file_over_the_limit_or_without_a_purpose_is_seen() {
        let long = format!("//! Purpose.\n{}", "\n".repeat(FILE_LINES_MAX));
        assert_eq!(breaks(shape, "src/a/b.rs", &long), 1);
        assert_eq!(breaks(shape, "src/a/b.rs", "fn f() {}"), 1);
        assert_eq!(breaks(shape, "src/a/b.rs", "//! Purpose.\nfn f() {}"), 0);
    }

    #[test]
    fn a_function_over_the_limit_is_seen_and_a_function_type_is_not_taken_for_one() {
        let body = |lines| format!("//! P.\nfn f() {{\n{}}}\nconst F: fn(u8) = g;\n", "x();\n".repeat(lines));
        assert_eq!(breaks(shape, "src/a/b.rs", &body(FUNCTION_LINES_MAX - 2)), 0);
        assert_eq!(breaks(shape, "src/a/b.rs", &body(FUNCTION_LINES_MAX - 1)), 1);
    }

    #[test]
    fn names_that_say_nothing_are_seen_as_files_and_as_folders() {
        for path in ["src/util.rs", "src/a/helpers/b.rs", "src/a/segment_manager.rs"] {
            assert_eq!(breaks(shape, path, "//! P."), 1, "{path}");
        }
    }

    #[test]
    fn logic_in_a_mod_file_is_seen_and_declarations_are_not_taken_for_it() {
        for bad in [
            "fn f() {}",
            "struct A;",
            "impl A {}",
            "pub(crate) enum B { C }",
            "mod m { }",
            "const fn f() {}",
            "m!{}",
        ] {
            assert_eq!(breaks(logic_in_mod, "src/a/mod.rs", bad), 1, "{bad}");
            assert_eq!(breaks(logic_in_mod, "src/a/b.rs", bad), 0, "{bad}");
        }
        let good = "//! D.\n#[cfg(test)]\nmod a;\npub(crate) mod b;\npub use a::{A, B};\npub const N: u8 = 1;\ntype T = u8;\n";
        assert_eq!(breaks(logic_in_mod, "src/a/mod.rs", good), 0);
    }

    #[test]
    fn unfinished_work_and_sleeping_tests_are_seen() {
        for bad in ["todo!()", "unimplemented!(\"x\")", "dbg!(x)"] {
            assert_eq!(breaks(leftovers, "src/a/b.rs", bad), 1, "{bad}");
        }
        assert_eq!(
            breaks(leftovers, "src/a/b.rs", "#[cfg(test)]\nmod tests { fn t() { thread::sleep(d); } }"),
            1
        );
        assert_eq!(breaks(leftovers, "tests/e2e.rs", "tokio::time::sleep(d).await"), 1);
        assert_eq!(breaks(leftovers, "src/a/b.rs", "tokio::time::sleep(d).await; let sleep = 1;"), 0);
    }
}
