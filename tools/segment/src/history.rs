//! Whether the files of a shard's replicas tell one history, and whether it holds what receipts say.
//!
//! Knows nothing of heads but where each file's frames begin. Invariants checked, over each replica's frames: indexes
//! and offsets go on without a gap, the chain holds, timestamps rise strictly from record to record, terms never fall;
//! and between replicas: one index in one term is one frame, and a committed index is one frame whatever the term.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use timberline::codec::FrameHeader;
use timberline::segment::Tail;
use timberline::types::{Index, Offset, Term, Timestamp};

use crate::folder::{SegmentFile, ShardFolder};
use crate::frames::end_of;
use crate::marks::{MarkRow, Marks};
use crate::scan::{Depth, Event, Found, Scan};

/// An acknowledged batch, as its producer was told.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) source: String,
    pub(crate) first_offset: u64,
    pub(crate) first_timestamp_ns: u64,
    pub(crate) record_count: u32,
    pub(crate) uncertainty_ns: Option<u64>,
    pub(crate) term: u64,
    /// The stored frame's name, in receipts of builds that tell it.
    pub(crate) header_crc: Option<u32>,
}

impl Receipt {
    /// The timestamp of its first record.
    fn first(&self) -> Timestamp {
        Timestamp(self.first_timestamp_ns)
    }

    fn last(&self) -> Timestamp {
        Timestamp(self.first_timestamp_ns.saturating_add(u64::from(self.record_count).saturating_sub(1)))
    }
}

/// Receipts by shard.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    by_shard: BTreeMap<u64, Vec<Receipt>>,
    /// Batches that failed: nothing is promised of them.
    pub(crate) failed: u64,
}

impl Receipts {
    pub(crate) fn add(&mut self, shard: u64, receipt: Receipt) {
        self.by_shard.entry(shard).or_default().push(receipt);
    }

    /// Those of one shard, by offset.
    pub(crate) fn take(&mut self, shard: u64) -> Vec<Receipt> {
        let mut receipts = self.by_shard.remove(&shard).unwrap_or_default();
        receipts.sort_by_key(|receipt| receipt.first_offset);
        receipts
    }

    /// A shard that nobody took.
    pub(crate) fn first_shard(&self) -> Option<u64> {
        self.by_shard.keys().next().copied()
    }
}

/// What breaks the order, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    pub(crate) file: String,
    pub(crate) at_byte: u64,
    pub(crate) index: Option<u64>,
    pub(crate) what: String,
    /// Of a receipt's violation: the mark of its timestamps. Within a shard a mark excuses nothing.
    pub(crate) marked_by: Option<Box<MarkRow>>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if let Some(index) = self.index {
            write!(f, "frame {index} at byte {}: ", self.at_byte)?;
        }
        f.write_str(&self.what)?;
        let Some(mark) = &self.marked_by else { return Ok(()) };
        write!(
            f,
            "; order against other shards is not guaranteed here ({mark}), but that neither loses nor alters a batch"
        )
    }
}

/// What was walked over, all replicas together.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardSums {
    pub(crate) frames: u64,
    pub(crate) records: u64,
    pub(crate) receipts_matched: u64,
    pub(crate) receipts_trimmed: u64,
    /// In the ranges of order marks.
    pub(crate) marked_records: u64,
    /// Receipts that match, of batches with such records.
    pub(crate) receipts_marked: u64,
    pub(crate) terms: Option<(Term, Term)>,
    pub(crate) first_timestamp: Option<Timestamp>,
    pub(crate) last_timestamp: Option<Timestamp>,
    pub(crate) uncertainty_ns_max: u64,
}

/// Walks all replicas side by side; stops at the first violation.
pub(crate) fn check_shard(
    replicas: &[&ShardFolder],
    receipts: Vec<Receipt>,
) -> (ShardSums, Marks, Option<Violation>) {
    let mut history = History {
        walks: replicas.iter().map(|folder| Walk::new(folder)).collect(),
        committed: Index(0),
        marks: Marks::default(),
        receipts: receipts.into_iter().peekable(),
        sums: ShardSums::default(),
        last_good_offset: Offset(0),
    };
    let violation = history.run().err();
    (history.sums, history.marks, violation)
}

struct History<'a> {
    walks: Vec<Walk<'a>>,
    /// The highest index that any frame or vote calls committed.
    committed: Index,
    marks: Marks,
    receipts: std::iter::Peekable<std::vec::IntoIter<Receipt>>,
    sums: ShardSums,
    last_good_offset: Offset,
}

