//! The process whose power is cut: it works on a log without end, and tells what it begins and what is durable.
//!
//! Knows nothing of when the cut comes: the first error ends it. Invariants: what will be written is told before it is,
//! what is durable only after the call that made it so has returned, with the power still on; committed is only what is durable.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use timberline::codec::{Compression, Frame, FrameHeader, FrameKind, ShardState, checksum};
use timberline::disk::Disk;
use timberline::log::{Error, Log, LogIdentity, LogOptions, Share};
use timberline::types::{
    BatchId, Index, Membership, Offset, ProducerId, ReplicaId, ShardId, Term, Timestamp, TopicId, Vote,
};

use super::telling::{Label, TellingDisk, tell};

pub(crate) const FOLDER: &str = "shards/7";
/// So small that each kind of operation is due again within a few hundred steps.
pub(crate) const OPTIONS: LogOptions =
    LogOptions { first_segment_bytes: 16 << 10, segment_bytes_max: 64 << 10, open_segments_max: 2 };
/// Sealed segments that a trim leaves.
const KEEP_BYTES: u64 = 150 << 10;

pub(crate) fn identity() -> LogIdentity {
    let cluster = "power".parse().expect("a cluster's name");
    LogIdentity { cluster, topic: TopicId(2), shard: ShardId(7), replica: ReplicaId(3) }
}

fn membership() -> Membership {
    Membership { voters: vec![ReplicaId(1), ReplicaId(2), ReplicaId(3)], ..Membership::default() }
}

pub(crate) fn genesis() -> ShardState {
    ShardState::genesis(&identity().cluster, &ShardId(7), membership())
}

/// Works on the log below `root` until the disk fails.
pub(crate) fn work(root: &Path, seed: u64) {
    let label = Arc::new(Label::default());
    label.begin("opening");
    let disk = TellingDisk::new(root, Arc::clone(&label)).map(Arc::new);
    let ended = disk.map_err(Error::from).and_then(|disk| {
        let mut worker = Worker::open(disk, label, seed)?;
        loop {
            worker.step()?;
        }
    });
    let Err::<std::convert::Infallible, _>(error) = ended;
    tell(&format!("failed {error}"));
}

struct Worker {
    disk: Arc<TellingDisk>,
    label: Arc<Label>,
    log: Log,
    /// After the last frame.
    state: ShardState,
    term: Term,
    committed: Index,
    sequence: u64,
    rng: StdRng,
}

impl Worker {
    /// All that is found was synced by the opening, and so may be committed.
    fn open(disk: Arc<TellingDisk>, label: Arc<Label>, seed: u64) -> Result<Self, Error> {
        let (folder, shared) = (Path::new(FOLDER), Arc::clone(&disk) as Arc<dyn Disk>);
        let log = match Log::open(Arc::clone(&shared), folder, &identity(), OPTIONS) {
            Err(Error::Absent { .. } | Error::Unfinished { .. }) => {
                label.begin("creation");
                Log::create(shared, folder, &identity(), &genesis(), OPTIONS)?
            }
            opened => opened?.0,
        };
        let state = log.state_at(log.last_index())?;
        let (term, committed) = (state.term.max(log.vote().term).max(Term(1)), log.last_index());
        let rng = StdRng::seed_from_u64(seed);
        let mut worker = Self { disk, label, log, state, term, committed, sequence: 0, rng };
        worker.tell_opened();
        worker.remove_retired()?;
        Ok(worker)
    }

    fn step(&mut self) -> Result<(), Error> {
        match self.rng.random_range(0..100) {
            0..50 => self.append(),
            50..60 => self.truncate(),
            60..72 => self.vote(),
            72..84 => self.prepare(),
            84..95 => self.trim(),
            95..98 => self.read(),
            _ => self.reset(),
        }
    }

    fn append(&mut self) -> Result<(), Error> {
        self.label.begin("append");
        let frames = self.some_frames();
        self.write(&frames)?;
        self.sync_perhaps()
    }

    /// Frames of a new term in place of some, synced or not, that are not committed.
    fn truncate(&mut self) -> Result<(), Error> {
        let last = self.log.last_index().0;
        let kept = last.saturating_sub(self.rng.random_range(1..60)).max(self.committed.0);
        if kept == last {
            return self.append();
        }
        self.label.begin("truncation");
        self.state = self.log.state_at(Index(kept))?;
        self.term = Term(self.term.0 + 1);
        let frames = self.some_frames();
        self.write(&frames)?;
        self.sync_perhaps()
    }

    fn vote(&mut self) -> Result<(), Error> {
        self.label.begin("vote");
        self.term = Term(self.term.0 + 1);
        let voted_for = self.rng.random_bool(0.5).then_some(ReplicaId(1 + self.term.0 % 3));
        let vote = Vote { term: self.term, voted_for, committed: self.committed };
        tell(&format!("vote {} {} {}", vote.term, voted_for.map_or(0, |id| id.0), vote.committed));
        self.log.save_vote(vote)?;
        self.sync_perhaps()
    }

    fn prepare(&mut self) -> Result<(), Error> {
        let Some(plan) = self.log.wants_segment() else { return Ok(()) };
        self.label.begin("preparation");
        let file = self.disk.create(&plan.path, plan.bytes)?;
        self.log.install_segment(file)
    }

