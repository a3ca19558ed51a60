//! Makes the copy's folder, and proves it before it is called good.

use std::path::Path;

use timberline::disk::{Disk, OsDisk};

use super::Plan;
use crate::failure::Failure;
use crate::folder::open_all;
use crate::verify::verify;

/// Writes the planned copy into the folder `to`, which does not exist yet, durably; then checks all of it.
pub fn write(plan: &Plan, to: &Path) -> Result<(), Failure> {
    if to.exists() {
        return Err(Failure::Occupied { path: to.to_owned() });
    }
    let disk = OsDisk::new(to)?;
    for file in &plan.files {
        let written = disk.create(&file.name, file.size_bytes)?;
        for (at_byte, bytes) in &file.pieces {
            written.write_at(*at_byte, bytes)?;
        }
        written.sync()?;
    }
    for (name, bytes) in &plan.small {
        disk.replace(name, bytes)?;
    }
    let verdict = verify(&open_all(to)?, 1, &|_| ());
    match verdict.findings.iter().find(|finding| finding.is_damage()) {
        None => Ok(()),
        Some(finding) => Err(Failure::Refused(format!(
            "the copy in {} is not whole ({}, byte {}: {}); do not use it",
            to.display(),
            finding.file,
            finding.at_byte,
            finding.detail
        ))),
    }
}
