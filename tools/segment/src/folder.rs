//! The files of a shard as they lie in a folder, each with the part it plays in the log, judged as a node judges it when
//! it opens them.
//!
//! Opens for reading only. Knows nothing of frames but where heads say that they begin and end. Invariants: a file
//! before the last head that begins the log is retired; the last head is the active segment's; every other one ends
//! where the next head begins.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use timberline::codec;
use timberline::disk::{self, map_read_only};
use timberline::log::names;
use timberline::segment::{Extent, SegmentHead, SegmentIdentity};
use timberline::types::ShardId;

use crate::failure::Failure;
use crate::scan::{Depth, Event, Scan, content_end};

/// Shards lie at most so far below the folder that was named: a cluster's data, a node's, `shards`, the shard's own.
const DEPTH_MAX: usize = 4;

/// What a segment file is to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Replaced by a log that begins anew behind it: no part of the log any more.
    Retired,
    /// Ends where the segment at this place in the folder begins.
    Sealed { next: usize },
    /// The last one: frames are appended to it.
    Active,
    /// Prepared: all zeros.
    Blank,
    /// A head that was being written when the power went, and no frame behind it: a node removes the file.
    Unfinished,
}

/// A head as it was read: what it says, how long it is and its CRC; or why it is none.
pub type ReadHead = Result<(SegmentHead, u64, u32), codec::Error>;

/// One segment file.
pub struct SegmentFile {
    pub path: PathBuf,
    pub number: u64,
    pub bytes: Bytes,
    pub head: ReadHead,
    pub part: Part,
}

impl SegmentFile {
    fn open(path: PathBuf, number: u64) -> Result<Self, Failure> {
        let bytes = map_read_only(&path)?;
        let head = SegmentHead::decode(&bytes)
            .map(|(head, head_bytes)| (head, head_bytes, SegmentHead::crc_of(&bytes)));
        let part = match &head {
            Ok(_) => Part::Active,
            Err(_) if content_end(&bytes) == 0 => Part::Blank,
            Err(_) if holds_frame(&bytes) || !SegmentHead::may_be_torn(&bytes) => Part::Active,
            Err(_) => Part::Unfinished,
        };
        Ok(Self { path, number, bytes, head, part })
    }

    pub fn head(&self) -> Option<&SegmentHead> {
        self.head.as_ref().ok().map(|(head, ..)| head)
    }

    /// Its place and size, ending nowhere yet.
    pub fn extent(&self) -> Option<Extent> {
        let (head, head_bytes, crc) = self.head.as_ref().ok()?;
        Some(Extent::empty(head, *head_bytes, *crc, self.bytes.len() as u64))
    }

    /// Whether the file holds frames of the log.
    pub fn is_in_log(&self) -> bool {
        matches!(self.part, Part::Sealed { .. } | Part::Active)
    }

    pub fn scan(&self, depth: Depth) -> Scan<'_> {
        Scan::of_file(&self.bytes, depth)
    }

    /// In a few letters: what it is.
    pub fn part_name(&self) -> &'static str {
        match self.part {
            Part::Retired => "retired",
            Part::Sealed { .. } => "sealed",
            Part::Active => "active",
            Part::Blank => "prepared",
            Part::Unfinished => "unfinished",
        }
    }
}

fn holds_frame(bytes: &[u8]) -> bool {
    Scan::of_file(bytes, Depth::Headers).any(|event| matches!(event, Event::Frame(_)))
}

/// The files of one replica of one shard.
pub struct ShardFolder {
    pub path: PathBuf,
    /// By number.
    pub segments: Vec<SegmentFile>,
    pub vote: Option<Bytes>,
    /// Index files by the number of their segment.
    pub indexes: Vec<(u64, PathBuf)>,
    /// Files that no log has.
    pub strangers: Vec<PathBuf>,
    /// Only this file was asked for; the others tell what part it plays.
    pub only: Option<u64>,
}

impl ShardFolder {
    fn open(path: &Path, only: Option<u64>) -> Result<Self, Failure> {
        let (mut segments, mut indexes, mut strangers, mut vote) = (Vec::new(), Vec::new(), Vec::new(), None);
        for name in entries(path)? {
            let file = path.join(&name);
            if let Some(number) = names::segment_number(&name) {
                segments.push(SegmentFile::open(file, number)?);
            } else if let Some(number) = names::index_number(&name) {
                indexes.push((number, file));
            } else if file == names::vote(path) {
                vote = Some(map_read_only(&file)?);
            } else {
                strangers.push(file);
            }
        }
        segments.sort_by_key(|segment| segment.number);
        assign_parts(&mut segments);
        Ok(Self { path: path.to_owned(), segments, vote, indexes, strangers, only })
    }