    /// Commits all, tells in a frame what goes, and takes whole segments away.
    fn trim(&mut self) -> Result<(), Error> {
        self.label.begin("trim");
        self.sync()?;
        self.committed = self.log.last_index();
        self.log.note_applied(self.committed, &membership());
        let start = self.log.trimmable(self.committed, Timestamp::MAX, Some(KEEP_BYTES));
        let Some(start) = start else { return Ok(()) };
        let frame = self.frame(FrameKind::Trim, 0, start);
        self.write(&[frame])?;
        self.sync()?;
        self.committed = self.log.last_index();
        tell(&format!("trim {start}"));
        self.log.trim(start, self.committed)?;
        self.remove_retired()?;
        self.promise(&format!("first {}", self.log.first_index()));
        Ok(())
    }

    /// Walks the sealed segments too, and so makes their indexes.
    fn read(&mut self) -> Result<(), Error> {
        let (first, last) = (self.log.first_index(), self.log.last_index());
        if first <= last {
            self.label.begin("reading");
            self.log.frames(first, last.plus(1), u64::MAX, Share::Copy)?;
            self.log.header(Index(self.rng.random_range(first.0..=last.0)))?;
        }
        Ok(())
    }

    /// Begins anew at the state of a replica far ahead.
    fn reset(&mut self) -> Result<(), Error> {
        self.label.begin("reset");
        let index = self.state.index.plus(self.rng.random_range(2..1000));
        let ahead = ShardState {
            index,
            term: self.term,
            next_offset: Offset(self.state.next_offset.0 + 2000),
            last_timestamp: self.state.last_timestamp.plus_ns(20_000),
            chain: self.rng.random(),
            applied: index,
            start: index.plus(1),
            ..self.state.clone()
        };
        tell(&format!("reset {index} {}", ahead.chain));
        self.log.reset(&ahead)?;
        self.promise("begun");
        (self.state, self.committed) = (ahead, index);
        self.remove_retired()
    }

    fn remove_retired(&mut self) -> Result<(), Error> {
        self.label.begin("removal");
        while let Some(path) = self.log.wants_removal() {
            let removed = self.disk.remove(&path);
            self.log.removed(removed.is_ok());
            removed?;
        }
        Ok(())
    }

    fn some_frames(&mut self) -> Vec<Frame> {
        let (count_max, body_max) = if self.rng.random_bool(0.1) { (3, 20_000) } else { (12, 900) };
        let mut frames = Vec::new();
        for _ in 0..self.rng.random_range(1..=count_max) {
            let body_len = self.rng.random_range(0..body_max);
            frames.push(self.frame(FrameKind::Data, body_len, Index(0)));
        }
        frames
    }

    fn frame(&mut self, kind: FrameKind, body_len: usize, start: Index) -> Frame {
        let mut body = vec![0; body_len];
        self.rng.fill(&mut body[..]);
        let body = Bytes::from(body);
        self.sequence += 1;
        let is_data = kind == FrameKind::Data;
        let batch =
            BatchId { producer: ProducerId(1 + self.sequence % 3), epoch: 0, sequence: self.sequence };
        let header = FrameHeader {
            kind,
            compression: Compression::None,
            body_crc: checksum(&[&body]),
            body_len: body_len as u32,
            record_count: if is_data { 2 } else { 0 },
            term: self.term,
            index: self.state.index.plus(1),
            first_offset: self.state.next_offset,
            first_timestamp: self.state.last_timestamp.plus_ns(10),
            uncertainty_ns: 1000,
            committed: self.committed,
            batch: if is_data { batch } else { BatchId::default() },
            chain: self.state.chain,
            start,
        };
        let frame = Frame::new(header, body);
        self.state.fold(&header, frame.header_crc());
        frame
    }

    fn write(&mut self, frames: &[Frame]) -> Result<(), Error> {
        let crcs: Vec<_> = frames.iter().map(|frame| frame.header_crc().to_string()).collect();
        tell(&format!("frames {} {}", frames[0].header.index, crcs.join(" ")));
        self.log.append(frames, self.committed)
    }

    fn sync_perhaps(&mut self) -> Result<(), Error> {
        if self.rng.random_bool(0.35) {
            self.sync()?;
        }
        if self.rng.random_bool(0.1) {
            self.sync()?;
            self.committed = self.log.last_index();
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        let synced = self.disk.sync(&self.log.take_dirty()?);
        synced.into_iter().collect::<Result<(), _>>()?;
        self.log.note_synced();
        self.tell_durable();
        Ok(())
    }

    /// What is found is durable: after a kill it may be less than was told as begun.
    fn tell_opened(&self) {
        let Vote { term, voted_for, committed } = self.log.vote();
        let (first, last, chain) = (self.log.first_index(), self.log.last_index(), self.state.chain);
        let voted_for = voted_for.map_or(0, |id| id.0);
        self.promise(&format!("opened {first} {last} {chain} {term} {voted_for} {committed}"));
    }

    /// All frames and votes told so far are durable.
    fn tell_durable(&self) {
        self.promise(&format!("durable {} {}", self.log.last_index(), self.state.chain));
    }

    /// A sync that is under way while ext4 is shut down may answer well and have written nothing: seen in a segment with
    /// unwritten extents. A machine would be off by then and tell nobody; so what is durable is told only by who sees,
    /// after the sync, that the power is still on.
    fn promise(&self, line: &str) {
        if self.disk.is_powered() {
            tell(line);
        } else {
            tell(&format!("late {line}"));
        }
    }
}
