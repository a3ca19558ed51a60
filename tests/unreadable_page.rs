//! A page of a mapped file that cannot be read: the process ends with a message that names file and byte. It takes a
//! process of its own, so this test is started once more as a child, told by a variable what to read.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use timberline::disk::{Disk, OsDisk, explain_unreadable_pages};

const ROOT: &str = "TIMBERLINE_UNREADABLE_ROOT";
const FILE: &str = "shards/7/00000000000000000001.segment";
const FILE_BYTES: u64 = 64 << 10;
const KEPT_BYTES: u64 = 8 << 10;
/// In a page behind what is left of the file.
const AT_BYTE: u64 = 20_001;

/// Makes many maps, shortens one file behind its map, and reads where nothing is left.
fn read_behind_the_end(root: &Path) {
    explain_unreadable_pages().unwrap();
    explain_unreadable_pages().unwrap();
    let disk = OsDisk::new(root).unwrap();
    let others: Vec<_> =
        (0..20).map(|n| disk.create(&PathBuf::from(format!("others/{n}")), FILE_BYTES).unwrap()).collect();
    let slice = disk.create(FILE.as_ref(), FILE_BYTES).unwrap().slice(0..FILE_BYTES);
    std::fs::File::options().write(true).open(root.join(FILE)).unwrap().set_len(KEPT_BYTES).unwrap();
    drop(others);
    assert_eq!(slice[KEPT_BYTES as usize - 1], 0, "what is left can be read");
    println!("{}", slice[AT_BYTE as usize]);
}

fn child(root: &Path) -> Output {
    let name = "a_page_that_cannot_be_read_ends_in_a_message_with_file_and_byte";
    let this = std::env::current_exe().unwrap();
    Command::new(this).args(["--exact", name, "--nocapture"]).env(ROOT, root).output().unwrap()
}

#[test]
fn a_page_that_cannot_be_read_ends_in_a_message_with_file_and_byte() {
    if let Some(root) = std::env::var_os(ROOT) {
        return read_behind_the_end(Path::new(&root));
    }
    let root = tempfile::tempdir().unwrap();
    let output = child(root.path());
    let said = String::from_utf8_lossy(&output.stderr);
    let file = root.path().canonicalize().unwrap().join(FILE);
    let expected = format!("timberline: {} cannot be read at byte {AT_BYTE}: ", file.display());
    assert!(said.contains(&expected), "{}: {said}", output.status);
    assert!(said.contains("repair this replica from a peer"), "{said}");
    assert!(output.status.signal().is_some(), "it ends abnormally: {}", output.status);
}
