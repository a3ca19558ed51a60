//! What goes into each file of the copy, and from where.

use std::path::PathBuf;

use bytes::Bytes;
use serde::Serialize;
use timberline::codec::ShardState;
use timberline::log::names;
use timberline::segment::{Extent, HEAD_BYTES_MIN, IndexBuilder, SegmentHead, SegmentIdentity, Tail};
use timberline::types::{Index, Term};

use super::head::Due;
use super::peers::{Peers, Piece, first_frame, whole_frames};
use crate::failure::Failure;
use crate::finding::Kind;
use crate::folder::{Part, SegmentFile, ShardFolder};
use crate::scan::{Found, content_end};
use crate::verify::{newest_vote, verify};

/// Where a piece of the copy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The damaged replica's own good bytes.
    Own,
    Peer,
    /// Made again from what else is known.
    Rebuilt,
    /// Bytes that nobody can prove and nobody needs: left out.
    Cut,
}

/// A line of the audit record: these bytes of the copy came from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    pub shard: u64,
    pub file: String,
    pub at_byte: u64,
    pub bytes: u64,
    pub what: &'static str,
    pub source: Source,
    pub first_index: Option<u64>,
    pub last_index: Option<u64>,
    pub from_file: String,
    pub from_byte: u64,
    pub detail: String,
}

/// A file of the copy: zeros, but for these pieces.
pub(super) struct NewFile {
    pub(super) name: PathBuf,
    pub(super) size_bytes: u64,
    pub(super) pieces: Vec<(u64, Bytes)>,
}

/// The whole copy of one shard's folder.
pub struct Plan {
    pub(super) files: Vec<NewFile>,
    /// Small files, written whole.
    pub(super) small: Vec<(PathBuf, Bytes)>,
    pub taken: Vec<Taken>,
}

impl Plan {
    /// Finds every piece, or says which one nobody has.
    pub fn new(damaged: &ShardFolder, peers: &[ShardFolder]) -> Result<Self, Failure> {
        let refused = |what: &str| Failure::Refused(format!("{}: {what}", damaged.path.display()));
        let identity = identity(damaged, peers).ok_or_else(|| {
            refused("neither its heads nor its vote and a peer's heads tell whose files these are; add the replica again")
        })?;
        let vote = damaged.vote.clone().unwrap_or_default();
        let slot = newest_vote(&vote).filter(|slot| slot.replica == identity.replica.0).ok_or_else(|| {
            refused("its vote is damaged, and no peer knows it: add the replica again under a new replica id")
        })?;
        let of_shard = |peer: &&ShardFolder| {
            peer.identity().is_some_and(|other| {
                (&other.cluster, other.topic, other.shard)
                    == (&identity.cluster, identity.topic, identity.shard)
            })
        };
        let verdict = verify(std::slice::from_ref(damaged), 1, &|_| ());
        let mut findings = verdict.findings.into_iter();
        let unsynced =
            findings.find(|finding| finding.kind == Kind::UnsyncedTail).map(|finding| finding.file);
        let mut planner = Planner {
            damaged,
            peers: Peers::new(peers.iter().filter(of_shard).collect()),
            identity,
            term_max: slot.vote.term,
            unsynced,
            state: None,
            previous: 0,
            plan: Self { files: Vec::new(), small: vec![("vote".into(), vote)], taken: Vec::new() },
        };
        for (place, segment) in damaged.segments.iter().enumerate() {
            planner.segment(place, segment)?;
        }
        Ok(planner.plan)
    }
}

/// Whose folder it is: by its own heads, or by its vote and a peer's heads.
fn identity(damaged: &ShardFolder, peers: &[ShardFolder]) -> Option<SegmentIdentity> {
    damaged.identity().cloned().or_else(|| {
        let slot = newest_vote(damaged.vote.as_deref()?)?;
        let mut known = peers.iter().filter_map(ShardFolder::identity);
        let peer = known.find(|identity| identity.shard.0 == slot.shard)?;
        Some(SegmentIdentity { replica: timberline::types::ReplicaId(slot.replica), ..peer.clone() })
    })
}

struct Planner<'a> {
    damaged: &'a ShardFolder,
    peers: Peers<'a>,
    identity: SegmentIdentity,
    /// No frame of a later term than this replica has seen may enter its log.
    term_max: Term,
    /// The file that ends in an unsynced tail.
    unsynced: Option<String>,
    /// The state behind the frames planned so far.
    state: Option<ShardState>,
    previous: u64,
    plan: Plan,
}

/// A segment while its pieces are found.
struct Growing<'a> {
    file: String,
    new: NewFile,
    extent: Extent,
    index: IndexBuilder,
    own: Vec<Found>,
    segment: &'a SegmentFile,
    at: u64,
}

