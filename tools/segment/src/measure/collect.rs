//! Counts what headers say, over all replicas and segments given.
//!
//! Knows nothing of output. Memory is bounded by the number of buckets, not by that of frames.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use timberline::codec::{FrameHeader, FrameKind, HEADER_BYTES};
use timberline::types::Timestamp;

use crate::folder::{Part, SegmentFile, ShardFolder};
use crate::frames::end_of;
use crate::naming;
use crate::scan::{Depth, Event, Joint};

/// Slices of time that a picture shows.
const BUCKETS: u64 = 120;

/// A slice of time.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) records: u64,
    pub(crate) body_bytes: u64,
    pub(crate) uncertainty_ns: Histogram<u64>,
    pub(crate) gap_ns: Histogram<u64>,
}

/// Everything that was counted.
pub(crate) struct Measured {
    /// Bytes by what they are; sums up to the files' sizes.
    pub(crate) bytes: BTreeMap<&'static str, u64>,
    pub(crate) frames: BTreeMap<&'static str, u64>,
    /// Data bodies by compression: frames and stored bytes.
    pub(crate) compression: BTreeMap<&'static str, (u64, u64)>,
    pub(crate) records: u64,
    pub(crate) shards: usize,
    pub(crate) batch_records: Histogram<u64>,
    pub(crate) batch_bytes: Histogram<u64>,
    pub(crate) uncertainty_ns: Histogram<u64>,
    /// Between the last record of a batch and the first of the next in its shard.
    pub(crate) gap_ns: Histogram<u64>,
    /// The first and the last timestamp of data.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
    pub(crate) bucket_ns: u64,
    pub(crate) buckets: Vec<Bucket>,
}

/// No timestamp, and so no gap, is larger.
const VALUE_MAX: u64 = u64::MAX / 4;

/// A histogram that holds any value to `digits` digits.
fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_max(VALUE_MAX, digits).expect("one to five digits are allowed")
}

pub(crate) fn measure(folders: &[ShardFolder], progress: &dyn Fn(u64)) -> Measured {
    let span = span(folders);
    let bucket_ns = span.map_or(1, |(first, last)| (last.ns_since(first) / BUCKETS + 1).max(1));
    let bucket = Bucket { records: 0, body_bytes: 0, uncertainty_ns: histogram(1), gap_ns: histogram(1) };
    let count = span.map_or(0, |(first, last)| last.ns_since(first) / bucket_ns + 1);
    let mut measured = Measured {
        bytes: BTreeMap::new(),
        frames: BTreeMap::new(),
        compression: BTreeMap::new(),
        records: 0,
        shards: folders.len(),
        batch_records: histogram(2),
        batch_bytes: histogram(2),
        uncertainty_ns: histogram(2),
        gap_ns: histogram(2),
        span,
        bucket_ns,
        buckets: vec![bucket; count as usize],
    };
    for folder in folders {
        measured.folder(folder, progress);
    }
    measured
}

/// The first and the last timestamp of data in all files.
fn span(folders: &[ShardFolder]) -> Option<(Timestamp, Timestamp)> {
    let mut span = None;
    for folder in folders {
        for segment in folder.log_segments() {
            each_data(folder, segment, &mut |header| {
                let (first, last) = (header.first_timestamp, header.last_timestamp());
                let widest = |(from, to): (Timestamp, Timestamp)| (from.min(first), to.max(last));
                span = Some(span.map_or((first, last), widest));
            });
        }
    }
    span
}

/// The data frames that are part of the log.
fn each_data(folder: &ShardFolder, segment: &SegmentFile, seen: &mut dyn FnMut(&FrameHeader)) {
    let end = end_of(folder, segment);
    for event in segment.scan(Depth::Headers) {
        if let Event::Frame(found) = event
            && !matches!(found.joint, Joint::Stale(_))
            && end.is_none_or(|end| found.header.index <= end)
            && found.header.kind == FrameKind::Data
        {
            seen(&found.header);
        }
    }
}

impl Measured {
    fn add(&mut self, what: &'static str, bytes: u64) {
        *self.bytes.entry(what).or_default() += bytes;
    }

    fn folder(&mut self, folder: &ShardFolder, progress: &dyn Fn(u64)) {
        let mut last = None;
        for (_, segment) in folder.asked() {
            let size_bytes = segment.bytes.len() as u64;
            match segment.part {
                Part::Retired => self.add("retired segments", size_bytes),
                Part::Blank | Part::Unfinished => self.add("prepared segments", size_bytes),
                Part::Sealed { .. } | Part::Active => {
                    self.segment(segment);
                    each_data(folder, segment, &mut |header| self.data(header, &mut last));
                }
            }
            progress(size_bytes);
        }
        if folder.only.is_none() {
            self.add("votes", folder.vote.as_ref().map_or(0, |vote| vote.len() as u64));
            let sizes = folder.indexes.iter().filter_map(|(_, path)| path.metadata().ok());
            self.add("indexes", sizes.map(|metadata| metadata.len()).sum());
        }
    }

    fn segment(&mut self, segment: &SegmentFile) {
        let size_bytes = segment.bytes.len() as u64;
        let head_bytes = segment.head.as_ref().map_or(0, |(_, head_bytes, _)| *head_bytes);
        self.add("segment heads", head_bytes);
        let mut known = head_bytes;
        for event in segment.scan(Depth::Headers) {
            match event {
                Event::Frame(found) => {
                    let body = u64::from(found.header.body_len).min(size_bytes - found.at_byte);
                    let end = found.end_byte.min(size_bytes);
                    let header = HEADER_BYTES as u64;
                    self.add("frame headers", header);
                    let is_data = found.header.kind == FrameKind::Data;
                    self.add(if is_data { "data" } else { "bodies of other kinds" }, body);
                    self.add("padding", (end - found.at_byte).saturating_sub(header + body));
                    *self.frames.entry(naming::kind(found.header.kind)).or_default() += 1;
                    known = known.max(end);
                }
                Event::Lost { at_byte, until_byte, .. } => {
                    self.add("damaged", until_byte - at_byte);
                    known = known.max(until_byte);
                }
                Event::End { .. } => {}
            }
        }
        self.add("room", size_bytes.saturating_sub(known));
    }

    fn data(&mut self, header: &FrameHeader, last: &mut Option<Timestamp>) {
        let (records, body) = (u64::from(header.record_count), u64::from(header.body_len));
        self.records += records;
        let (frames, stored) = self.compression.entry(header.compression.name()).or_default();
        *frames += 1;
        *stored += body;
        self.batch_records.saturating_record(records);
        self.batch_bytes.saturating_record(body);
        self.uncertainty_ns.saturating_record(header.uncertainty_ns);
        let gap = last.map(|last| header.first_timestamp.ns_since(last));
        *last = Some(header.last_timestamp());
        let first = self.span.map_or(Timestamp::ZERO, |(first, _)| first);
        let place = header.first_timestamp.ns_since(first) / self.bucket_ns;
        let Some(bucket) = self.buckets.get_mut(place as usize) else { return };
        bucket.records += records;
        bucket.body_bytes += body;
        bucket.uncertainty_ns.saturating_record(header.uncertainty_ns);
        if let Some(gap) = gap {
            bucket.gap_ns.saturating_record(gap);
            self.gap_ns.saturating_record(gap);
        }
    }
}