/// A frame of one replica, and where it stands.
struct Step<'a> {
    segment: &'a SegmentFile,
    found: Found,
}

impl Step<'_> {
    fn violation(&self, what: impl Into<String>) -> Violation {
        let (at_byte, index) = (self.found.at_byte, Some(self.found.header.index.0));
        let file = self.segment.path.display().to_string();
        Violation { file, at_byte, index, what: what.into(), marked_by: None }
    }
}

impl History<'_> {
    fn run(&mut self) -> Result<(), Violation> {
        self.look_ahead();
        loop {
            let mut steps: Vec<Step<'_>> = Vec::new();
            let Some(index) = self.next_index()? else { break };
            for walk in &mut self.walks {
                steps.extend(walk.take(index));
            }
            self.compare(&steps)?;
            if let Some(first) = steps.first() {
                self.count(&first.found.header);
            }
            self.match_receipts(&steps)?;
        }
        self.unmatched()
    }

    /// What the votes know and what frames further on say of those before them: how far they are committed, which are marked.
    fn look_ahead(&mut self) {
        for walk in &self.walks {
            let vote = walk.folder.vote.as_deref().and_then(crate::verify::newest_vote);
            self.committed = self.committed.max(vote.map_or(Index(0), |slot| slot.vote.committed));
            for segment in walk.folder.log_segments() {
                for event in segment.scan(Depth::Headers) {
                    if let Event::Frame(found) = event {
                        self.committed = self.committed.max(found.header.committed);
                        self.marks.note(segment, &found);
                    }
                }
            }
        }
    }

    fn next_index(&mut self) -> Result<Option<Index>, Violation> {
        let mut next = None;
        for walk in &mut self.walks {
            if let Some(index) = walk.peek()? {
                next = Some(next.map_or(index, |least: Index| least.min(index)));
            }
        }
        Ok(next)
    }

    /// The frames of one index on all replicas that have it.
    fn compare(&self, steps: &[Step<'_>]) -> Result<(), Violation> {
        let Some((first, others)) = steps.split_first() else { return Ok(()) };
        for other in others {
            let (a, b) = (&first.found, &other.found);
            if a.header_crc == b.header_crc && a.header == b.header {
                continue;
            }
            let at = format!("{} at byte {}", first.segment.path.display(), a.at_byte);
            if a.header.term == b.header.term {
                let what = format!("in term {} it is another frame than in {at}", a.header.term);
                return Err(other.violation(what));
            }
            if a.header.index <= self.committed {
                let what = format!(
                    "it is of term {}, but of term {} in {at}, and frame {} is committed",
                    b.header.term, a.header.term, self.committed
                );
                return Err(other.violation(what));
            }
        }
        Ok(())
    }

    fn count(&mut self, header: &FrameHeader) {
        let sums = &mut self.sums;
        sums.frames += 1;
        sums.records += u64::from(header.record_count);
        sums.terms = Some(sums.terms.map_or((header.term, header.term), |(first, _)| (first, header.term)));
        if header.record_count > 0 {
            sums.first_timestamp.get_or_insert(header.first_timestamp);
            sums.last_timestamp = Some(header.last_timestamp());
            sums.marked_records += self.marks.count_within(header.first_timestamp, header.last_timestamp());
        }
        sums.uncertainty_ns_max = sums.uncertainty_ns_max.max(header.uncertainty_ns);
        self.last_good_offset = header.next_offset();
    }

    /// Ticks off the receipts of these frames' batch. Of several frames of one index one suffices: the others were never
    /// committed.
    fn match_receipts(&mut self, steps: &[Step<'_>]) -> Result<(), Violation> {
        let Some(first) = steps.first() else { return Ok(()) };
        let (from, next) = (first.found.header.first_offset.0, first.found.header.next_offset().0);
        while let Some(receipt) = self.receipts.next_if(|receipt| receipt.first_offset < next) {
            // Frames go on without a gap, so only what lies before the first of them is passed over.
            if receipt.first_offset < from {
                self.sums.receipts_trimmed += 1;
                continue;
            }
            if let Some(wrong) = mismatch(&receipt, &first.found)
                && steps.iter().all(|step| mismatch(&receipt, &step.found).is_some())
            {
                let header = &first.found.header;
                let what = format!("the receipt of {}: {wrong}", receipt.source);
                let marked_by = self.marks.on(header.first_timestamp, header.last_timestamp()).map(Box::new);
                return Err(Violation { marked_by, ..first.violation(what) });
            }
            self.sums.receipts_matched += 1;
            let marked = self.marks.count_within(receipt.first(), receipt.last());
            self.sums.receipts_marked += u64::from(marked > 0);
        }
        Ok(())
    }

    fn unmatched(&mut self) -> Result<(), Violation> {
        let Some(receipt) = self.receipts.next() else { return Ok(()) };
        let file = self.walks.first().map(|walk| walk.folder.path.display().to_string()).unwrap_or_default();
        let what = format!(
            "the receipt of {} acknowledges offset {}, but no replica here has more than {} records: give the files \
             of every replica, or the batch is lost",
            receipt.source, receipt.first_offset, self.last_good_offset
        );
        let marked_by = self.marks.on(receipt.first(), receipt.last()).map(Box::new);
        Err(Violation { file, at_byte: 0, index: None, what, marked_by })
    }
}

/// The first field in which a receipt is not the batch that is stored.
fn mismatch(receipt: &Receipt, found: &Found) -> Option<String> {
    let header = &found.header;
    let mut fields = vec![
        ("first_offset", receipt.first_offset, header.first_offset.0),
        ("record_count", receipt.record_count.into(), header.record_count.into()),
        ("first_timestamp_ns", receipt.first_timestamp_ns, header.first_timestamp.0),
        ("term", receipt.term, header.term.0),
    ];
    fields.extend(receipt.uncertainty_ns.map(|ns| ("uncertainty_ns", ns, header.uncertainty_ns)));
    fields.extend(receipt.header_crc.map(|crc| ("header_crc", crc.into(), found.header_crc.into())));
    let (field, said, stored) = fields.into_iter().find(|(_, said, stored)| said != stored)?;
    Some(format!("its {field} is {said}, the stored batch's is {stored}"))
}

/// One replica's frames, each proved to follow the one before, across segments.
struct Walk<'a> {
    folder: &'a ShardFolder,
    segments: std::vec::IntoIter<&'a SegmentFile>,
    open: Option<(&'a SegmentFile, Scan<'a>, Option<Index>)>,
    tail: Option<Tail>,
    next: Option<Step<'a>>,
}

