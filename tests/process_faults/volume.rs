//! File systems to be mounted where a node keeps its data: a small one that can be filled, and one that can lose its
//! power. Needs root, `mount`, `mkfs.ext4`, loop devices and a C compiler, and says which of them is missing.
//!
//! A volume is unmounted with its value, which must outlive the cluster.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::cluster::Cluster;

const IMAGE_BYTES: u64 = 192 << 20;
const CUT: &str = include_str!("cut.c");

/// Whether the environment allows faults that need root.
pub(crate) fn allowed() -> bool {
    let allowed = std::env::var_os("TIMBERLINE_TEST_ROOT").is_some_and(|value| value == "1");
    if !allowed {
        println!("skipped: it mounts file systems, which needs root and TIMBERLINE_TEST_ROOT=1");
    }
    allowed
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {}: {said}", args.join(" "), output.status);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Lets go of what the page cache holds clean: a sync of one page must not be helped by the large folio around it.
pub(crate) fn drop_caches() {
    std::fs::write("/proc/sys/vm/drop_caches", "3").expect("root may drop caches");
}

/// An empty folder, and within it one to mount at, which becomes a node's data folder.
struct Place {
    outer: TempDir,
}

impl Place {
    fn of(cluster: &Cluster, node: u16) -> Self {
        let place = Self { outer: tempfile::tempdir().expect("a temporary folder") };
        std::fs::create_dir(place.folder()).expect("a folder to mount at");
        let settings = std::fs::read_to_string(cluster.settings(node)).expect("the settings");
        let (inside, outside) = (format!("\"node-{node}\""), format!("\"{}\"", text(&place.folder())));
        assert!(settings.contains(&inside), "{settings}");
        std::fs::write(cluster.settings(node), settings.replace(&inside, &outside))
            .expect("they are written");
        place
    }

    fn folder(&self) -> PathBuf {
        self.outer.path().join("data")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Lazily, for a process may still be there when a test fails; in vain, if it failed to mount.
        let _ = Command::new("umount").args(["-l", text(&self.folder())]).output();
    }
}

/// A small tmpfs.
pub(crate) struct SmallVolume {
    place: Place,
}

impl SmallVolume {
    pub(crate) fn mount(cluster: &Cluster, node: u16, size_mib: u32) -> Self {
        let place = Place::of(cluster, node);
        let size = format!("size={size_mib}m");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", text(&place.folder())]);
        Self { place }
    }

    /// Takes all space that is left.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file");
        while ballast.write_all(&[1; 4096]).is_ok() {}
    }

    /// Gives back what `fill` took.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast goes");
    }

    fn ballast(&self) -> PathBuf {
        self.place.folder().join("ballast")
    }
}

/// The program that cuts power.
pub(crate) struct Cutter {
    program: PathBuf,
}

impl Cutter {
    pub(crate) fn build(folder: &Path) -> Self {
        let (source, program) = (folder.join("cut.c"), folder.join("cut"));
        std::fs::write(&source, CUT).expect("the source is written");
        run("cc", &["-o", text(&program), text(&source)]);
        Self { program }
    }
}

/// An ext4 file system in a file.
pub(crate) struct PoweredVolume {
    place: Place,
}

impl PoweredVolume {
    pub(crate) fn mount(cluster: &Cluster, node: u16) -> Self {
        let volume = Self { place: Place::of(cluster, node) };
        let file = File::create(volume.image()).and_then(|file| file.set_len(IMAGE_BYTES));
        file.expect("an image can be made");
        run("mkfs.ext4", &["-q", "-F", text(&volume.image())]);
        volume.power_on();
        volume
    }

    /// From here on nothing reaches the device. With `flags` 1 the journal is flushed first, with 2 it is lost too.
    pub(crate) fn cut(&self, cutter: &Cutter, flags: u32) {
        run(text(&cutter.program), &[text(&self.place.folder()), &flags.to_string()]);
    }

    /// How many shards have a log here, or the beginning of one.
    pub(crate) fn log_count(&self) -> usize {
        std::fs::read_dir(self.place.folder().join("shards")).map_or(0, Iterator::count)
    }

    /// Back to what the device holds: every page cached above it is forgotten, the journal is recovered.
    pub(crate) fn restore(&self) {
        run("umount", &[text(&self.place.folder())]);
        self.power_on();
    }

    fn power_on(&self) {
        let options = ["-t", "ext4", "-o", "loop"];
        run("mount", &[&options[..], &[text(&self.image()), text(&self.place.folder())]].concat());
    }

    fn image(&self) -> PathBuf {
        self.place.outer.path().join("image")
    }
}
