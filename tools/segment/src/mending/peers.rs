//! Frames and heads of a shard's other replicas, by index.

use timberline::segment::{SegmentHead, Tail};
use timberline::types::Index;

use crate::folder::{SegmentFile, ShardFolder};
use crate::scan::{Depth, Event, Found};

/// A frame, and the file it stands in.
pub(super) struct Piece<'a> {
    pub(super) segment: &'a SegmentFile,
    pub(super) found: Found,
}

/// The peers' files of one shard.
pub(super) struct Peers<'a> {
    folders: Vec<&'a ShardFolder>,
    /// Of each peer, the frames of the segment looked into last, by rising index.
    open: Vec<Option<(u64, Vec<Found>)>>,
}

impl<'a> Peers<'a> {
    pub(super) fn new(folders: Vec<&'a ShardFolder>) -> Self {
        let open = folders.iter().map(|_| None).collect();
        Self { folders, open }
    }

    /// A proved frame of that index which follows `tail`.
    pub(super) fn frame(&mut self, tail: &Tail) -> Option<Piece<'a>> {
        let index = tail.index.plus(1);
        self.folders.iter().zip(&mut self.open).find_map(|(folder, open)| {
            let segment = holding(folder, index)?;
            if open.as_ref().is_none_or(|(number, _)| *number != segment.number) {
                *open = Some((segment.number, whole_frames(segment)));
            }
            let (_, frames) = open.as_ref()?;
            let first = frames.partition_point(|found| found.header.index < index);
            let of_index = frames[first..].iter().take_while(|found| found.header.index == index);
            let found = of_index.into_iter().find(|found| tail.check_next(&found.header).is_ok())?.clone();
            Some(Piece { segment, found })
        })
    }

    /// The heads of segments that begin after the frame `index`, of all peers.
    pub(super) fn heads_after(
        &self,
        index: Index,
    ) -> impl Iterator<Item = (&'a SegmentFile, &'a SegmentHead)> {
        let segments = self.folders.iter().flat_map(|folder| folder.log_segments());
        let heads = segments.filter_map(|segment| Some((segment, segment.head()?)));
        heads.filter(move |(_, head)| head.state.index == index)
    }
}

/// The segment in which a replica would have the frame `index`: the last one that begins at or before it, by its head or,
/// where that is damaged, by its first frame.
fn holding(folder: &ShardFolder, index: Index) -> Option<&SegmentFile> {
    let first = |segment: &SegmentFile| match segment.head() {
        Some(head) => Some(head.first_index()),
        None => first_frame(segment),
    };
    folder.log_segments().filter(|segment| first(segment).is_some_and(|first| first <= index)).last()
}

/// The index of the first frame found in a file.
pub(super) fn first_frame(segment: &SegmentFile) -> Option<Index> {
    segment.scan(Depth::Headers).find_map(|event| match event {
        Event::Frame(found) => Some(found.header.index),
        _ => None,
    })
}

/// The frames of a file that are whole, wherever they stand, by rising index.
pub(super) fn whole_frames(segment: &SegmentFile) -> Vec<Found> {
    let frames = segment.scan(Depth::Bodies).filter_map(|event| match event {
        Event::Frame(found) if found.body.is_ok() => Some(found),
        _ => None,
    });
    let mut frames: Vec<Found> = frames.collect();
    frames.sort_by_key(|found| found.header.index);
    frames
}
