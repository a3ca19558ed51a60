//! Logs of known content, copies of them to be damaged, and what became of such a copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use timberline::codec::{Compression, Frame, ShardState, encode_records};
use timberline::disk::{Disk, MemoryDisk};
use timberline::log::{Error, Log, LogOptions, Recovery, Share};
use timberline::segment::{self, SegmentHead};
use timberline::types::{Index, ReplicaId, Term, Vote};

use super::values::{Planned, genesis, identity, plan};

pub(crate) const HEAD: u64 = 4096;
pub(crate) const FOLDER: &str = "shards/7";
pub(crate) const VOTE: &str = "shards/7/vote";
pub(crate) const OPTIONS: LogOptions =
    LogOptions { first_segment_bytes: 8 << 10, segment_bytes_max: 256 << 10, open_segments_max: 8 };

pub(crate) fn segment(number: u64) -> PathBuf {
    Path::new(FOLDER).join(format!("{number:020}.segment"))
}

pub(crate) fn index(number: u64) -> PathBuf {
    segment(number).with_extension("index")
}

/// A log, closed and synced, and what was written to it.
pub(crate) struct World {
    pub(crate) disk: MemoryDisk,
    pub(crate) frames: Vec<Frame>,
    /// How many of them stand in the first segment.
    pub(crate) in_first: usize,
}

/// Every kind of frame and every compression, one after the other.
fn kinds() -> Vec<Frame> {
    let mut state = genesis();
    let mut next = |planned: &Planned| {
        let body = match planned.compression {
            Compression::None => planned.body(),
            compression => encode_records(&planned.records).unwrap().compressed(compression).body,
        };
        let frame = planned.frame(&state, body);
        assert_eq!(frame.header.compression, planned.compression);
        state.fold(&frame.header, frame.header_crc());
        frame
    };
    plan().iter().map(&mut next).collect()
}

pub(crate) fn state_after(frames: &[Frame]) -> ShardState {
    let mut state = genesis();
    for frame in frames {
        state.fold(&frame.header, frame.header_crc());
    }
    state
}

/// One more data frame, of a body that is hardly a record.
pub(crate) fn filler(state: &ShardState, body_len: usize) -> Frame {
    let planned = &plan()[8];
    let body = bytes::Bytes::from(vec![state.index.0 as u8; body_len]);
    let mut header = planned.frame(state, body.clone()).header;
    header.first_timestamp = state.last_timestamp.plus_ns(100);
    header.term = state.term;
    Frame::new(header, body)
}

pub(crate) fn sync(disk: &MemoryDisk, log: &mut Log) {
    disk.sync(&log.take_dirty().unwrap()).into_iter().for_each(Result::unwrap);
}

fn write(first_segment_bytes: u64, batches: &[&[Frame]]) -> World {
    let disk = Arc::new(MemoryDisk::new());
    let (shared, options) =
        (Arc::clone(&disk) as Arc<dyn Disk>, LogOptions { first_segment_bytes, ..OPTIONS });
    let mut log = Log::create(shared, FOLDER.as_ref(), &identity(), &genesis(), options).unwrap();
    for frames in batches {
        log.append(frames, Index(0)).unwrap();
    }
    log.save_vote(Vote { term: Term(2), voted_for: Some(ReplicaId(3)), committed: Index(9) }).unwrap();
    sync(&disk, &mut log);
    drop(log);
    let second = disk.open(&segment(2)).ok().map(|file| SegmentHead::read(&*file).unwrap().0);
    let in_first = second.map_or(batches.concat().len(), |head| head.state.index.0 as usize);
    World { disk: disk.fork(), in_first, frames: batches.concat() }
}

impl World {
    /// All kinds in the active segment, the only one.
    pub(crate) fn active() -> Self {
        let world = write(8 << 10, &[&kinds()]);
        assert!(world.disk.read(&segment(2)).unwrap().is_none());
        world
    }

    /// All kinds in a sealed segment; the active one behind it is as short as the last frames of `kinds`.
    pub(crate) fn sealed() -> Self {
        let kinds = kinds();
        let next = filler(&state_after(&kinds), 2500);
        let world = write(8 << 10, &[&kinds, &[next]]);
        assert!(world.disk.read(&index(1)).unwrap().is_some(), "the first segment is sealed");
        assert_eq!(world.read(&segment(1)).len(), 8192);
        world
    }

    /// Three segments of 71, one and one frames; the first one's index has several marks.
    pub(crate) fn marked() -> Self {
        let mut frames = kinds();
        for n in 0..60_usize {
            frames.push(filler(&state_after(&frames), 200 + 317 * (n % 9)));
        }
        for _ in 0..2 {
            frames.push(filler(&state_after(&frames), 150_000));
        }
        let world = write(128 << 10, &[&frames]);
        assert!(world.read(&index(1)).len() > 64 + 2 * 40, "several marks");
        assert!(world.disk.read(&segment(3)).unwrap().is_some());
        world
    }

    pub(crate) fn read(&self, path: &Path) -> Vec<u8> {
        self.disk.read(path).unwrap().expect("the file is there")
    }

