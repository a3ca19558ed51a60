//! Who may import whom, and who alone may touch what.

use std::collections::BTreeSet;

use super::Broken;
use super::scan::{Source, matching};
use super::table::Table;

/// Every `crate::` path, and every chain of `super::` that leaves the folder, against the table.
pub(crate) fn imports(source: &Source, table: &Table) -> Vec<Broken> {
    let Some(folder) = source.folder() else { return Vec::new() };
    let Some(allowed) = table.imports.get(folder) else { return Vec::new() };
    let mut broken = escapes(source);
    for at in source.words("crate") {
        let Some(rest) = source.code[at..].strip_prefix("crate::") else { continue };
        let heads = if rest.starts_with('{') {
            group_heads(&rest[1..matching(rest, 0) - 1])
        } else {
            vec![head(rest)]
        };
        for name in heads.iter().filter(|name| **name != folder && !allowed.contains(**name)) {
            let place = source.place(at);
            broken.push(format!(
                "{place}: `{folder}` imports `{name}`, which its row in docs/ARCHITECTURE.md does not name"
            ));
        }
    }
    broken
}

/// The first word of a path.
fn head(path: &str) -> &str {
    let path = path.trim_start();
    path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")
}

/// The first words of `{a::b, c::{d, e}}`, given what stands between the braces.
fn group_heads(inside: &str) -> Vec<&str> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(head(&inside[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    heads.push(head(&inside[start..]));
    heads.retain(|head| !head.is_empty());
    heads
}

/// `super::super::..` that climbs to the crate's root: the table cannot see what it names there.
fn escapes(source: &Source) -> Vec<Broken> {
    let inside = source.path.trim_start_matches("src/").trim_end_matches(".rs");
    let depth = inside.trim_end_matches("/mod").split('/').count();
    let mut broken = Vec::new();
    for (at, _) in source.code.match_indices("super::") {
        if source.code[..at].ends_with("super::") {
            continue;
        }
        let climbed = source.code.as_bytes()[at..].chunks(7).take_while(|chunk| *chunk == b"super::").count();
        let inline = usize::from(source.is_test(at) && !source.is_test_file());
        if climbed >= depth + inline {
            broken.push(format!(
                "{}: climbs to the crate's root by `super`; write `crate::`",
                source.place(at)
            ));
        }
    }
    broken
}

/// Things with words of their own, each with what betrays it. A crate betrays itself by `name::`.
const FILE_IO: [&str; 8] = [
    "std::fs",
    "tokio::fs",
    "File::open",
    "File::create",
    "File::options",
    "OpenOptions",
    "fs::read",
    "fs::write",
];
const OS_CLOCKS: [&str; 5] =
    ["SystemTime", "clock_gettime", "std::time::Instant", "Timestamp::now()", "Zoned::now()"];

/// Uses of what the table reserves for others.
pub(crate) fn touches(source: &Source, table: &Table) -> Vec<Broken> {
    let Some(folder) = source.folder() else { return Vec::new() };
    let mut broken = Vec::new();
    for (thing, folders) in &table.touch {
        if folders.contains(folder) {
            continue;
        }
        let found: BTreeSet<usize> = match thing.as_str() {
            "file IO" => outside_tests(source, &FILE_IO),
            "OS clocks" => {
                outside_tests(source, &OS_CLOCKS).into_iter().chain(grouped_instant(source)).collect()
            }
            "unsafe" => source.words("unsafe").collect(),
            name => names_crate(source, name),
        };
        for at in found {
            let may: Vec<_> = folders.iter().map(String::as_str).collect();
            let (place, may) = (source.place(at), may.join(", "));
            broken.push(format!("{place}: `{folder}` touches {thing}, which is for {may} alone"));
        }
    }
    broken
}

fn outside_tests(source: &Source, betrayals: &[&str]) -> BTreeSet<usize> {
    // `SegmentFile::create` is not `File::create`.
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |at: &usize| !source.code[..*at].ends_with(part);
    let found = betrayals.iter().flat_map(|text| source.code.match_indices(text).map(|(at, _)| at));
    found.filter(|at| whole(at) && !source.is_test(*at)).collect()
}

/// `use std::time::{Duration, Instant}`.
fn grouped_instant(source: &Source) -> Vec<usize> {
    let opens = source.code.match_indices("std::time::{").filter(|(at, _)| !source.is_test(*at));
    let group = |at: usize| &source.code[at..matching(&source.code, at + "std::time::".len())];
    opens.map(|(at, _)| at).filter(|at| group(*at).contains("Instant")).collect()
}

fn names_crate(source: &Source, name: &str) -> BTreeSet<usize> {
    let is_crate = |at: &usize| {
        let (before, after) = (&source.code[..*at], &source.code[at + name.len()..]);
        let path = after.starts_with("::") && (!before.ends_with("::") || before.ends_with(" ::"));
        let imported = before.ends_with("use ") && (after.starts_with(';') || after.starts_with(" as "));
        path || imported
    };
    source.words(name).filter(is_crate).collect()
}

/// A folder without a row, or a row without a folder.
pub(crate) fn rows_and_folders(sources: &[Source], table: &Table) -> Vec<Broken> {
    let folders: BTreeSet<&str> = sources.iter().filter_map(Source::folder).collect();
    let rows: BTreeSet<&str> = table.imports.keys().map(String::as_str).collect();
    let without_row =
        folders.difference(&rows).map(|name| format!("src/{name}: no row in docs/ARCHITECTURE.md"));
    let without_folder =
        rows.difference(&folders).map(|name| format!("docs/ARCHITECTURE.md: no folder src/{name}"));
    without_row.chain(without_folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::SAMPLE;

    fn breaks(rule: fn(&Source, &Table) -> Vec<Broken>, path: &str, text: &str) -> usize {
        rule(&Source::new(path, text), &Table::parse(SAMPLE)).len()
    }

    #[test]
    fn an_import_outside_the_row_is_seen_in_every_spelling() {
        for bad in [
            "use crate::cli::run;",
            "use crate::{types::A, cli::{run, x}};",
            "fn f() { crate::cli::run() }",
            "pub(in crate::cli) fn f() {}",
        ] {
            assert_eq!(breaks(imports, "src/shard/a.rs", bad), 1, "{bad}");
        }
        assert_eq!(
            breaks(imports, "src/shard/a.rs", "use crate::{types::{A, B}, clock};\nuse crate::shard::x;"),
            0
        );
        assert_eq!(breaks(imports, "src/shard/a.rs", "// crate::cli\nlet a = \"crate::cli\";"), 0);
    }

    #[test]
    fn climbing_out_of_the_folder_by_super_is_seen() {
        assert_eq!(breaks(imports, "src/shard/a.rs", "use super::super::cli;"), 1);
        assert_eq!(breaks(imports, "src/shard/mod.rs", "use super::cli;"), 1);
        assert_eq!(breaks(imports, "src/shard/b/a.rs", "use super::super::cli;"), 0);
        assert_eq!(breaks(imports, "src/shard/a.rs", "#[cfg(test)]\nmod tests { use super::super::b; }"), 0);
    }

    #[test]
    fn what_is_reserved_is_seen_outside_its_folder_and_not_inside() {
        for (inside, bad) in [
            ("types", "unsafe { x() }"),
            ("types", "use std::fs::File;"),
            ("types", "let f = File::open(p);"),
            ("clock", "use std::time::SystemTime;"),
            ("clock", "use std::time::{Duration, Instant};"),
            ("clock", "let now = std::time::Instant::now();"),
            ("clock", "let now = jiff::Timestamp::now();"),
            ("shard", "use raft::RawNode;"),
            ("shard", "use raft as r;"),
            ("cli", "#[tokio::main]"),
        ] {
            let outside = if inside == "shard" { "clock" } else { "shard" };
            assert_eq!(breaks(touches, &format!("src/{inside}/a.rs"), bad), 0, "{bad}");
            assert!(breaks(touches, &format!("src/{outside}/a.rs"), bad) > 0, "{bad}");
        }
    }

    #[test]
    fn an_exception_of_the_document_counts_and_tests_may_read_files_but_not_be_unsafe() {
        assert_eq!(breaks(touches, "src/cli/a.rs", "use std::fs;"), 0);
        assert_eq!(breaks(touches, "src/shard/tests.rs", "use std::fs;"), 0);
        assert_eq!(breaks(touches, "src/shard/a.rs", "VoteFile::create(disk)"), 0);
        assert_eq!(breaks(touches, "src/shard/tests.rs", "unsafe {}"), 1);
    }

    #[test]
    fn a_folder_without_a_row_is_seen() {
        let sources = [Source::new("src/extra/mod.rs", "")];
        let broken = rows_and_folders(&sources, &Table::parse(SAMPLE));
        assert!(broken.iter().any(|line| line.contains("src/extra: no row")));
        assert!(broken.iter().any(|line| line.contains("no folder src/shard")));
    }
}