impl<'a> Walk<'a> {
    fn new(folder: &'a ShardFolder) -> Self {
        let segments: Vec<_> = folder.log_segments().collect();
        Self { folder, segments: segments.into_iter(), open: None, tail: None, next: None }
    }

    fn take(&mut self, index: Index) -> Option<Step<'a>> {
        self.next.take_if(|step| step.found.header.index == index)
    }

    fn peek(&mut self) -> Result<Option<Index>, Violation> {
        if self.next.is_none() {
            self.next = self.advance()?;
        }
        Ok(self.next.as_ref().map(|step| step.found.header.index))
    }

    fn advance(&mut self) -> Result<Option<Step<'a>>, Violation> {
        loop {
            let Some((segment, scan, end)) = &mut self.open else {
                let Some(segment) = self.segments.next() else { return Ok(None) };
                let scan = segment.scan(Depth::Bodies);
                self.tail = self.tail.or(scan.tail().copied());
                self.open = Some((segment, scan, end_of(self.folder, segment)));
                continue;
            };
            let (segment, end) = (*segment, *end);
            let is_active = end.is_none();
            match scan.next() {
                Some(Event::Frame(found)) if end.is_some_and(|end| found.header.index > end) => {
                    self.open = None;
                }
                Some(Event::Frame(found)) => {
                    let step = Step { segment, found };
                    self.check(&step)?;
                    return Ok(Some(step));
                }
                Some(Event::Lost { at_byte, reason, is_found, .. }) if !is_active || is_found => {
                    let what = format!("no frame stands where one is due: {reason}");
                    let file = segment.path.display().to_string();
                    return Err(Violation { file, at_byte, index: self.due(), what, marked_by: None });
                }
                // A tail that was never synced is no part of the history.
                Some(Event::Lost { .. } | Event::End { .. }) => {}
                None => self.open = None,
            }
        }
    }

    fn due(&self) -> Option<u64> {
        self.tail.as_ref().map(|tail| tail.index.0 + 1)
    }

    fn check(&mut self, step: &Step<'_>) -> Result<(), Violation> {
        let found = &step.found;
        if let Err(reason) = &found.body {
            return Err(step.violation(reason.to_string()));
        }
        if let Some(tail) = &mut self.tail {
            tail.check_next(&found.header).map_err(|fault| step.violation(fault.to_string()))?;
            tail.advance(&found.header, found.header_crc);
        } else {
            self.tail = Some(crate::scan::after(&found.header, found.header_crc));
        }
        Ok(())
    }
}
