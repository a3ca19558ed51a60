//! The writing side of a log: append, truncate, roll, vote.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::open_files::{LogFiles, OpenFiles};
use super::synced_mark::Synced;
use super::trim::Retired;
use super::vote::VoteFile;
use super::{Error, LogIdentity, names};
use crate::codec::{Frame, ShardState};
use crate::disk::{self, Disk, DiskFile};
use crate::segment::{self, HEAD_BYTES_MIN, Segment, SegmentHead, Tail, is_blank};
use crate::simulation::{Bug, is_planted};
use crate::types::{Index, Membership, Vote};

/// Sizes of a log's segments: the first is small, each next one four times as large, up to a maximum. (Each new segment costs its
/// lane a sync, and each file is filled with zeros before it is written: the faster they grow the fewer are the syncs, and the more
/// zeros are never reached.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    pub first_segment_bytes: u64,
    pub segment_bytes_max: u64,
    /// Sealed segments that all logs sharing one `OpenFiles` keep open at once.
    pub open_segments_max: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { first_segment_bytes: 64 << 10, segment_bytes_max: 64 << 20, open_segments_max: 1024 }
    }
}

impl LogOptions {
    /// Size of the segment that follows, where the largest that there is has `size_bytes`.
    fn after(&self, size_bytes: u64) -> u64 {
        (4 * size_bytes)
            .min(self.segment_bytes_max)
            .max(self.first_segment_bytes())
            .next_multiple_of(HEAD_BYTES_MIN)
    }

    /// Room left in a segment of `size_bytes` when the next one's file is asked for: at once at full size, as filling it takes the
    /// disk its time. A log that still grows asks late: it may never get there.
    fn lead_bytes(&self, size_bytes: u64) -> u64 {
        if size_bytes < self.segment_bytes_max { size_bytes / 4 } else { size_bytes }
    }

    fn first_segment_bytes(&self) -> u64 {
        self.first_segment_bytes.next_multiple_of(HEAD_BYTES_MIN)
    }
}

/// A file the log would like to have ready: blank, created with `Disk::create`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentPlan {
    pub path: PathBuf,
    pub bytes: u64,
}

/// Kept free for frames that no admission can refuse, those that open a leader's term: a sixteenth of a segment, at
/// most this.
const RESERVED_BYTES_MAX: u64 = 16 << 10;

/// Numbers left free before that of a planned segment: for small ones that frames need before its file is there.
const MAKESHIFTS_MAX: u64 = 64;

/// A segment and its number.
pub(super) struct Held {
    pub(super) number: u64,
    pub(super) segment: Segment,
}

/// A blank file, about to become the next segment.
pub(super) struct Spare {
    pub(super) number: u64,
    pub(super) file: Arc<dyn DiskFile>,
}

/// A file kept for the next segment. One found when the log was opened is opened, and proved blank, when it is used.
pub(super) struct Prepared {
    pub(super) number: u64,
    pub(super) size_bytes: u64,
    pub(super) file: Option<Arc<dyn DiskFile>>,
}

impl From<Spare> for Prepared {
    fn from(Spare { number, file }: Spare) -> Self {
        Self { number, size_bytes: file.size_bytes(), file: Some(file) }
    }
}

/// Whether a log takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Sound,
    /// The disk had no room for the next segment, and none has been brought since.
    Full,
    /// A write failed: what stands on the disk is unknown.
    Failed,
}

/// One shard's log, open. One thread owns it.
pub struct Log {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) files: LogFiles,
    pub(super) folder: PathBuf,
    pub(super) identity: LogIdentity,
    pub(super) options: LogOptions,
    /// Sealed ones, then the active one; never empty.
    pub(super) segments: Vec<Held>,
    /// The state after the last frame, but for `applied` and `membership`: those are as of the active
    /// segment's head, so that `state_at` depends on the bytes on disk alone.
    pub(super) state: ShardState,
    pub(super) votes: VoteFile,
    pub(super) applied: (Index, Membership),
    pub(super) spare: Option<Prepared>,
    /// The number of a segment being prepared.
    pub(super) planned: Option<u64>,
    pub(super) next_number: u64,
    pub(super) retired: Retired,
    pub(super) active_dirty: bool,
    pub(super) synced: Synced,
    /// The vote's file, written and not yet handed to a sync.
    pub(super) vote_dirty: Option<Arc<dyn DiskFile>>,
    /// A vote was noted that is not written yet: it is with the next sync, when the one before has ended.
    pub(super) vote_noted: bool,
    pub(super) condition: Condition,
    /// The number of a segment that a read found damaged.
    pub(super) damaged: Cell<Option<u64>>,
}

