//! File systems where a node keeps its data: a small one that can be filled, and one that can lose its power.
//!
//! A volume is unmounted with its value, which must outlive the cluster.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use super::cluster::Cluster;
use super::powered::{Place, PoweredVolume, run, text};

/// A place that becomes a node's data folder.
fn place_of(cluster: &Cluster, node: u16) -> Place {
    let place = Place::new();
    let settings = std::fs::read_to_string(cluster.settings(node)).expect("the settings");
    let (inside, outside) = (format!("\"node-{node}\""), format!("\"{}\"", text(&place.folder())));
    assert!(settings.contains(&inside), "{settings}");
    std::fs::write(cluster.settings(node), settings.replace(&inside, &outside)).expect("they are written");
    place
}

/// The node's data on an ext4 file system in a file.
pub(crate) fn powered_volume(cluster: &Cluster, node: u16) -> PoweredVolume {
    PoweredVolume::mount(place_of(cluster, node))
}

/// How many shards have a log there, or the beginning of one.
pub(crate) fn log_count(volume: &PoweredVolume) -> usize {
    std::fs::read_dir(volume.folder().join("shards")).map_or(0, Iterator::count)
}

/// A small tmpfs.
pub(crate) struct SmallVolume {
    place: Place,
}

impl SmallVolume {
    pub(crate) fn mount(cluster: &Cluster, node: u16, size_mib: u32) -> Self {
        let place = place_of(cluster, node);
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