impl<'a> Planner<'a> {
    fn segment(&mut self, place: usize, segment: &'a SegmentFile) -> Result<(), Failure> {
        match segment.part {
            Part::Retired | Part::Blank => {
                self.copy(segment, "whole file");
                return Ok(());
            }
            Part::Unfinished | Part::Sealed { .. } | Part::Active => {}
        }
        let Some((head, bytes)) = self.head(segment)? else { return Ok(()) };
        if let Some(state) = &self.state
            && Tail::from(state) != Tail::from(&head.state)
        {
            return Err(Self::refused(segment, "its head does not begin where the frames before it end"));
        }
        let file = segment.path.display().to_string();
        let name = names::segment("".as_ref(), segment.number);
        let size_bytes = head.file_bytes;
        let extent = Extent::empty(&head, bytes.len() as u64, SegmentHead::crc_of(&bytes), size_bytes);
        let mut growing = Growing {
            file,
            at: bytes.len() as u64,
            new: NewFile { name, size_bytes, pieces: vec![(0, bytes)] },
            extent,
            index: IndexBuilder::default(),
            own: whole_frames(segment),
            segment,
        };
        self.state = Some(head.state);
        self.frames(place, &mut growing)?;
        self.index(&growing);
        self.previous = segment.number;
        self.plan.files.push(growing.new);
        Ok(())
    }

    fn refused(segment: &SegmentFile, what: &str) -> Failure {
        Failure::Refused(format!(
            "{}: {what}; nothing was written: name more peers with --from, or add the replica again under a new \
             replica id",
            segment.path.display()
        ))
    }

    fn take(&mut self, taken: Taken) {
        if let Some(last) = self.plan.taken.last_mut()
            && (last.source, &last.from_file, last.what) == (taken.source, &taken.from_file, taken.what)
            && last.file == taken.file
            && last.at_byte + last.bytes == taken.at_byte
            && last.from_byte + last.bytes == taken.from_byte
        {
            last.bytes += taken.bytes;
            last.last_index = taken.last_index;
            return;
        }
        self.plan.taken.push(taken);
    }

    fn taken(&self, segment: &SegmentFile, what: &'static str, source: Source) -> Taken {
        let file = segment.path.display().to_string();
        Taken {
            shard: self.identity.shard.0,
            from_file: file.clone(),
            file,
            at_byte: 0,
            bytes: 0,
            what,
            source,
            first_index: None,
            last_index: None,
            from_byte: 0,
            detail: String::new(),
        }
    }

    /// Takes a file as it is.
    fn copy(&mut self, segment: &SegmentFile, what: &'static str) {
        let bytes = segment.bytes.len() as u64;
        let taken = Taken { bytes, ..self.taken(segment, what, Source::Own) };
        self.take(taken);
        let pieces = if segment.part == Part::Blank { Vec::new() } else { vec![(0, segment.bytes.clone())] };
        let name = names::segment("".as_ref(), segment.number);
        self.plan.files.push(NewFile { name, size_bytes: bytes, pieces });
    }

    /// The head, own or made again; none of a file that never came to be a segment.
    fn head(&mut self, segment: &SegmentFile) -> Result<Option<(SegmentHead, Bytes)>, Failure> {
        if let Ok((head, head_bytes, _)) = &segment.head {
            if head.identity != self.identity {
                return Err(Self::refused(segment, "it is a segment of another replica or shard"));
            }
            let taken = Taken { bytes: *head_bytes, ..self.taken(segment, "head", Source::Own) };
            self.take(taken);
            return Ok(Some((head.clone(), segment.bytes.slice(..*head_bytes as usize))));
        }
        let first = first_frame(segment).map(|index| Index(index.0.saturating_sub(1)));
        let begins_after = self.state.as_ref().map(|state| state.index).or(first).unwrap_or(Index(0));
        let due = Due {
            identity: &self.identity,
            previous: self.previous,
            state: self.state.as_ref(),
            damaged: &segment.bytes,
            begins_after,
        };
        let is_page = (segment.bytes.len() as u64).is_multiple_of(HEAD_BYTES_MIN);
        let rebuilt = Some(due).filter(|_| is_page).and_then(|due| due.rebuild(&self.peers));
        let is_proved = rebuilt.as_ref().is_some_and(|rebuilt| rebuilt.is_proved);
        if segment.part == Part::Unfinished && !is_proved {
            let bytes = segment.bytes.len() as u64;
            let detail = "a head that a crash left unfinished; the node would remove the file".to_owned();
            let taken = Taken { bytes, detail, ..self.taken(segment, "whole file", Source::Cut) };
            self.take(taken);
            return Ok(None);
        }
        let Some(rebuilt) = rebuilt else {
            return Err(Self::refused(
                segment,
                "its head is damaged, and no peer's head begins after the same frame",
            ));
        };
        let detail = if is_proved {
            "proved by what is left of the damaged head"
        } else {
            "consistent, but not proved by the damaged head's own checksum"
        };
        let taken = Taken {
            bytes: rebuilt.bytes.len() as u64,
            from_file: rebuilt.from,
            detail: detail.to_owned(),
            ..self.taken(segment, "head", Source::Rebuilt)
        };
        self.take(taken);
        Ok(Some((rebuilt.head, rebuilt.bytes)))
    }

