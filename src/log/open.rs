//! Opening a log after a stop or a crash.
//!
//! Everything is read and judged before anything is changed: identities first, then heads, the vote, the
//! active segment. Changes come last: the cut tail's zeros, then files that never became segments.

use std::path::Path;
use std::sync::Arc;

use super::append::{Condition, Held, Spare};
use super::trim::forget_replaced;
use super::vote::VoteFile;
use super::{CutTail, Error, Log, LogIdentity, LogOptions, names};
use crate::codec;
use crate::disk::{Disk, DiskFile};
use crate::segment::{self, Segment, SegmentHead, Tail, holds_whole_frame, is_blank, recover};
use crate::simulation::{Bug, is_planted};
use crate::types::Vote;

/// What opening a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// An unsynced tail that was cut.
    pub cut: Option<CutTail>,
    /// The saved vote; `committed` is at most the last index that survived.
    pub vote: Vote,
    pub frames_replayed: u64,
    pub bytes_replayed: u64,
}

/// A segment file, by what its head says.
enum Opened {
    Segment {
        head: Box<SegmentHead>,
        head_bytes: u64,
    },
    /// Prepared, never used.
    Blank,
    /// A head that was being written when the power went; no frame was ever in it.
    Unfinished,
}

struct Numbered {
    number: u64,
    file: Arc<dyn DiskFile>,
    opened: Opened,
}

impl Log {
    /// Opens the log in `folder`, repairs what a crash may leave, and syncs what it keeps. Another log's
    /// folder, rot and a lost vote are refused, and nothing is changed then.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        identity: &LogIdentity,
        options: LogOptions,
    ) -> Result<(Self, Recovery), Error> {
        let files = open_files(&*disk, folder, identity)?;
        let votes = open_vote(&*disk, folder, identity, files.is_empty())?;
        let next_number = files.last().map_or(1, |file| file.number) + 1;
        let mut heads = Vec::new();
        let mut unused = Vec::new();
        for Numbered { number, file, opened } in files {
            match opened {
                Opened::Segment { head, head_bytes } => heads.push((number, file, *head, head_bytes)),
                Opened::Blank => unused.push((true, Spare { number, file })),
                Opened::Unfinished => unused.push((false, Spare { number, file })),
            }
        }
        let retired = forget_replaced(&mut heads);
        let Some((active, file, head, head_bytes)) = heads.pop() else {
            return Err(Error::SegmentsLost { folder: folder.to_owned() });
        };
        let begins_log = heads.first().map_or(head.begins_log, |(_, _, first, _)| first.begins_log);
        let applied = (head.state.applied, head.state.membership.clone());
        let mut segments = seal(heads, Tail::from(&head.state));
        let recovered = recover(file, head, head_bytes)?;
        segments.push(Held { number: active, segment: recovered.segment });
        let mut log = Self {
            disk,
            folder: folder.to_owned(),
            identity: identity.clone(),
            options,
            segments,
            state: recovered.state,
            votes,
            applied,
            spare: None,
            planned: None,
            next_number,
            retired: retired.into(),
            removing: false,
            active_dirty: true,
            vote_dirty: true,
            condition: Condition::Sound,
        };
        log.check_beginning(begins_log)?;
        // What a killed process wrote may be in the page cache only, and marked clean by a sync that failed: written
        // again and synced before anybody answers on it.
        if !is_planted(Bug::TrustPageCache) {
            log.segments.last().expect("a log has a segment").segment.write_back()?;
            log.votes.write_back()?;
        }
        let dirty = log.take_dirty();
        log.disk.sync(&dirty).into_iter().collect::<Result<(), _>>()?;
        log.keep_spare(unused)?;
        let (frames_replayed, bytes_replayed) = (recovered.frames, recovered.bytes);
        let recovery = Recovery { cut: recovered.cut, vote: log.vote(), frames_replayed, bytes_replayed };
        Ok((log, recovery))
    }

    /// Keeps a blank file that comes after the active segment, removes the others.
    fn keep_spare(&mut self, unused: Vec<(bool, Spare)>) -> Result<(), Error> {
        let active = self.segments.last().expect("a log has a segment").number;
        for (blank, spare) in unused {
            if blank && spare.number > active && self.spare.is_none() {
                self.spare = Some(spare);
            } else {
                self.disk.remove(&names::segment(&self.folder, spare.number))?;
            }
        }
        Ok(())
    }
}

