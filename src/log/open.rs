//! Opening a log after a stop or a crash.
//!
//! Everything is read and judged before anything is changed: identities first, then heads and how they join, the vote,
//! the active segment. Changes come last: the cut tail's zeros, then files that never became segments. Of a sealed segment
//! the head alone is read, and no file stays open: opening costs the active segment, not the history.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::append::{Condition, Held, Prepared};
use super::open_files::OpenFiles;
use super::synced_mark::Synced;
use super::trim::forget_replaced;
use super::vote::VoteFile;
use super::{CutTail, Error, Log, LogIdentity, LogOptions, names};
use crate::codec;
use crate::disk::{self, Disk, DiskFile};
use crate::segment::{
    self, Extent, HEAD_BYTES_MIN, Segment, SegmentHead, Tail, check_joins, holds_whole_frame, recover,
};
use crate::simulation::{Bug, is_planted};
use crate::types::{Index, Vote};

/// A prepared file is told from a used one by this much of its start: a head and the first frames would stand there.
const BLANK_BYTES: u64 = 64 << 10;

/// What opening a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// An unsynced tail that was cut.
    pub cut: Option<CutTail>,
    /// The saved vote; `committed` is at most the last index that survived.
    pub vote: Vote,
    /// Frames were answered for before they were synced, in another boot of the machine: some may be missing.
    pub may_have_forgotten: bool,
    pub frames_replayed: u64,
    pub bytes_replayed: u64,
}

/// A log that was judged and written back. Sync its files, many logs' at once, then call `finish`.
pub struct Opening {
    log: Log,
    dirty: Vec<Arc<dyn DiskFile>>,
    unused: Vec<Unused>,
    /// Names of files to remove: indexes of segments that are not there or not sealed, repairs cut short.
    swept: Vec<PathBuf>,
    recovery: Recovery,
}

impl Opening {
    /// The files to sync, each once, before `finish`.
    pub fn files(&self) -> &[Arc<dyn DiskFile>] {
        &self.dirty
    }

    /// From now on frames are answered for before they are synced. A log that may have forgotten some is not yet: it has to
    /// find out first what they were.
    pub fn note_volatile(&mut self) -> Result<(), Error> {
        if self.recovery.may_have_forgotten {
            return Ok(());
        }
        self.log.note_volatile(true);
        // The vote's file is among those that are synced already.
        self.log.take_dirty().map(drop)
    }

    /// Ends the opening: `synced` are the answers for `files`, in order.
    pub fn finish(self, synced: Vec<Result<(), disk::Error>>) -> Result<(Log, Recovery), Error> {
        assert_eq!(synced.len(), self.dirty.len(), "every file is synced");
        synced.into_iter().collect::<Result<(), _>>()?;
        let Self { mut log, unused, swept, recovery, .. } = self;
        log.note_synced();
        log.mark_synced();
        for name in swept {
            log.disk.remove(&log.folder.join(name))?;
        }
        log.keep_prepared(unused)?;
        Ok((log, recovery))
    }
}

/// A file that is no segment: blank, or a head that was being written when the power went.
struct Unused {
    number: u64,
    size_bytes: u64,
    is_blank: bool,
}

/// A segment file, by what its head says.
enum Found {
    Segment {
        head: Box<SegmentHead>,
        extent: Extent,
    },
    /// Prepared, never used.
    Blank,
    /// A head that was being written when the power went; no frame was ever in it.
    Unfinished,
}

struct Numbered {
    number: u64,
    size_bytes: u64,
    found: Found,
}

/// A segment's number, head and place.
type Headed = (u64, SegmentHead, Extent);

/// The files of a folder by what they are, each kind in order of their numbers.
struct Sorted {
    heads: Vec<Headed>,
    unused: Vec<Unused>,
}

fn sort(files: Vec<Numbered>) -> Sorted {
    let (mut heads, mut unused) = (Vec::new(), Vec::new());
    for Numbered { number, size_bytes, found } in files {
        match found {
            Found::Segment { head, extent } => heads.push((number, *head, extent)),
            Found::Blank => unused.push(Unused { number, size_bytes, is_blank: true }),
            Found::Unfinished => unused.push(Unused { number, size_bytes, is_blank: false }),
        }
    }
    Sorted { heads, unused }
}

/// Names of indexes whose segments are gone or not `sealed`, and of indexes and repaired segments that were being written.
fn useless_names(folder: &Path, names: Vec<PathBuf>, sealed: &[Headed]) -> Vec<PathBuf> {
    let is_useless = |name: &PathBuf| {
        let is_sealed = |number| sealed.binary_search_by_key(&number, |(number, ..)| *number).is_ok();
        let is_whole = |number| folder.join(name) == names::index(folder, number);
        let is_useless_index =
            names::index_number(name).is_some_and(|number| !is_sealed(number) || !is_whole(number));
        is_useless_index || names::is_repaired(name)
    };
    names.into_iter().filter(is_useless).collect()
}

