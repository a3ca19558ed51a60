//! `/dev/vmclock0`: the hypervisor's word that this machine was torn out of time, by a migration or from a snapshot.
//!
//! Only the disruption marker is read; what else the page says of time is the kernel's business. Layout:
//! `include/uapi/linux/vmclock-abi.h` of Linux 6.13, little-endian whatever the processor. A machine without the page
//! has nothing to watch, and an unreadable page is told but voids nothing.

use std::io;
use std::path::{Path, PathBuf};

use super::Refusal;
use super::shared_page::{self, Page, array};

/// Up to the end of the disruption marker.
const HEAD_BYTES: usize = 24;
const MAGIC: u32 = 0x4B4C_4356;
const VERSION: u16 = 1;
const VERSION_AT: usize = 8;
const SEQUENCE_AT: usize = 12;
const MARKER_AT: usize = 16;

/// Watches the marker.
#[derive(Debug)]
pub(super) struct VmClock {
    path: PathBuf,
    marker: Option<u64>,
    trouble: Option<String>,
}

impl VmClock {
    pub(super) fn new(path: &Path) -> Self {
        let mut vmclock = Self { path: path.to_owned(), marker: None, trouble: None };
        vmclock.disrupted();
        vmclock
    }

    /// The new marker, if it is another one than at the last look.
    pub(super) fn disrupted(&mut self) -> Option<u64> {
        let page = shared_page::read::<HEAD_BYTES>(&self.path, is_settled);
        let found = match page {
            Ok(Some(page)) => marker(&page).map_err(|what| format!("{}: {what}", self.path.display())),
            // The hypervisor is writing; the next look is soon.
            Ok(None) => return None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.trouble = None;
                return None;
            }
            Err(error) => Err(format!(
                "{} cannot be read: {error}; let this process read it, or a migration of the machine shows late",
                self.path.display()
            )),
        };
        match found {
            Ok(marker) => {
                self.trouble = None;
                let before = self.marker.replace(marker)?;
                (before != marker).then_some(marker)
            }
            Err(trouble) => {
                self.trouble = Some(trouble);
                None
            }
        }
    }

    /// Why a page that is there cannot be watched.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let reason = self.trouble.clone()?;
        Some(Refusal { source: "vmclock".to_owned(), reason })
    }
}

fn is_settled(bytes: &[u8]) -> bool {
    // A short page never settles by waiting; `marker` says what is wrong with it.
    bytes.len() < HEAD_BYTES || u32::from_le_bytes(array(bytes, SEQUENCE_AT)) % 2 == 0
}

fn marker(page: &Page<HEAD_BYTES>) -> Result<u64, String> {
    let bytes = page.bytes();
    if bytes.len() < HEAD_BYTES {
        return Err(format!("{} bytes, expected the {HEAD_BYTES} of a vmclock page's head", bytes.len()));
    }
    let magic = u32::from_le_bytes(array(bytes, 0));
    let version = u16::from_le_bytes(array(bytes, VERSION_AT));
    if magic != MAGIC || version != VERSION {
        return Err(format!(
            "magic {magic:#010x} and version {version}, expected {MAGIC:#010x} and {VERSION}: not a vmclock page"
        ));
    }
    Ok(u64::from_le_bytes(array(bytes, MARKER_AT)))
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    /// The head of a page.
    pub(in crate::clock) fn page(sequence: u32, marker: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend(112_u32.to_le_bytes());
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([1, 0]);
        bytes.extend(sequence.to_le_bytes());
        bytes.extend(marker.to_le_bytes());
        bytes
    }

    #[test]
    fn only_another_marker_is_a_disruption_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vmclock0");
        let mut vmclock = VmClock::new(&path);
        assert_eq!(vmclock.disrupted(), None, "no page, nothing to watch");
        for (sequence, marker, expected) in
            [(2, 7, None), (4, 7, None), (6, 8, Some(8)), (8, 8, None), (9, 9, None), (10, 9, Some(9))]
        {
            fs::write(&path, page(sequence, marker)).unwrap();
            assert_eq!(vmclock.disrupted(), expected, "sequence {sequence}");
        }
        assert_eq!(vmclock.refusal(), None);
    }

    #[test]
    fn a_page_that_is_none_is_told_and_no_disruption() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vmclock0");
        let mut other = page(2, 1);
        other[0] ^= 1;
        let mut newer = page(2, 1);
        newer[VERSION_AT] = 2;
        for (bytes, what) in [(other, "magic"), (newer, "version 2"), (page(2, 1)[..20].to_vec(), "20 bytes")]
        {
            fs::write(&path, bytes).unwrap();
            let mut vmclock = VmClock::new(&path);
            assert_eq!(vmclock.disrupted(), None);
            let reason = vmclock.refusal().unwrap().reason;
            assert!(reason.contains(what), "{reason}");
        }
    }
}