/// A log's sealed segments: each ends where the next begins, the last before `active_start`.
fn seal(heads: Vec<(u64, Arc<dyn DiskFile>, SegmentHead, u64)>, active_start: Tail) -> Vec<Held> {
    let starts: Vec<_> =
        heads.iter().skip(1).map(|(_, _, head, _)| Tail::from(&head.state)).chain([active_start]).collect();
    let sealed = heads.into_iter().zip(starts).map(|((number, file, head, head_bytes), next)| Held {
        number,
        segment: Segment::sealed(file, &head, head_bytes, &next),
    });
    sealed.collect()
}

fn open_files(disk: &dyn Disk, folder: &Path, identity: &LogIdentity) -> Result<Vec<Numbered>, Error> {
    let names = disk.list(folder)?;
    let numbers: Vec<u64> = names.iter().filter_map(|name| names::segment_number(name)).collect();
    let mut files = Vec::with_capacity(numbers.len());
    let mut bad_heads = Vec::new();
    for number in numbers {
        let file = disk.open(&names::segment(folder, number))?;
        let opened = match SegmentHead::read(&*file) {
            Ok((head, head_bytes)) => {
                head.check_identity(&*file, identity)?;
                Opened::Segment { head: Box::new(head), head_bytes }
            }
            Err(_) if is_blank(&*file) => Opened::Blank,
            Err(reason) => {
                bad_heads.push((number, reason));
                Opened::Unfinished
            }
        };
        files.push(Numbered { number, file, opened });
    }
    for (number, reason) in bad_heads {
        check_unfinished(&files, number, reason)?;
    }
    Ok(files)
}

/// A bad head is a crash's only on the newest segment, and only if no frame is behind it: a head is
/// synced before the first frame is written. Anything else is rot.
fn check_unfinished(files: &[Numbered], number: u64, reason: codec::Error) -> Result<(), Error> {
    let newer = files.iter().any(|other| other.number > number && !matches!(other.opened, Opened::Blank));
    let bad = files.iter().find(|file| file.number == number).expect("it is one of the files");
    if newer || holds_whole_frame(&*bad.file).is_some() {
        let file = bad.file.path().to_owned();
        return Err(segment::Error::Head { file, reason }.into());
    }
    Ok(())
}

fn open_vote(
    disk: &dyn Disk,
    folder: &Path,
    identity: &LogIdentity,
    no_segments: bool,
) -> Result<VoteFile, Error> {
    if has_vote(disk, folder)? {
        return VoteFile::open(disk, folder, identity);
    }
    let folder = folder.to_owned();
    Err(if no_segments { Error::Absent { folder } } else { Error::Unfinished { folder } })
}

fn has_vote(disk: &dyn Disk, folder: &Path) -> Result<bool, Error> {
    Ok(disk.list(folder)?.iter().any(|name| folder.join(name) == names::vote(folder)))
}

/// Makes room for a new log where the creation of one was cut short: before its vote, so before it took
/// a frame. Anything that ever was a log is refused.
pub(super) fn clear_leftovers(disk: &dyn Disk, folder: &Path, identity: &LogIdentity) -> Result<(), Error> {
    let files = open_files(disk, folder, identity)?;
    match open_vote(disk, folder, identity, files.is_empty()) {
        Ok(_) => return Err(Error::Exists { folder: folder.to_owned() }),
        Err(Error::Unfinished { .. } | Error::Absent { .. }) => {}
        Err(error) => return Err(error),
    }
    if files.iter().any(|file| holds_whole_frame(&*file.file).is_some()) {
        return Err(Error::VoteDamaged { file: names::vote(folder) });
    }
    for file in files {
        disk.remove(&names::segment(folder, file.number))?;
    }
    if has_vote(disk, folder)? {
        disk.remove(&names::vote(folder))?;
    }
    Ok(())
}