    /// Whose files these are: what most heads say.
    pub fn identity(&self) -> Option<&SegmentIdentity> {
        let heads = || self.segments.iter().filter_map(SegmentFile::head).map(|head| &head.identity);
        // Of equals the last, which is the oldest.
        heads().rev().max_by_key(|identity| heads().filter(|other| other == identity).count())
    }

    pub fn shard(&self) -> Option<ShardId> {
        self.identity().map(|identity| identity.shard)
    }

    /// What the shard is called in listings: its number, or, where no head tells it, a question mark.
    pub fn shard_name(&self) -> String {
        self.shard().map_or_else(|| "?".to_owned(), |shard| shard.to_string())
    }

    /// The segments that were asked for, each with its place in the folder.
    pub fn asked(&self) -> impl Iterator<Item = (usize, &SegmentFile)> {
        let is_asked = |number| self.only.is_none_or(|only| only == number);
        self.segments.iter().enumerate().filter(move |(_, segment)| is_asked(segment.number))
    }

    /// The segments of the log that were asked for, in order.
    pub fn log_segments(&self) -> impl Iterator<Item = &SegmentFile> {
        self.asked().map(|(_, segment)| segment).filter(|segment| segment.is_in_log())
    }
}

/// Tells sealed, active and retired segments apart, and heads that rotted from heads that never came to be.
fn assign_parts(segments: &mut [SegmentFile]) {
    let begin =
        segments.iter().rposition(|segment| segment.head().is_some_and(|head| head.begins_log)).unwrap_or(0);
    let last_used = segments.iter().rposition(|segment| segment.part == Part::Active);
    let mut next = None;
    for at in (0..segments.len()).rev() {
        let part = &mut segments[at].part;
        if *part == Part::Blank {
            continue;
        }
        *part = match next {
            _ if at < begin => Part::Retired,
            // A bad head with a used segment behind it was good once.
            _ if *part == Part::Unfinished && last_used.is_none_or(|last| last < at) => Part::Unfinished,
            None => Part::Active,
            Some(next) => Part::Sealed { next },
        };
        if segments[at].is_in_log() {
            next = Some(at);
        }
    }
}

/// The names in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(PathBuf::from(entry?.file_name()))).collect());
    let mut names: Vec<PathBuf> = listed.map_err(|e| disk::Error::io("list", folder, e))?;
    names.sort();
    Ok(names)
}

/// All shards' files at `path`: a folder that holds them at some depth, a shard's folder, or one segment file.
pub fn open_all(path: &Path) -> Result<Vec<ShardFolder>, Failure> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::Absent { path: path.to_owned() },
        _ => disk::Error::io("open", path, error).into(),
    })?;
    if !metadata.is_dir() {
        let name = path.file_name().map(Path::new);
        let number = name.and_then(names::segment_number);
        let number = number.ok_or_else(|| Failure::NoShards { path: path.to_owned() })?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        return Ok(vec![ShardFolder::open(folder.unwrap_or(Path::new(".")), Some(number))?]);
    }
    let mut found = Vec::new();
    find(path, DEPTH_MAX, &mut found)?;
    if found.is_empty() {
        return Err(Failure::NoShards { path: path.to_owned() });
    }
    found.sort_by_key(|folder| (folder.path.parent().map(Path::to_owned), folder.shard()));
    Ok(found)
}

/// Like `open_all`, of several paths.
pub fn open_paths(paths: &[PathBuf]) -> Result<Vec<ShardFolder>, Failure> {
    let opened: Result<Vec<_>, _> = paths.iter().map(|path| open_all(path)).collect();
    Ok(opened?.into_iter().flatten().collect())
}

fn find(folder: &Path, depth: usize, found: &mut Vec<ShardFolder>) -> Result<(), Failure> {
    let names = entries(folder)?;
    let is_log =
        |name: &PathBuf| names::segment_number(name).is_some() || name.as_path() == Path::new("vote");
    if names.iter().any(is_log) {
        found.push(ShardFolder::open(folder, None)?);
        return Ok(());
    }
    for name in names {
        let path = folder.join(name);
        // A link may lead back up.
        if depth > 0 && path.is_dir() && !path.is_symlink() {
            find(&path, depth - 1, found)?;
        }
    }
    Ok(())
}
