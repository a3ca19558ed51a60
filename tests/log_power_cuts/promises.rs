//! What a log told as begun and as durable, and so what it may be after the power was cut, and what it must not.
//!
//! Knows nothing of files or cuts. Invariants: what a log may be is one of its pasts since the last sync, none of them
//! cut below its floor; a durable line leaves one past, with all of it as the floor; a vote is the last durable one or
//! one begun after it.

use std::path::Path;
use std::str::{FromStr, SplitWhitespace};
use std::sync::Arc;

use timberline::codec::Frame;
use timberline::disk::OsDisk;
use timberline::log::{Error, Log, Share};
use timberline::types::Vote;

use super::worker::{FOLDER, OPTIONS, genesis, identity};

/// Term, candidate (0 for none), committed index.
type Ballot = (u64, u64, u64);

/// A log as it was read back, every frame proved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    first: u64,
    /// The chain that the first frame carries.
    before: u32,
    crcs: Vec<u32>,
    vote: Ballot,
    /// An unsynced tail was cut.
    pub(crate) is_cut: bool,
}

impl Found {
    /// Opens the log and reads all of it, straight through and frame by frame by its indexes.
    pub(crate) fn read(root: &Path) -> Result<Self, Error> {
        let disk = Arc::new(OsDisk::new(root)?);
        let (log, recovery) = Log::open(disk, Path::new(FOLDER), &identity(), OPTIONS)?;
        let (first, last) = (log.first_index(), log.last_index());
        let before = log.state_at(first.before())?.chain;
        let mut frames = Vec::new();
        if first <= last {
            frames = log.frames(first, last.plus(1), u64::MAX, Share::Copy)?;
        }
        for frame in frames.iter().step_by(7) {
            assert_eq!(log.header(frame.header.index)?, frame.header);
            if frame.header.record_count > 0 {
                assert_eq!(log.seek_offset(frame.header.first_offset)?, frame.header.index);
            }
        }
        let crcs = frames.iter().map(Frame::header_crc).collect();
        let Vote { term, voted_for, committed } = recovery.vote;
        let vote = (term.0, voted_for.map_or(0, |replica| replica.0), committed.0);
        Ok(Self { first: first.0, before, crcs, vote, is_cut: recovery.cut.is_some() })
    }

    fn last(&self) -> u64 {
        self.first + self.crcs.len() as u64 - 1
    }
}

/// What a log was at a time.
#[derive(Clone)]
struct Past {
    /// The index before the first frame told here, and the chain there.
    begin: u64,
    before: u32,
    crcs: Vec<u32>,
    /// Frames up to here are durable.
    floor: u64,
    /// Between a trim's begin and its end the log begins anywhere in between.
    first_min: u64,
    first_max: u64,
}

impl Past {
    fn empty(begin: u64, before: u32) -> Self {
        let first = begin + 1;
        Self { begin, before, crcs: Vec::new(), floor: begin, first_min: first, first_max: first }
    }

    fn last(&self) -> u64 {
        self.begin + self.crcs.len() as u64
    }

    fn chain_at(&self, index: u64) -> u32 {
        if index == self.begin { self.before } else { self.crcs[(index - self.begin) as usize - 1] }
    }

    /// Why the log found is not this one, if it is not.
    fn differs(&self, found: &Found) -> Option<String> {
        let (first, last) = (found.first, found.last());
        let Self { floor, first_min, first_max, .. } = *self;
        if !(first_min..=first_max).contains(&first) {
            return Some(format!("begins at {first}, not within {first_min} to {first_max}"));
        }
        if !(floor..=self.last()).contains(&last) {
            return Some(format!("ends at {last}, not within {floor} to {}", self.last()));
        }
        if found.before != self.chain_at(first - 1) {
            return Some(format!("goes on from another frame before {first}"));
        }
        let wrong = (first..=last).zip(&found.crcs).find(|(index, crc)| **crc != self.chain_at(*index));
        wrong.map(|(index, _)| format!("holds another frame {index}, of {first} to {last}"))
    }
}

/// What one log has told.
pub(crate) struct Promises {
    /// Told to be there. Before, it may be absent or unfinished.
    is_created: bool,
    /// Since the last sync; the last one is the present. Never empty.
    pasts: Vec<Past>,
    /// The durable one, then those begun since.
    votes: Vec<Ballot>,
}

fn number<T: FromStr>(words: &mut SplitWhitespace<'_>) -> T {
    let word = words.next().expect("a line is whole");
    word.parse().unwrap_or_else(|_| panic!("a number, not {word:?}"))
}