impl Log {
    /// Opens the log in `folder`, repairs what a crash may leave, and syncs what it keeps. Another log's
    /// folder, rot and a lost vote are refused, and nothing is changed then. The log's open files are its own.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        identity: &LogIdentity,
        options: LogOptions,
    ) -> Result<(Self, Recovery), Error> {
        let files = OpenFiles::new(disk, options.open_segments_max);
        let opening = Self::begin_open(&files, folder, identity, options)?;
        let synced = files.disk().sync(opening.files());
        opening.finish(synced)
    }

    /// The first half of an opening, for many logs that share open files and one set of syncs.
    pub fn begin_open(
        files: &OpenFiles,
        folder: &Path,
        identity: &LogIdentity,
        options: LogOptions,
    ) -> Result<Opening, Error> {
        let disk = files.disk();
        let names = disk.list(folder)?;
        let found = find_segments(&**disk, folder, &names, identity)?;
        let votes = open_votes(&**disk, folder, identity, found.is_empty())?;
        let next_number = found.last().map_or(1, |file| file.number) + 1;
        let Sorted { mut heads, unused } = sort(found);
        check_once(folder, &heads)?;
        let retired = forget_replaced(&mut heads);
        check_run(folder, &heads)?;
        let Some((active, head, extent)) = heads.pop() else {
            return Err(Error::SegmentsLost { folder: folder.to_owned() });
        };
        let begins_log = heads.first().map_or(head.begins_log, |(_, first, _)| first.begins_log);
        let swept = useless_names(folder, names, &heads);
        let applied = (head.state.applied, head.state.membership.clone());
        let mut segments = seal(heads, Tail::from(&head.state));
        let synced = Synced::nothing(disk.boot()?);
        let may_have_forgotten = votes.may_have_forgotten(synced.boot);
        let file = disk.open(&names::segment(folder, active))?;
        let recovered = recover(file, head, extent, may_have_forgotten)?;
        segments.push(Held { number: active, segment: recovered.segment });
        segments.shrink_to_fit();
        let mut log = Self {
            disk: Arc::clone(disk),
            files: files.for_log(),
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
            active_dirty: true,
            synced,
            vote_dirty: None,
            vote_noted: false,
            condition: Condition::Sound,
            damaged: Cell::new(None),
        };
        log.check_beginning(begins_log)?;
        log.write_back(recovered.cut.as_ref())?;
        let recovery = Recovery {
            cut: recovered.cut,
            vote: log.remembered_vote(may_have_forgotten),
            may_have_forgotten,
            frames_replayed: recovered.frames,
            bytes_replayed: recovered.bytes,
        };
        Ok(Opening { dirty: log.take_dirty()?, log, unused, swept, recovery })
    }

    /// The vote. How far the log was committed may be told of frames that it lost.
    fn remembered_vote(&self, may_have_forgotten: bool) -> Vote {
        let Vote { committed, .. } = self.vote();
        Vote { committed: if may_have_forgotten { Index(0) } else { committed }, ..self.vote() }
    }

    /// What a killed process wrote may be in the page cache only, and called clean by a sync that failed: what is not known
    /// as synced is written again, and synced before anybody answers on it. The mark goes first: from here on this run of
    /// the machine writes, and should the sync fail, the next opening trusts nothing.
    fn write_back(&mut self, cut: Option<&CutTail>) -> Result<(), Error> {
        let synced = self.synced_before()?;
        self.unmark()?;
        let vote = self.files.vote(&self.folder)?;
        let segment = &self.segments.last().expect("a log has a segment").segment;
        if let Some(tail) = cut {
            segment.clear(tail)?;
        }
        if !is_planted(Bug::TrustPageCache) {
            segment.write_back(synced)?;
            VoteFile::write_back(&*vote)?;
        }
        self.vote_dirty = Some(vote);
        Ok(())
    }

    /// Keeps a blank file that comes after the active segment, removes the others.
    fn keep_prepared(&mut self, unused: Vec<Unused>) -> Result<(), Error> {
        let active = self.segments.last().expect("a log has a segment").number;
        for Unused { number, size_bytes, is_blank } in unused {
            if is_blank && number > active && self.spare.is_none() {
                self.spare = Some(Prepared { number, size_bytes, file: None });
            } else {
                self.remove_segment(number)?;
            }
        }
        Ok(())
    }
}

/// Refuses a segment that is there twice. A copy of the first in a later one's place would pass for a log begun anew,
/// and the others for what that replaced.
fn check_once(folder: &Path, heads: &[Headed]) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    for (number, _, extent) in heads {
        if seen.insert(extent.head_crc, extent.start.index) == Some(extent.start.index) {
            let (file, found) = (names::segment(folder, *number), extent.start.index.plus(1).0);
            return Err(segment::Error::Gap { file, field: "first index", expected: found + 1, found }.into());
        }
    }
    Ok(())
}

