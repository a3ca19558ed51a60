//! The order marks of one shard, of all its replicas together: which timestamps they say are in doubt, and why.
//!
//! Knows nothing of how a wrong clock is found (docs/TIME.md, "Marks"). Invariants: a mark counts once, however many replicas
//! hold it; one whose body cannot be proved or read is none, as for every reader.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use timberline::types::{Index, OrderMark, Timestamp, TimestampRanges};

use crate::folder::SegmentFile;
use crate::frames::mark;
use crate::moment::show;
use crate::scan::{Found, Joint};

/// What was found, by index and header CRC: replicas that part may hold two at one index.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    found: BTreeMap<(Index, u32), OrderMark>,
    ranges: TimestampRanges,
}

impl Marks {
    /// Takes the mark that a frame holds, if it does.
    pub(crate) fn note(&mut self, segment: &SegmentFile, found: &Found) {
        if matches!(found.joint, Joint::Stale(_)) {
            return;
        }
        if let Some(mark) = mark(segment, found) {
            self.found.insert((found.header.index, found.header_crc), mark);
            self.ranges.add(mark.from, mark.until);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.found.len() as u64
    }

    /// How many of the timestamps from `first` to `last` some mark covers.
    pub(crate) fn count_within(&self, first: Timestamp, last: Timestamp) -> u64 {
        self.ranges.count_within(first, last)
    }

    /// The first mark that covers one of them.
    pub(crate) fn on(&self, first: Timestamp, last: Timestamp) -> Option<MarkRow> {
        let mut found = self.found.iter();
        let ((index, _), mark) = found.find(|(_, mark)| mark.from <= last && mark.until >= first)?;
        Some(MarkRow::new(*index, mark))
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = MarkRow> {
        self.found.iter().map(|((index, _), mark)| MarkRow::new(*index, mark))
    }
}

/// A mark as scripts read it. The field names are a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MarkRow {
    /// The frame that holds it.
    index: u64,
    /// Whose clock was wrong; with the reason `no_majority`, the node that could not tell whose.
    node: u64,
    from_timestamp_ns: u64,
    until_timestamp_ns: u64,
    off_by_ns: u64,
    reason: &'static str,
    #[serde(skip)]
    why: String,
}

impl MarkRow {
    fn new(index: Index, mark: &OrderMark) -> Self {
        Self {
            index: index.0,
            node: mark.node.0,
            from_timestamp_ns: mark.from.0,
            until_timestamp_ns: mark.until.0,
            off_by_ns: mark.off_by_ns,
            reason: mark.reason.as_str(),
            why: mark.why(),
        }
    }
}

impl fmt::Display for MarkRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, from_timestamp_ns, until_timestamp_ns, why, .. } = self;
        let (from, until) = (show(Timestamp(*from_timestamp_ns)), show(Timestamp(*until_timestamp_ns)));
        write!(f, "{from} to {until}, marked by frame {index}: {why}")
    }
}
