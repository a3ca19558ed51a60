//! Work on a log's files that is too slow for the thread that owns the log: surveys, repaired files, scrubbing.
//!
//! Invariant: a task changes no file that a log has open; it reads what is there and writes beside it.

use std::path::PathBuf;

use super::{Error, Log, RepairPlan, names};
use crate::disk::Disk;
use crate::segment::{Extent, Salvage, ScrubPoint};
use crate::types::Index;

/// One piece of work, for any thread.
pub enum FileTask {
    /// Find out what a damaged segment lost.
    Survey(RepairPlan),
    /// Write the repaired segment beside the damaged one.
    Build(RepairPlan, Box<Salvage>),
    /// Prove a part of a sealed segment.
    Scrub(ScrubStep),
}

/// What came of it.
pub enum TaskResult {
    /// `None`: the file does not tell what it lost.
    Surveyed(Result<Option<Box<Salvage>>, Error>),
    /// The repaired segment's last frame.
    Built(Result<Index, Error>),
    Scrubbed(Scrubbed),
}

/// A part of a sealed segment to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubStep {
    pub number: u64,
    path: PathBuf,
    extent: Extent,
    /// `None`: from the head on.
    from: Option<ScrubPoint>,
    bytes: u64,
}

/// A step that is done.
pub struct Scrubbed {
    pub bytes: u64,
    /// The next step in the same segment; `None` when the segment is done. An error names the damage.
    pub next: Result<Option<ScrubStep>, Error>,
}

impl FileTask {
    pub fn run(self, disk: &dyn Disk) -> TaskResult {
        match self {
            Self::Survey(plan) => TaskResult::Surveyed(plan.survey(disk).map(|found| found.map(Box::new))),
            Self::Build(plan, salvage) => TaskResult::Built(plan.build(disk, &salvage)),
            Self::Scrub(step) => TaskResult::Scrubbed(step.run(disk)),
        }
    }
}

impl ScrubStep {
    fn run(self, disk: &dyn Disk) -> Scrubbed {
        let file = match disk.open(&self.path) {
            Ok(file) => file,
            Err(error) => return Scrubbed { bytes: 0, next: Err(error.into()) },
        };
        let begun = self.from.map_or_else(|| ScrubPoint::begin(&*file, &self.extent), Ok);
        let (bytes, reached) = match begun {
            Ok(point) => point.go_on(&*file, &self.extent, self.bytes),
            Err(error) => (0, Err(error)),
        };
        let next = reached.map(|point| point.map(|from| Self { from: Some(from), ..self }));
        Scrubbed { bytes, next: next.map_err(Error::from) }
    }
}

impl Log {
    /// The first step through the sealed segment that comes after the one of that number.
    pub fn scrub_after(&self, number: u64, bytes: u64) -> Option<ScrubStep> {
        let held = self.segments.iter().find(|held| held.number > number && !held.segment.is_active())?;
        let (number, extent) = (held.number, *held.segment.extent());
        let path = names::segment(&self.folder, number);
        Some(ScrubStep { number, path, extent, from: None, bytes })
    }

    /// Whether the step's segment is still sealed and what it was.
    pub fn still_holds(&self, step: &ScrubStep) -> bool {
        self.segments.iter().any(|held| {
            held.number == step.number && !held.segment.is_active() && *held.segment.extent() == step.extent
        })
    }

    /// A step found its segment damaged. Gives false if the segment is not what it was any more.
    pub fn note_damage(&self, step: &ScrubStep) -> bool {
        let holds = self.still_holds(step);
        if holds {
            self.damaged.set(Some(step.number));
        }
        holds
    }
}