impl Log {
    /// Begins a log after `genesis`, durably. Leftovers of a creation cut short are replaced; a folder that
    /// holds a log is refused. The log's open files are its own.
    pub fn create(
        disk: Arc<dyn Disk>,
        folder: &Path,
        identity: &LogIdentity,
        genesis: &ShardState,
        options: LogOptions,
    ) -> Result<Self, Error> {
        let files = OpenFiles::new(disk, options.open_segments_max);
        Self::create_among(&files, folder, identity, genesis, options)
    }

    /// As `create`, sharing open files with other logs.
    pub fn create_among(
        files: &OpenFiles,
        folder: &Path,
        identity: &LogIdentity,
        genesis: &ShardState,
        options: LogOptions,
    ) -> Result<Self, Error> {
        let disk = Arc::clone(files.disk());
        let synced = Synced::nothing(disk.boot()?);
        super::open::clear_leftovers(&*disk, folder, identity)?;
        let (state, begins_log) = (genesis.clone(), true);
        let head = SegmentHead { identity: identity.clone(), state, begins_log, previous: 0, file_bytes: 0 };
        let head_bytes = head.encode().len() as u64;
        let file =
            disk.create(&names::segment(folder, 1), options.first_segment_bytes().max(2 * head_bytes))?;
        let segment = Segment::create(file, &head)?;
        // The vote comes last: a folder with a vote is a whole log.
        let votes = VoteFile::create(&*disk, folder, identity)?;
        Ok(Self {
            disk,
            files: files.for_log(),
            folder: folder.to_owned(),
            identity: identity.clone(),
            options,
            segments: vec![Held { number: 1, segment }],
            state: genesis.clone(),
            votes,
            applied: (genesis.applied, genesis.membership.clone()),
            spare: None,
            planned: None,
            next_number: 2,
            retired: Retired::default(),
            active_dirty: false,
            synced,
            vote_dirty: None,
            vote_noted: false,
            condition: Condition::Sound,
            damaged: Cell::new(None),
        })
    }

    /// Takes consecutive frames. If the first lies at or below the last one here, the log is truncated
    /// before it first; that never reaches down to `known_committed`. A frame that does not follow is
    /// refused before anything changes. On a full disk the frames that still found room are in.
    pub fn append(&mut self, frames: &[Frame], known_committed: Index) -> Result<(), Error> {
        let Some(first) = frames.first() else { return Ok(()) };
        self.check_usable()?;
        let first = first.header.index;
        if first > self.last_index() {
            check_follow(Tail::from(&self.state), frames)?;
        } else {
            assert!(first > known_committed, "committed entry {first} is not overwritten");
            let state = self.state_at(first.before())?;
            check_follow(Tail::from(&state), frames)?;
            let truncated = self.truncate(state);
            self.note_failure(truncated)?;
        }
        let written = self.write(frames);
        self.note_failure(written)
    }

