//! A bar on stderr while files are walked; nothing in a pipe.

use indicatif::{ProgressBar, ProgressStyle};

use crate::folder::ShardFolder;

/// A bar over the bytes of the folders' segments; hides itself where nobody watches.
pub(crate) fn bar(folders: &[ShardFolder], what: &'static str) -> ProgressBar {
    let bytes =
        folders.iter().flat_map(ShardFolder::asked).map(|(_, segment)| segment.bytes.len() as u64).sum();
    let template =
        "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, left: {eta}";
    let style = ProgressStyle::with_template(template).expect("the template is right");
    ProgressBar::new(bytes).with_style(style).with_message(what)
}