    /// The last index the segment must hold, where the next head tells it; else it ends where its own content does.
    fn end(&self, place: usize) -> Option<Index> {
        let Part::Sealed { next } = self.damaged.segments[place].part else { return None };
        self.damaged.segments[next].head().map(|head| head.state.index)
    }

    fn frames(&mut self, place: usize, growing: &mut Growing<'a>) -> Result<(), Failure> {
        let content_end = content_end(&growing.segment.bytes) as u64;
        let end = self.end(place);
        loop {
            let state = self.state.as_ref().expect("a head came before its frames");
            let tail = Tail::from(state);
            if end.map_or(growing.at >= content_end, |end| tail.index >= end) {
                return Ok(());
            }
            let own = growing.own.partition_point(|found| found.header.index <= tail.index);
            let mut own =
                growing.own[own..].iter().take_while(|found| found.header.index == tail.index.plus(1));
            let own = own.find(|found| tail.check_next(&found.header).is_ok()).cloned();
            let piece = own.map(|found| Piece { segment: growing.segment, found });
            let piece = piece.or_else(|| self.peers.frame(&tail)).filter(|piece| self.may_enter(piece));
            match piece {
                Some(piece) => self.add(growing, &piece)?,
                None if end.is_none() && self.is_unsynced(growing.segment) => {
                    let detail = "an unsynced tail that no peer has whole; the node would cut it".to_owned();
                    let (at_byte, bytes) = (growing.at, content_end - growing.at);
                    let taken = self.taken(growing.segment, "frames", Source::Cut);
                    self.take(Taken { at_byte, from_byte: at_byte, bytes, detail, ..taken });
                    return Ok(());
                }
                None => {
                    let what = format!(
                        "no good copy of frame {} is left, here or with the peers",
                        tail.index.plus(1)
                    );
                    return Err(Self::refused(growing.segment, &what));
                }
            }
        }
    }

    fn may_enter(&self, piece: &Piece<'_>) -> bool {
        piece.found.header.term <= self.term_max
    }

    /// Whether all that is wrong with the segment is a tail that was never synced.
    fn is_unsynced(&self, segment: &SegmentFile) -> bool {
        self.unsynced.as_ref() == Some(&segment.path.display().to_string())
    }

    fn add(&mut self, growing: &mut Growing<'a>, piece: &Piece<'a>) -> Result<(), Failure> {
        let found = &piece.found;
        let bytes = piece.segment.bytes.slice(found.frame_range());
        let len = bytes.len() as u64;
        if growing.at + len > growing.new.size_bytes {
            let what = format!("frame {} does not fit into it: a segment is missing", found.header.index);
            return Err(Self::refused(growing.segment, &what));
        }
        let is_own = std::ptr::eq(piece.segment, growing.segment);
        let source = if is_own { Source::Own } else { Source::Peer };
        let index = Some(found.header.index.0);
        let padded = found.end_byte - found.at_byte;
        let taken = Taken {
            file: growing.file.clone(),
            at_byte: growing.at,
            from_byte: found.at_byte,
            bytes: padded,
            first_index: index,
            last_index: index,
            ..self.taken(piece.segment, "frames", source)
        };
        self.take(taken);
        growing.index.note(&found.header, found.header_crc, growing.at);
        growing.new.pieces.push((growing.at, bytes));
        growing.at += padded;
        let state = self.state.as_mut().expect("a head came before its frames");
        state.fold(&found.header, found.header_crc);
        Ok(())
    }

    /// The index of a segment that had one and is not the last.
    fn index(&mut self, growing: &Growing<'_>) {
        let number = growing.segment.number;
        let own = names::index(&self.damaged.path, number);
        let is_there = self.damaged.indexes.iter().any(|(_, path)| *path == own);
        let state = self.state.as_ref().expect("a head came before its frames");
        let is_last =
            self.damaged.segments.iter().all(|other| other.number <= number || other.part == Part::Blank);
        if !is_there || is_last {
            return;
        }
        let bytes = Bytes::from(growing.index.finish(&growing.extent.until(&Tail::from(state))));
        let taken = Taken {
            file: own.display().to_string(),
            bytes: bytes.len() as u64,
            ..self.taken(growing.segment, "index", Source::Rebuilt)
        };
        self.take(taken);
        self.plan.small.push((names::index("".as_ref(), number), bytes));
    }
}
