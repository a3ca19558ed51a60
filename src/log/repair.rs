//! A damaged segment of a log and the file that takes its place.
//!
//! Knows nothing of peers. Invariants: the new file is written beside and synced before it takes the place; it takes it
//! only while the segment is still the one that was damaged; until then the damaged file stays as it is.

use std::path::{Path, PathBuf};

use super::vote::VoteFile;
use super::{Error, Log, LogIdentity, names};
use crate::disk::Disk;
use crate::segment::{self, End, Extent, Salvage, SegmentHead};
use crate::types::Index;

/// Which segment is to be repaired, and what is known of it without its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairPlan {
    folder: PathBuf,
    number: u64,
    extent: Extent,
    end: End,
    /// It was the active one: its log must be closed while it is repaired.
    is_active: bool,
}

impl RepairPlan {
    /// The plan for a log that is refused because its active segment has rotted; `None` for any other reason.
    pub fn of_refused(disk: &dyn Disk, folder: &Path, refusal: &Error) -> Option<Self> {
        let Error::Segment(segment::Error::Rot { file, .. }) = refusal else { return None };
        let number = names::segment_number(Path::new(file.file_name()?))?;
        let file = disk.open(&names::segment(folder, number)).ok()?;
        let (head, head_bytes) = SegmentHead::read(&*file).ok()?;
        let crc = SegmentHead::crc_of(&file.copy(0..head_bytes));
        let extent = Extent::empty(&head, head_bytes, crc, file.size_bytes());
        Some(Self { folder: folder.to_owned(), number, extent, end: End::Told, is_active: true })
    }

    /// The segment's number in its log.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn is_active(&self) -> bool {
        self.is_active
    }

    /// The damaged file.
    pub fn path(&self) -> PathBuf {
        names::segment(&self.folder, self.number)
    }

    fn beside(&self) -> PathBuf {
        names::repaired(&self.folder, self.number)
    }

    /// Looks for what is lost. `None`: the file does not tell.
    pub(super) fn survey(&self, disk: &dyn Disk) -> Result<Option<Salvage>, Error> {
        let file = disk.open(&self.path())?;
        self.check_size(file.size_bytes())?;
        Ok(Salvage::survey(&*file, &self.extent, self.end))
    }

    /// Writes the whole segment beside the damaged one, durably; gives its last frame.
    pub(super) fn build(&self, disk: &dyn Disk, salvage: &Salvage) -> Result<Index, Error> {
        let old = disk.open(&self.path())?;
        self.check_size(old.size_bytes())?;
        self.discard(disk);
        let new = disk.create(&self.beside(), old.size_bytes())?;
        salvage.write(&*old, &*new, &self.extent).map_err(|error| {
            self.discard(disk);
            error.into()
        })
    }

    fn check_size(&self, found: u64) -> Result<(), Error> {
        let expected = self.extent.size_bytes;
        if found == expected {
            return Ok(());
        }
        Err(segment::Error::Size { file: self.path(), expected, found }.into())
    }

    /// Puts the new file in the place of the damaged one, durably. Nobody may write to the segment.
    pub fn put_in_place(&self, disk: &dyn Disk) -> Result<(), Error> {
        disk.rename(&self.beside(), &self.path())?;
        // It holds for the new file as for the old one, but may be as rotten as that was; it is built again.
        let _ = disk.remove(&names::index(&self.folder, self.number));
        Ok(())
    }

    /// Notes, before the repaired file takes its place, that frames behind those that could be refetched may have been
    /// answered for: the log's replica finds out from the others before it starts.
    pub fn note_forgotten(&self, disk: &dyn Disk, identity: &LogIdentity) -> Result<(), Error> {
        let votes = VoteFile::open(disk, &self.folder, identity)?;
        let mut votes = votes.ok_or_else(|| Error::Unfinished { folder: self.folder.clone() })?;
        votes.note_forgotten();
        let file = disk.open(&names::vote(&self.folder))?;
        votes.save(&*file)?;
        Ok(file.sync()?)
    }

    /// Removes a new file that is not wanted any more; there may be none.
    pub fn discard(&self, disk: &dyn Disk) {
        let _ = disk.remove(&self.beside());
    }
}

impl Log {
    /// The segment that a read found damaged since this was last asked.
    pub fn take_damage(&self) -> Option<RepairPlan> {
        let number = self.damaged.take()?;
        let held = self.segments.iter().find(|held| held.number == number)?;
        let (extent, is_active) = (*held.segment.extent(), held.segment.is_active());
        let folder = self.folder.clone();
        Some(RepairPlan { folder, number, extent, end: End::Known, is_active })
    }

    /// Whether the segment is still sealed and the one that was damaged.
    pub fn still_needs(&self, plan: &RepairPlan) -> bool {
        self.segments.iter().any(|held| {
            held.number == plan.number && !held.segment.is_active() && *held.segment.extent() == plan.extent
        })
    }

    /// Puts a repaired segment in place, if the segment is still sealed and the one that was damaged; gives false if not.
    pub fn adopt(&mut self, plan: &RepairPlan) -> Result<bool, Error> {
        if !self.still_needs(plan) {
            plan.discard(&*self.disk);
            return Ok(false);
        }
        self.files.forget_segment(plan.number);
        plan.put_in_place(&*self.disk)?;
        Ok(true)
    }
}