    /// A copy with one file changed.
    pub(crate) fn with(&self, path: &Path, bytes: &[u8]) -> Arc<MemoryDisk> {
        let disk = self.disk.fork();
        disk.replace(path, bytes).unwrap();
        Arc::new(disk)
    }

    /// A copy with bits of one byte inverted.
    pub(crate) fn flipped(&self, path: &Path, at: usize, mask: u8) -> Arc<MemoryDisk> {
        let disk = self.disk.fork();
        disk.flip(path, at as u64, mask).unwrap();
        Arc::new(disk)
    }

    /// Where each frame of the first segment stands.
    pub(crate) fn places<'a>(&'a self) -> Vec<(usize, &'a Frame)> {
        let mut at = HEAD as usize;
        let mut place = |frame: &'a Frame| {
            let found = (at, frame);
            at += frame.header.frame_len().next_multiple_of(8);
            found
        };
        self.frames[..self.in_first].iter().map(&mut place).collect()
    }

    /// Opens a damaged copy, reads all of it in every way, and proves that nothing wrong is served.
    pub(crate) fn judge(&self, disk: &Arc<MemoryDisk>) -> Fate {
        let before = contents(disk);
        match open(disk) {
            Err(error) => {
                assert!(before == contents(disk), "a refused log is left as it is: {error}");
                assert!(error.to_string().contains(FOLDER), "the file is named: {error}");
                Fate::Refused(error)
            }
            Ok((log, recovery)) => Fate::Opened(self.served(&log, recovery)),
        }
    }

    fn served(&self, log: &Log, recovery: Recovery) -> Served {
        let last = log.last_index();
        assert!(log.first_index() == Index(1) && last.0 as usize <= self.frames.len());
        let mut damaged = Vec::new();
        for frame in &self.frames[..last.0 as usize] {
            let index = frame.header.index;
            match log.frames(index, index.plus(1), u64::MAX, Share::Copy) {
                Ok(found) => assert!(found == [frame.clone()], "frame {index} is not what was written"),
                Err(error) => damaged.push((index, named(error))),
            }
            if let Ok(header) = log.header(index) {
                assert_eq!(header, frame.header);
            }
            if let Ok(term) = log.term(index) {
                assert_eq!(term, frame.header.term);
            }
            self.seeks(log, frame, last);
        }
        if last > Index(0) {
            let mapped = log.frames(Index(1), last.plus(1), u64::MAX, Share::Map);
            assert_eq!(mapped.is_ok(), damaged.is_empty());
            assert!(mapped.is_ok_and(|found| found == self.frames[..last.0 as usize]) || !damaged.is_empty());
        }
        if let Ok(state) = log.state_at(last) {
            let expected = state_after(&self.frames[..last.0 as usize]);
            assert_eq!((state.chain, state.next_offset), (expected.chain, expected.next_offset));
        }
        Served { last, damaged, recovery }
    }

    /// Seeks to a frame find what a walk over all frames finds, or fail.
    fn seeks(&self, log: &Log, frame: &Frame, last: Index) {
        let kept = &self.frames[..last.0 as usize];
        let past = last.plus(1);
        let first = |reached: &dyn Fn(&Frame) -> bool| {
            kept.iter().find(|frame| reached(frame)).map_or(past, |frame| frame.header.index)
        };
        let (offset, time) = (frame.header.first_offset, frame.header.last_timestamp());
        if let Ok(found) = log.seek_offset(offset) {
            assert_eq!(found, first(&|frame| frame.header.next_offset() > offset));
        }
        if let Ok(found) = log.seek(time) {
            let expected = first(&|frame| frame.header.is_shown() && frame.header.last_timestamp() >= time);
            assert_eq!(found, expected);
        }
    }
}

/// What became of a damaged log.
pub(crate) enum Fate {
    Refused(Error),
    Opened(Served),
}

/// Of a log that opened: every frame up to `last` but the `damaged` ones is what was written.
pub(crate) struct Served {
    pub(crate) last: Index,
    pub(crate) damaged: Vec<(Index, u64)>,
    pub(crate) recovery: Recovery,
}

impl Fate {
    pub(crate) fn refused(self, what: &str) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Opened(served) => panic!("{what}: opened, up to {}", served.last),
        }
    }

    pub(crate) fn opened(self, what: &str) -> Served {
        match self {
            Self::Refused(error) => panic!("{what}: {error}"),
            Self::Opened(served) => served,
        }
    }
}

/// A frame that is not served is named by its file and byte.
fn named(error: Error) -> u64 {
    match error {
        Error::Segment(segment::Error::Damaged { at_byte, .. }) => at_byte,
        other => panic!("not named: {other}"),
    }
}

pub(crate) fn open(disk: &Arc<MemoryDisk>) -> Result<(Log, Recovery), Error> {
    Log::open(Arc::clone(disk) as Arc<dyn Disk>, FOLDER.as_ref(), &identity(), OPTIONS)
}

pub(crate) fn contents(disk: &MemoryDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.clone(), disk.read(&path).unwrap().unwrap());
    disk.sizes().into_iter().map(|(path, _)| read(path)).collect()
}
