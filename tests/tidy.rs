//! The house's rules, executed: reads the layer table of docs/ARCHITECTURE.md and the sources, and fails on every
//! line that breaks a rule. Each rule is tested with a snippet that breaks it, beside the rule.

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/scan.rs"]
mod scan;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/table.rs"]
mod table;

use std::path::{Path, PathBuf};

use scan::Source;
use table::Table;

/// One broken rule: where, which, and what to do.
type Broken = String;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "tools"] {
        rust_files(&root().join(folder), &mut files);
    }
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        Source::new(name, std::fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}

fn table() -> Table {
    Table::parse(&std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap())
}

fn assert_none(broken: &[Broken]) {
    assert!(broken.is_empty(), "{} broken rules:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn a_folder_imports_only_what_its_row_names() {
    let table = table();
    assert_none(&sources().iter().flat_map(|source| layers::imports(source, &table)).collect::<Vec<_>>());
}

#[test]
fn what_one_folder_alone_may_touch_no_other_touches() {
    let table = table();
    assert_none(&sources().iter().flat_map(|source| layers::touches(source, &table)).collect::<Vec<_>>());
}

#[test]
fn every_folder_has_a_row_and_every_row_a_folder() {
    assert_none(&layers::rows_and_folders(&sources(), &table()));
}

#[test]
fn files_and_functions_are_short_and_files_open_with_their_purpose() {
    assert_none(&sources().iter().flat_map(shape::shape).collect::<Vec<_>>());
}

#[test]
fn mod_files_declare_and_hold_no_logic() {
    assert_none(&sources().iter().flat_map(shape::logic_in_mod).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_unfinished_and_no_test_sleeps() {
    assert_none(&sources().iter().flat_map(shape::leftovers).collect::<Vec<_>>());
}