    /// Sees to it that frames of `bytes` in all, padding included, find room behind the last one, and makes the file
    /// they need if none is ready. Where the disk had no room the answer stays no until `install_segment` brings a file.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), Error> {
        self.check_usable()?;
        let wanted = bytes + (self.active().size_bytes() / 16).min(RESERVED_BYTES_MAX);
        if self.active().free_bytes() >= wanted {
            return Ok(());
        }
        let needed = self.next_head().encode().len() as u64 + wanted;
        if self.spare.as_ref().is_some_and(|spare| spare.size_bytes >= needed) {
            return Ok(());
        }
        if self.is_full() {
            return Err(disk::Error::NoSpace { operation: "write to", path: self.folder.clone() }.into());
        }
        let made = self.blank_file(needed);
        let made = self.note_failure(made);
        self.spare = Some(made?.into());
        Ok(())
    }

    /// Whether the disk had no room for the next segment.
    pub fn is_full(&self) -> bool {
        self.condition == Condition::Full
    }

    /// Notes the vote; durable with the next sync of `take_dirty`.
    pub fn save_vote(&mut self, vote: Vote) -> Result<(), Error> {
        self.check_usable()?;
        self.votes.note(vote);
        self.vote_noted = true;
        Ok(())
    }

    /// Notes whether frames are answered for before they are synced, from here on and in this boot; durable with the next
    /// sync of `take_dirty`.
    pub fn note_volatile(&mut self, is_volatile: bool) {
        self.votes.note_volatile(is_volatile.then_some(self.synced.boot));
        self.vote_noted = true;
    }

    /// Whether something was written or noted since the last `take_dirty`.
    pub fn is_dirty(&self) -> bool {
        self.active_dirty || self.vote_dirty.is_some() || self.vote_noted
    }

    /// The files to sync so that all written and noted so far is durable. The sync of the files taken before must have
    /// ended: a vote is written only now, so that the one before it stays whole until this one is. Say with `note_synced`
    /// that it ended well.
    pub fn take_dirty(&mut self) -> Result<Vec<Arc<dyn DiskFile>>, Error> {
        if self.vote_noted {
            let written = self.write_vote();
            self.vote_dirty = Some(self.note_failure(written)?);
            self.vote_noted = false;
        }
        let active = self.active_dirty.then(|| Arc::clone(self.active().file()));
        if self.active_dirty {
            self.synced.taken = Some(self.end());
        }
        let vote = self.vote_dirty.take();
        self.active_dirty = false;
        Ok(active.into_iter().chain(vote).collect())
    }

    fn write_vote(&mut self) -> Result<Arc<dyn DiskFile>, Error> {
        let file = self.files.vote(&self.folder)?;
        self.votes.save(&*file)?;
        Ok(file)
    }

    /// Writes all that was noted, syncs it and all frames, whatever is known to be clean: a sync that another thread has
    /// under way may still fail.
    pub fn sync_all(&mut self) -> Result<(), Error> {
        let active = Arc::clone(self.active().file());
        let files: Vec<_> = self.take_dirty()?.into_iter().chain([active]).collect();
        self.disk.sync(&files).into_iter().collect::<Result<(), _>>()?;
        self.note_synced();
        Ok(())
    }

    /// Notes for its next opening, durably if the disk still can, that frames answered for may be gone: a sync failed.
    pub fn note_forgotten(&mut self) -> Result<(), Error> {
        self.votes.note_forgotten();
        // The handle that is open may be poisoned by the same failure.
        let file = self.disk.open(&names::vote(&self.folder))?;
        self.votes.save(&*file)?;
        Ok(file.sync()?)
    }

    /// Once little room is left in the active segment, or the disk was full: the next one's file, asked for once. Answer with
    /// `install_segment` or `abandon_segment`.
    pub fn wants_segment(&mut self) -> Option<SegmentPlan> {
        let active = self.active();
        // On a full disk one is asked for beside a spare, too: it shows when there is room again.
        let runs_out = active.free_bytes() <= self.options.lead_bytes(active.size_bytes());
        let due = self.is_full() || (self.spare.is_none() && runs_out);
        if self.planned.is_some() || !due {
            return None;
        }
        let bytes = self.next_segment_bytes();
        let number = self.next_number + MAKESHIFTS_MAX;
        self.planned = Some(number);
        Some(SegmentPlan { path: names::segment(&self.folder, number), bytes })
    }

    /// Takes the file of the last plan. One that comes too late, because the log has moved on, or beside a larger one that
    /// was made for frames that wait, is removed.
    pub fn install_segment(&mut self, file: Arc<dyn DiskFile>) -> Result<(), Error> {
        let number = self.end_plan();
        let installed = Prepared::from(Spare { number, file });
        let active = self.segments.last().expect("a log has a segment").number;
        let useless = match &self.spare {
            _ if number < active => Some(installed),
            Some(spare) if spare.size_bytes >= installed.size_bytes => Some(installed),
            _ => self.spare.replace(installed),
        };
        if let Some(Prepared { number, .. }) = useless {
            self.disk.remove(&names::segment(&self.folder, number))?;
        }
        if self.is_full() && self.spare.is_some() {
            self.condition = Condition::Sound;
        }
        Ok(())
    }

    /// The planned file could not be made; it may be asked for again.
    pub fn abandon_segment(&mut self, error: &disk::Error) {
        self.end_plan();
        if self.condition == Condition::Sound && matches!(error, disk::Error::NoSpace { .. }) {
            self.condition = Condition::Full;
        }
    }

    /// Notes how far membership frames are applied; stands in the next segment's head.
    pub fn note_applied(&mut self, applied: Index, membership: &Membership) {
        let known = self.last_index().max(self.state.applied);
        assert!(applied <= known, "only entries of the log, or those that a reset included, are applied");
        self.applied = (applied, membership.clone());
    }

    pub(super) fn active(&self) -> &Segment {
        &self.segments.last().expect("a log has a segment").segment
    }

    fn active_mut(&mut self) -> &mut Segment {
        &mut self.segments.last_mut().expect("a log has a segment").segment
    }

    fn take_number(&mut self) -> u64 {
        if self.planned == Some(self.next_number) {
            self.next_number += 1;
        }
        self.next_number += 1;
        self.next_number - 1
    }

    /// The planned segment's number. No later one may lie below it.
    fn end_plan(&mut self) -> u64 {
        let number = self.planned.take().expect("a plan ends once, after a segment was wanted");
        self.next_number = self.next_number.max(number + 1);
        number
    }

    pub(super) fn check_usable(&self) -> Result<(), Error> {
        if self.condition == Condition::Failed {
            Err(Error::Failed { folder: self.folder.clone() })
        } else {
            Ok(())
        }
    }

    /// After a failed write what stands on disk is unknown, until recovery has looked.
    pub(super) fn note_failure<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Err(error) if error.is_no_space() => self.condition = Condition::Full,
            Err(_) => self.condition = Condition::Failed,
            Ok(_) => {}
        }
        result
    }

    fn write(&mut self, frames: &[Frame]) -> Result<(), Error> {
        let mut rest = frames;
        while let Some(next) = rest.first() {
            let fitting = self.active().fitting(rest);
            if fitting == 0 {
                self.roll(next.header.frame_len())?;
                continue;
            }
            let (run, after) = rest.split_at(fitting);
            self.active_mut().append(run)?;
            self.active_dirty = true;
            if is_planted(Bug::MarkAppended) {
                self.synced.proved = Some(self.end());
                self.mark_synced();
            }
            for frame in run {
                self.state.fold(&frame.header, frame.header_crc());
            }
            rest = after;
        }
        Ok(())
    }

    /// Seals the active segment and starts the next, with room for a frame of `frame_len` bytes. The old
    /// one is synced before the new head exists: recovery calls every flaw of a sealed segment rot.
    fn roll(&mut self, frame_len: usize) -> Result<(), Error> {
        let head = self.next_head();
        let needed = (head.encode().len() + frame_len.next_multiple_of(8)) as u64;
        let Spare { number, file } = self.blank_file(needed)?;
        self.active().file().sync()?;
        let segment = Segment::create(file, &head)?;
        let index = self.active_mut().seal();
        // Not on the way of the append's sync, and no loss if it fails: it is built again when it is needed.
        let _ = self.disk.write_unsynced(&names::index(&self.folder, head.previous), &index);
        self.segments.push(Held { number, segment });
        self.state = head.state;
        self.active_dirty = false;
        Ok(())
    }

    /// The head of a segment that would begin now.
    fn next_head(&self) -> SegmentHead {
        let mut state = self.state.clone();
        (state.applied, state.membership) = self.applied.clone();
        let previous = self.segments.last().expect("a log has a segment").number;
        SegmentHead { identity: self.identity.clone(), state, begins_log: false, previous, file_bytes: 0 }
    }

    fn next_segment_bytes(&self) -> u64 {
        let sizes = self.segments.iter().map(|held| held.segment.size_bytes());
        self.options.after(sizes.max().expect("a log has a segment"))
    }

    /// The file kept for the next segment, or a larger one if that is needed. While the next segment's file is being made, frames
    /// that cannot wait for it get one that is no larger than they need: it is made on their way. Where there is no room for it, what
    /// was kept stays: frames already taken in count on it.
    pub(super) fn blank_file(&mut self, needed: u64) -> Result<Spare, Error> {
        if let Some(Prepared { number, file, .. }) = self.spare.take_if(|spare| spare.size_bytes >= needed) {
            let file = file.map_or_else(|| self.open_blank(number), Ok)?;
            return Ok(Spare { number, file });
        }
        let planned = if self.planned.is_some() { 0 } else { self.next_segment_bytes() };
        let bytes =
            planned.max(self.options.first_segment_bytes()).max(needed.next_multiple_of(HEAD_BYTES_MIN));
        let number = self.take_number();
        let file = self.disk.create(&names::segment(&self.folder, number), bytes)?;
        if let Some(Prepared { number, .. }) = self.spare.take() {
            self.disk.remove(&names::segment(&self.folder, number))?;
        }
        Ok(Spare { number, file })
    }

    /// A file that an earlier life prepared. Only its start was seen to be blank.
    fn open_blank(&self, number: u64) -> Result<Arc<dyn DiskFile>, Error> {
        let file = self.disk.open(&names::segment(&self.folder, number))?;
        if is_blank(&*file) {
            return Ok(file);
        }
        Err(segment::Error::NotBlank { file: file.path().to_owned() }.into())
    }

    /// Drops all frames after `state`. Later segments go first, the last one first, each durably: a crash
    /// in between leaves a shorter or longer prefix of the old log, never a mix.
    fn truncate(&mut self, state: ShardState) -> Result<(), Error> {
        let last = self.segments.partition_point(|held| held.segment.start().index <= state.index) - 1;
        let reopened = self.reopened(last)?;
        self.unmark()?;
        self.active_dirty = false;
        while self.segments.len() > last + 1 {
            let number = self.segments.last().expect("a log has a segment").number;
            self.remove_segment(number)?;
            self.segments.pop();
        }
        if let Some(segment) = reopened {
            self.files.forget_segment(self.segments[last].number);
            self.segments[last].segment = segment;
        }
        let truncated = self.active_mut().truncate(state.index);
        self.noting_damage(self.segments[last].number, truncated)?;
        self.active_dirty = true;
        self.state = state;
        Ok(())
    }

    /// A sealed segment as an active one; `None` if it is active.
    fn reopened(&self, position: usize) -> Result<Option<Segment>, Error> {
        let Held { number, segment } = &self.segments[position];
        if segment.is_active() {
            return Ok(None);
        }
        let file = self.disk.open(&names::segment(&self.folder, *number))?;
        Ok(Some(self.noting_damage(*number, Segment::reopen(file, *segment.extent()))?))
    }

    /// Removes a segment's file and then its index, durably.
    pub(super) fn remove_segment(&self, number: u64) -> Result<(), Error> {
        self.files.forget_segment(number);
        self.disk.remove(&names::segment(&self.folder, number))?;
        // There may be none, and one that stays is swept at the next opening.
        let _ = self.disk.remove(&names::index(&self.folder, number));
        Ok(())
    }
}

fn check_follow(mut tail: Tail, frames: &[Frame]) -> Result<(), Error> {
    for frame in frames {
        let index = frame.header.index;
        tail.check_next(&frame.header).map_err(|fault| Error::NotNext { index, fault })?;
        tail.advance(&frame.header, frame.header_crc());
    }
    Ok(())
}
