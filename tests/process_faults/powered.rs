//! File systems that a test mounts, and one among them that can lose its power. Needs root, `mount`, `mkfs.ext4`, loop
//! devices and a C compiler, and says which of them is missing.
//!
//! Knows nothing of what is kept there. A volume is unmounted with its value, which must outlive all that use it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

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

pub(crate) fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {}: {said}", args.join(" "), output.status);
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Lets go of what the page cache holds clean: a sync of one page must not be helped by the large folio around it.
pub(crate) fn drop_caches() {
    std::fs::write("/proc/sys/vm/drop_caches", "3").expect("root may drop caches");
}

/// An empty folder, and within it one to mount at.
pub(crate) struct Place {
    outer: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { outer: tempfile::tempdir().expect("a temporary folder") };
        std::fs::create_dir(place.folder()).expect("a folder to mount at");
        place
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.outer.path().join("data")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Lazily, for a process may still be there when a test fails; in vain, if it failed to mount.
        let _ = Command::new("umount").args(["-l", text(&self.folder())]).output();
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

    /// Makes ready to cut, with `flags` 1 with the journal flushed, with 2 not: the program runs already and waits for the
    /// word. `written_back` names a folder of which some pages, by a number, reach the device before.
    pub(crate) fn aim(
        &self,
        volume: &PoweredVolume,
        flags: u32,
        written_back: Option<(&Path, u16)>,
    ) -> Aimed {
        let mut command = Command::new(&self.program);
        command.arg(volume.folder()).arg(flags.to_string()).stdin(Stdio::piped());
        if let Some((folder, pages)) = written_back {
            command.arg(volume.folder().join(folder)).arg(pages.to_string());
        }
        Aimed { program: command.spawn().expect("the program that cuts power starts") }
    }
}

/// A cut that waits for the word.
pub(crate) struct Aimed {
    program: Child,
}

impl Aimed {
    /// From here on nothing reaches the device.
    pub(crate) fn cut(mut self) {
        drop(self.program.stdin.take());
        let status = self.program.wait().expect("the program that cuts power ends");
        assert!(status.success(), "the power cannot be cut: {status}");
    }
}

/// An ext4 file system in a file.
pub(crate) struct PoweredVolume {
    place: Place,
}

impl PoweredVolume {
    pub(crate) fn mount(place: Place) -> Self {
        let volume = Self { place };
        let file = File::create(volume.image()).and_then(|file| file.set_len(IMAGE_BYTES));
        file.expect("an image can be made");
        run("mkfs.ext4", &["-q", "-F", text(&volume.image())]);
        volume.power_on();
        volume
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.place.folder()
    }

    /// Back to what the device holds: every page cached above it is forgotten, the journal is recovered.
    pub(crate) fn restore(&self) {
        run("umount", &[text(&self.folder())]);
        self.power_on();
    }

    fn power_on(&self) {
        let options = ["-t", "ext4", "-o", "loop"];
        run("mount", &[&options[..], &[text(&self.image()), text(&self.folder())]].concat());
    }

    fn image(&self) -> PathBuf {
        self.place.outer.path().join("image")
    }
}
