//! An open sealed segment: read by many, written by nobody.
//!
//! Its index tells where to look. An index that is missing, or that leads to anything but the frame it names, is built
//! again by one walk over the headers, and handed to whoever keeps it. Invariant: damage in a frame is an error of that
//! frame, never of the index, and frames before it stay readable.

use std::sync::{Arc, Mutex, MutexGuard};

use super::index_file::{self, IndexFile};
use super::mark::{Goal, Mark, Marks};
use super::reader::{FindMark, Frames, Reader};
use super::{Error, Extent};
use crate::disk::DiskFile;

/// Where an index that was built again goes; gives the file, if it could be written.
pub type KeepIndex = Box<dyn Fn(&[u8]) -> Option<Arc<dyn DiskFile>> + Send + Sync>;

enum Lookup {
    File(IndexFile),
    Memory(Marks),
    Missing,
}

/// A sealed segment, open.
pub struct SealedSegment {
    file: Arc<dyn DiskFile>,
    extent: Extent,
    lookup: Mutex<Lookup>,
    keep: KeepIndex,
}

impl SealedSegment {
    /// Opens the segment of that extent; `index` is the file that may be its index.
    pub fn open(
        file: Arc<dyn DiskFile>,
        extent: Extent,
        index: Option<Arc<dyn DiskFile>>,
        keep: KeepIndex,
    ) -> Result<Self, Error> {
        let (expected, found) = (extent.size_bytes, file.size_bytes());
        if expected != found {
            return Err(Error::Size { file: file.path().to_owned(), expected, found });
        }
        let index = index.and_then(|index| IndexFile::open(index, &extent));
        let lookup = Mutex::new(index.map_or(Lookup::Missing, Lookup::File));
        Ok(Self { file, extent, lookup, keep })
    }

    pub fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub fn extent(&self) -> &Extent {
        &self.extent
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&*self.file, self.extent, self)
    }

    fn lookup(&self) -> MutexGuard<'_, Lookup> {
        self.lookup.lock().expect("no panic while an index is held")
    }

    /// Walks the headers; also tells whether they are all sound. Of a damaged segment, the marks before the damage serve,
    /// and are kept by nobody.
    fn build(&self, frames: &Frames<'_>) -> (Lookup, bool) {
        let mut marks = Marks::default();
        let walked = frames.walk(self.extent.last, &mut |header, crc, at| marks.note(header, crc, at));
        let kept =
            walked.as_ref().ok().and_then(|_| (self.keep)(&index_file::encode(&self.extent, marks.all())));
        let file = kept.and_then(|file| IndexFile::open(file, &self.extent));
        (file.map_or(Lookup::Memory(marks), Lookup::File), walked.is_ok())
    }
}

impl Lookup {
    fn before(&self, goal: Goal) -> Option<Mark> {
        match self {
            Self::Memory(marks) => marks.before(goal),
            // Just written: what it says is what the walk found.
            Self::File(index) => index.before(goal).ok().flatten(),
            Self::Missing => None,
        }
    }
}

impl FindMark for SealedSegment {
    fn mark_before(&self, goal: Goal, frames: &Frames<'_>) -> Result<Option<Mark>, Error> {
        let mut lookup = self.lookup();
        match &*lookup {
            Lookup::Memory(marks) => return Ok(marks.before(goal)),
            Lookup::File(index) => {
                if let Ok(found) = index.before(goal)
                    && found.is_none_or(|mark| frames.is_marked(&mark))
                {
                    return Ok(found);
                }
            }
            Lookup::Missing => {}
        }
        let (built, is_sound) = self.build(frames);
        let found = built.before(goal);
        // In a damaged segment the old index may still lead to what stands behind the damage.
        if is_sound || matches!(*lookup, Lookup::Missing) {
            *lookup = built;
        }
        Ok(found)
    }
}
