//! Writes the first inputs of every target below the folder named by the first argument, `corpus` if there is none.

use std::path::PathBuf;

use timberline_fuzz::{seeds, targets};

fn main() -> std::io::Result<()> {
    let corpus: PathBuf = std::env::args_os().nth(1).map_or_else(|| "corpus".into(), PathBuf::from);
    for (target, _) in targets::ALL {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds::of(target).iter().enumerate() {
            std::fs::write(folder.join(format!("golden-{number}")), seed)?;
        }
    }
    Ok(())
}