/// Each segment goes on from the one before it.
fn check_run(folder: &Path, heads: &[Headed]) -> Result<(), Error> {
    for pair in heads.windows(2) {
        let ((number, _, before), (next, head, _)) = (&pair[0], &pair[1]);
        check_joins(&names::segment(folder, *next), *number, before, head)?;
    }
    Ok(())
}

/// A log's sealed segments: each ends where the next begins, the last before `active_start`.
fn seal(heads: Vec<Headed>, active_start: Tail) -> Vec<Held> {
    let starts: Vec<_> =
        heads.iter().skip(1).map(|(_, _, extent)| extent.start).chain([active_start]).collect();
    let sealed = heads
        .into_iter()
        .zip(starts)
        .map(|((number, _, extent), next)| Held { number, segment: Segment::sealed(extent.until(&next)) });
    sealed.collect()
}

fn find_segments(
    disk: &dyn Disk,
    folder: &Path,
    names: &[PathBuf],
    identity: &LogIdentity,
) -> Result<Vec<Numbered>, Error> {
    let mut files = Vec::new();
    let mut bad_heads = Vec::new();
    for number in names.iter().filter_map(|name| names::segment_number(name)) {
        let path = names::segment(folder, number);
        let (mut start, size_bytes) = disk.read_start(&path, HEAD_BYTES_MIN)?;
        let mut decoded = SegmentHead::decode(&start);
        if let Err(codec::Error::Short { needed, .. }) = decoded
            && needed as u64 <= size_bytes
        {
            (start, _) = disk.read_start(&path, needed as u64)?;
            decoded = SegmentHead::decode(&start);
        }
        let found = match decoded {
            Ok((head, head_bytes)) => {
                head.check_identity(&path, identity)?;
                head.check_size(&path, size_bytes)?;
                head.check_place(&path, number)?;
                let extent = Extent::empty(&head, head_bytes, SegmentHead::crc_of(&start), size_bytes);
                Found::Segment { head: Box::new(head), extent }
            }
            Err(_) if starts_blank(disk, &path)? => Found::Blank,
            Err(reason) if !SegmentHead::may_be_torn(&start) => {
                return Err(segment::Error::Foreign { file: path, reason }.into());
            }
            Err(reason) => {
                bad_heads.push((number, reason));
                Found::Unfinished
            }
        };
        files.push(Numbered { number, size_bytes, found });
    }
    for (number, reason) in bad_heads {
        check_unfinished(disk, folder, &files, number, reason)?;
    }
    Ok(files)
}

fn starts_blank(disk: &dyn Disk, path: &Path) -> Result<bool, Error> {
    let (start, _) = disk.read_start(path, BLANK_BYTES)?;
    Ok(start.iter().all(|byte| *byte == 0))
}

/// A bad head is a crash's only on the newest segment, and only if no frame is behind it: a head is
/// synced before the first frame is written. A file has its size before its head is written. Anything else is rot.
fn check_unfinished(
    disk: &dyn Disk,
    folder: &Path,
    files: &[Numbered],
    number: u64,
    reason: codec::Error,
) -> Result<(), Error> {
    let newer = files.iter().any(|other| other.number > number && !matches!(other.found, Found::Blank));
    let file = names::segment(folder, number);
    let shortened = matches!(reason, codec::Error::Short { .. });
    if newer || shortened || holds_whole_frame(&*disk.open(&file)?).is_some() {
        return Err(segment::Error::Head { file, reason }.into());
    }
    Ok(())
}

/// The votes of a folder that is to hold a log.
fn open_votes(
    disk: &dyn Disk,
    folder: &Path,
    identity: &LogIdentity,
    no_segments: bool,
) -> Result<VoteFile, Error> {
    VoteFile::open(disk, folder, identity)?.ok_or_else(|| {
        let folder = folder.to_owned();
        if no_segments { Error::Absent { folder } } else { Error::Unfinished { folder } }
    })
}

/// Makes room for a new log where the creation of one was cut short: before its vote, so before it took
/// a frame. Anything that ever was a log is refused.
pub(super) fn clear_leftovers(disk: &dyn Disk, folder: &Path, identity: &LogIdentity) -> Result<(), Error> {
    let names = disk.list(folder)?;
    if names.is_empty() {
        return Ok(());
    }
    let files = find_segments(disk, folder, &names, identity)?;
    let vote = match VoteFile::open(disk, folder, identity) {
        Ok(Some(_)) => return Err(Error::Exists { folder: folder.to_owned() }),
        Ok(None) => false,
        Err(Error::Unfinished { .. }) => true,
        Err(error) => return Err(error),
    };
    for file in &files {
        if holds_whole_frame(&*disk.open(&names::segment(folder, file.number))?).is_some() {
            return Err(Error::VoteDamaged { file: names::vote(folder) });
        }
    }
    for file in files {
        disk.remove(&names::segment(folder, file.number))?;
    }
    if vote {
        disk.remove(&names::vote(folder))?;
    }
    Ok(())
}