impl Promises {
    /// Of a log that does not exist yet.
    pub(crate) fn none() -> Self {
        let pasts = vec![Past::empty(0, genesis().chain)];
        Self { is_created: false, pasts, votes: vec![(0, 0, 0)] }
    }

    fn present(&mut self) -> &mut Past {
        self.pasts.last_mut().expect("a log has a present")
    }

    pub(crate) fn hear(&mut self, line: &str) {
        let words = &mut line.split_whitespace();
        match words.next().expect("a line is not empty") {
            "frames" => self.frames_begun(number(words), words.map(|crc| crc.parse().expect("a CRC"))),
            "opened" => self.opened(
                (number(words), number(words), number(words)),
                (number(words), number(words), number(words)),
            ),
            "durable" => self.all_durable(number(words), number(words)),
            "vote" => self.votes.push((number(words), number(words), number(words))),
            "trim" => self.present().first_max = number(words),
            "first" => self.trimmed(number(words)),
            "reset" => self.pasts.push(Past::empty(number(words), number(words))),
            "begun" => drop(self.pasts.drain(..self.pasts.len() - 1)),
            _ => {}
        }
    }

    /// Frames in place of all from `first` on. A log of before may be cut to where they begin.
    fn frames_begun(&mut self, first: u64, crcs: impl Iterator<Item = u32>) {
        for past in &mut self.pasts {
            past.floor = past.floor.min(first - 1);
        }
        let mut next = self.present().clone();
        next.crcs.truncate((first - 1 - next.begin) as usize);
        next.crcs.extend(crcs);
        self.pasts.push(next);
    }

    fn all_durable(&mut self, last: u64, chain: u32) {
        self.is_created = true;
        let mut present = self.pasts.pop().expect("a log has a present");
        assert_eq!((present.last(), present.chain_at(last)), (last, chain), "told as it was begun");
        present.floor = last;
        self.pasts = vec![present];
        self.votes.drain(..self.votes.len() - 1);
    }

    /// A worker opened the log and synced what it found, the same as this after a cut, some past after a kill. The chain
    /// at the end stands for all frames.
    fn opened(&mut self, (first, last, chain): (u64, u64, u32), vote: Ballot) {
        let is_found = |past: &Past| {
            (past.first_min..=past.first_max).contains(&first)
                && (past.floor..=past.last()).contains(&last)
                && past.chain_at(last) == chain
        };
        let found = self.pasts.iter().rposition(is_found);
        let found = found.unwrap_or_else(|| panic!("opened at {first} to {last}, none of what it may be"));
        assert!(self.votes.contains(&vote), "opened with vote {vote:?}, none of {:?}", self.votes);
        let mut present = self.pasts.swap_remove(found);
        present.crcs.truncate((last - present.begin) as usize);
        present.floor = last;
        self.pasts = vec![present];
        self.votes = vec![vote];
        self.is_created = true;
        self.trimmed(first);
    }

    /// The log begins at `first`, and what lay before it is gone.
    fn trimmed(&mut self, first: u64) {
        let present = self.present();
        (present.first_min, present.first_max) = (first, first);
        let before = present.chain_at(first - 1);
        present.crcs.drain(..(first - 1 - present.begin) as usize);
        (present.begin, present.before) = (first - 1, before);
    }

    /// Judges what a cut left: why it breaks a promise, if it does. From here on it is all that is promised.
    pub(crate) fn judge(&mut self, found: &Result<Found, Error>) -> Result<(), String> {
        let found = match found {
            Ok(found) => found,
            Err(Error::Absent { .. } | Error::Unfinished { .. }) if !self.is_created => return Ok(()),
            Err(error) => return Err(format!("the log does not open, or cannot be read: {error}")),
        };
        let differences: Vec<_> = self.pasts.iter().map_while(|past| past.differs(found)).collect();
        if differences.len() == self.pasts.len() {
            return Err(format!("the log is none of what it may be: it {}", differences.join("; it ")));
        }
        if !self.votes.contains(&found.vote) {
            return Err(format!("the vote is {:?}, none of {:?}", found.vote, self.votes));
        }
        let begin = Past::empty(found.first - 1, found.before);
        self.pasts = vec![Past { crcs: found.crcs.clone(), floor: found.last(), ..begin }];
        (self.votes, self.is_created) = (vec![found.vote], true);
        Ok(())
    }

    /// How many frames that were begun are not in the log found: what a cut took.
    pub(crate) fn taken(&self, found: &Found) -> u64 {
        self.pasts.iter().map(Past::last).max().unwrap_or(0).saturating_sub(found.last())
    }
}
