//! The tables of docs/ARCHITECTURE.md: who may import whom, who alone may touch what, and the exceptions.

use std::collections::{BTreeMap, BTreeSet};

/// What the document says.
pub(crate) struct Table {
    /// Folder to the folders it may import.
    pub(crate) imports: BTreeMap<String, BTreeSet<String>>,
    /// A thing that few may touch (a crate, `unsafe`, `file IO`, `OS clocks`) to those who may.
    pub(crate) touch: BTreeMap<String, BTreeSet<String>>,
}

impl Table {
    /// Rows of six cells are layers; rows of three cells are exceptions, each with its reason.
    pub(crate) fn parse(document: &str) -> Self {
        let mut table = Self { imports: BTreeMap::new(), touch: BTreeMap::new() };
        for line in document.lines().filter(|line| line.starts_with('|')) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            match cells[..] {
                [layer, folder, _, imports, touch] if layer.parse::<u8>().is_ok() => {
                    let imports =
                        imports.split_whitespace().filter(|name| *name != "-").map(str::to_owned).collect();
                    table.imports.insert(folder.to_owned(), imports);
                    table.allow(folder, touch);
                }
                [folder, touch, reason] if table.imports.contains_key(folder) => {
                    assert!(!reason.is_empty(), "the exception of {folder} for {touch} gives no reason");
                    table.allow(folder, touch);
                }
                _ => {}
            }
        }
        assert!(!table.imports.is_empty(), "docs/ARCHITECTURE.md has no layer table");
        table
    }

    fn allow(&mut self, folder: &str, touch: &str) {
        for thing in
            touch.split(',').map(|thing| thing.trim().trim_matches('`')).filter(|thing| !thing.is_empty())
        {
            self.touch.entry(thing.to_owned()).or_default().insert(folder.to_owned());
        }
    }
}

#[test]
fn rows_and_exceptions_are_read() {
    let table = Table::parse(SAMPLE);
    assert_eq!(table.imports["shard"], ["clock", "types"].map(str::to_owned).into());
    assert!(table.imports["types"].is_empty());
    assert_eq!(table.touch["file IO"], ["cli", "types"].map(str::to_owned).into());
}

/// A small table for the rules' own tests.
#[cfg(test)]
pub(crate) const SAMPLE: &str = "\
| Layer | Folder | What it is | May import | Alone may touch |
|---|---|---|---|---|
| 0 | types | words | - | `unsafe`, file IO |
| 1 | clock | time | types | OS clocks |
| 2 | shard | core | types clock | `raft` |
| 3 | cli | shell | types | `tokio` |

| Folder | Touches | Why |
|---|---|---|
| cli | file IO | reads files |
";
