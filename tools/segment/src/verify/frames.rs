//! The frames of one segment, one after the other, against all that is known of where they begin and end.
//!
//! Knows nothing of heads and files beside it. Invariant: what `docs/SEGMENT_FORMAT.md` calls an unsynced tail is one
//! finding; everything else that is not a proved frame or zeros is damage.

use std::collections::BTreeMap;

use timberline::codec::{FrameKind, ShardState, validate_records};
use timberline::segment::{FrameFault, IndexBuilder, Tail};
use timberline::types::{Index, Offset, Timestamp};

use crate::finding::{Finding, Kind};
use crate::folder::SegmentFile;
use crate::scan::{Depth, Event, Found, Joint};

/// Progress is told in steps of so many bytes.
const PROGRESS_BYTES: u64 = 4 << 20;

/// What was walked over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub bytes: u64,
    pub frames: u64,
    pub records: u64,
    pub order_marks: u64,
}

/// What the walk found.
pub(super) struct Walked {
    pub(super) findings: Vec<Finding>,
    pub(super) sums: Sums,
    /// The end, as far as it was found.
    pub(super) tail: Option<Tail>,
    /// The state at the end, if every frame from the head on was there.
    pub(super) state: Option<ShardState>,
    pub(super) index: IndexBuilder,
    /// The highest that a trim frame keeps from.
    pub(super) start: Index,
}

/// The place from which on nothing is proved, if no later frame calls it committed.
struct Break {
    at_byte: u64,
    index: Index,
    is_committed: bool,
    last_seen: Index,
}

struct Walk<'a> {
    segment: &'a SegmentFile,
    file: String,
    walked: Walked,
    /// Bytes in which the thread was lost; the frame behind them tells what they held.
    lost: Option<Finding>,
    first_break: Option<Break>,
    last_good: Option<Timestamp>,
}

/// Walks a segment's frames up to `until`, which is where the next segment's head begins, or to the end of the active one.
pub(super) fn walk(segment: &SegmentFile, until: Option<&Tail>, progress: &dyn Fn(u64)) -> Walked {
    let mut scan = segment.scan(Depth::Bodies);
    let state = segment.head().map(|head| head.state.clone());
    let start = state.as_ref().map_or(Index(0), |state| state.start);
    let last_good = state.as_ref().map(|state| state.last_timestamp).filter(|at| *at > Timestamp::ZERO);
    let walked = Walked {
        findings: Vec::new(),
        sums: Sums::default(),
        tail: scan.tail().copied(),
        state,
        index: IndexBuilder::default(),
        start,
    };
    let file = segment.path.display().to_string();
    let mut walk = Walk { segment, file, walked, lost: None, first_break: None, last_good };
    let mut told = 0;
    loop {
        let before = scan.tail().copied();
        let Some(event) = scan.next() else { break };
        if let (Some(until), Some(before)) = (until, before)
            && before.index >= until.index
            && walk.lost.is_none()
        {
            walk.behind_end(&event, scan.content_end());
            break;
        }
        match event {
            Event::Frame(found) => {
                if found.end_byte - told >= PROGRESS_BYTES {
                    progress(found.end_byte - told);
                    told = found.end_byte;
                }
                walk.frame(&found, before.as_ref());
            }
            Event::Lost { at_byte, reason, until_byte, is_found } => {
                walk.lost(at_byte, &FrameFault::from(reason), until_byte, is_found, before.as_ref());
            }
            Event::End { .. } => {}
        }
        walk.walked.tail = scan.tail().copied();
    }
    walk.walked.tail = scan.tail().copied().or(walk.walked.tail);
    let size_bytes = segment.bytes.len() as u64;
    progress(size_bytes - told.min(size_bytes));
    walk.walked.sums.bytes = size_bytes;
    walk.finish(until, scan.content_end())
}

impl Walk<'_> {
    fn finding(&self, kind: Kind, at_byte: u64, detail: impl Into<String>) -> Finding {
        Finding::new(kind, &self.file, at_byte, detail).after(self.last_good)
    }

    /// Adds a finding; damage that goes on where the last one of its kind ended is one with it.
    fn add(&mut self, finding: Finding) {
        if let Some(last) = self.walked.findings.last_mut()
            && (last.kind, last.at_byte + last.bytes) == (finding.kind, finding.at_byte)
            && matches!(finding.kind, Kind::BitRot | Kind::StaleFrame)
        {
            last.bytes += finding.bytes;
            last.last_index = finding.last_index.max(last.last_index);
            if let (Some(count), Some(more)) = (&mut last.record_count, finding.record_count) {
                *count += more;
            }
            return;
        }
        self.walked.findings.push(finding);
    }

    fn note_break(&mut self, at_byte: u64, index: Index) {
        let unbroken = Break { at_byte, index, is_committed: false, last_seen: index };
        self.first_break.get_or_insert(unbroken);
    }

    fn note_witness(&mut self, found: &Found) {
        if let Some(first) = &mut self.first_break {
            let header = &found.header;
            first.is_committed |= header.index > first.index && header.committed >= first.index;
            first.last_seen = first.last_seen.max(header.index);
        }
    }

    fn lost(
        &mut self,
        at_byte: u64,
        reason: &FrameFault,
        until_byte: u64,
        is_found: bool,
        before: Option<&Tail>,
    ) {
        let expected = before.map_or(Index(0), |tail| tail.index.plus(1));
        self.note_break(at_byte, expected);
        let found = if is_found { "the next frame stands at byte" } else { "no frame follows up to byte" };
        let detail = format!("{reason}; {found} {until_byte}");
        let mut finding = self.finding(Kind::BitRot, at_byte, detail).until(until_byte);
        if let Some(tail) = before {
            finding = finding.of_frames(expected, expected).of_records(tail.next_offset, 0);
        }
        self.settle_lost(None);
        self.lost = Some(finding);
        self.walked.state = None;
    }

    /// What lay in the lost bytes, once it is known what stands behind them: an index and an offset. Whether there were any.
    fn settle_lost(&mut self, next: Option<(Index, Offset)>) -> bool {
        let Some(mut lost) = self.lost.take() else { return false };
        if let (Some((index, offset)), Some(first), Some(first_offset)) =
            (next, lost.first_index, lost.first_offset)
        {
            lost.last_index = Some(index.0.saturating_sub(1).max(first));
            lost.record_count = Some(offset.0.saturating_sub(first_offset));
        }
        self.add(lost);
        true
    }

    fn frame(&mut self, found: &Found, before: Option<&Tail>) {
        let header = &found.header;
        if !found.is_good() {
            let due = before.map_or(header.index, |tail| tail.index.plus(1));
            self.note_break(found.at_byte, if found.joint == Joint::Next { header.index } else { due });
        }
        self.note_witness(found);
        match &found.joint {
            Joint::Next => {
                self.settle_lost(Some((header.index, header.first_offset)));
                self.walked.index.note(header, found.header_crc, found.at_byte);
                if let Some(state) =
                    self.walked.state.as_mut().filter(|state| state.index.plus(1) == header.index)
                {
                    state.fold(header, found.header_crc);
                }
            }
            Joint::Ahead(fault) => self.ahead(found, fault, before),
            Joint::Stale(fault) => {
                let detail = format!("an older frame, or one of another place: {fault}");
                let finding = self.finding(Kind::StaleFrame, found.at_byte, detail).until(found.end_byte);
                self.add(finding.of_frames(header.index, header.index));
                return;
            }
        }
        self.walked.start = self.walked.start.max(header.start);
        self.body(found);
    }

    fn ahead(&mut self, found: &Found, fault: &FrameFault, before: Option<&Tail>) {
        self.walked.state = None;
        let header = &found.header;
        let Some(tail) = before else { return };
        let due = tail.index.plus(1);
        let is_explained = self.lost.is_some() && header.index > due;
        self.settle_lost(Some((header.index, header.first_offset)));
        if is_explained {
            return;
        }
        let FrameFault::NotNext { field, .. } = fault else { return };
        let (kind, what) = match *field {
            "index" => (Kind::MissingFrames, "frames are missing before it"),
            "chain" => (Kind::BrokenChain, "it belongs to another history than the frame before it"),
            _ => (Kind::BrokenOrder, "it contradicts the frame before it"),
        };
        let finding = self.finding(kind, found.at_byte, format!("{what}: {fault}")).until(found.end_byte);
        self.add(if kind == Kind::MissingFrames {
            let records = header.first_offset.0 - tail.next_offset.0;
            finding.of_frames(due, Index(header.index.0 - 1)).of_records(tail.next_offset, records)
        } else {
            finding.of_frames(header.index, header.index)
        });
    }

    fn body(&mut self, found: &Found) {
        let header = &found.header;
        let body_at = found.body_range().start as u64;
        let wrong = match &found.body {
            Err(reason) => Some((Kind::BitRot, reason.clone())),
            Ok(()) if header.record_count > 0 => {
                let body = self.segment.bytes.slice(found.body_range());
                let proved = validate_records(&body, header.compression, header.record_count);
                proved.err().map(|reason| (Kind::BadRecords, reason))
            }
            Ok(()) => None,
        };
        if let Some((kind, reason)) = wrong {
            let finding = self.finding(kind, body_at, reason.to_string()).until(found.end_byte);
            let count = header.record_count.into();
            self.add(finding.of_frames(header.index, header.index).of_records(header.first_offset, count));
            return;
        }
        if let Some(at_byte) = found.dirty_padding {
            let detail = format!("bytes behind the body of frame {} are not zero", header.index);
            let finding = self.finding(Kind::DirtyPadding, at_byte, detail).until(found.end_byte);
            self.add(finding);
        }
        if found.joint == Joint::Next {
            self.last_good = Some(header.last_timestamp());
        }
        self.walked.sums.frames += 1;
        self.walked.sums.records += u64::from(header.record_count);
        self.walked.sums.order_marks += u64::from(header.kind == FrameKind::OrderMark);
    }

    /// Something stands where the next segment has taken over.
    fn behind_end(&mut self, event: &Event, content_end: u64) {
        let at_byte = match event {
            Event::Frame(found) => found.at_byte,
            Event::Lost { at_byte, .. } => *at_byte,
            Event::End { .. } => return,
        };
        let detail = "bytes behind the segment's last frame are not zero";
        let finding = self.finding(Kind::BytesBehindEnd, at_byte, detail).until(content_end);
        self.add(finding);
    }

    fn finish(mut self, until: Option<&Tail>, content_end: u64) -> Walked {
        let explains = self.settle_lost(until.map(|until| (until.index.plus(1), until.next_offset)));
        if let Some(until) = until {
            self.end(until, content_end, explains);
        } else if let Some(first) = self.first_break.take()
            && !first.is_committed
            && self.segment.head.is_ok()
        {
            self.unsynced_tail(&first, content_end);
        }
        self.walked
    }

    /// Whether the segment ends where the next one begins.
    fn end(&mut self, until: &Tail, content_end: u64, is_explained: bool) {
        let Some(tail) = self.walked.tail else { return };
        let at_byte = content_end;
        if tail == *until || is_explained && tail.index <= until.index {
            return;
        }
        let finding = if tail.index < until.index {
            let detail = format!(
                "the segment ends after frame {}, the next one begins after frame {}",
                tail.index, until.index
            );
            let records = until.next_offset.0.saturating_sub(tail.next_offset.0);
            self.finding(Kind::EndsEarly, at_byte, detail)
                .of_frames(tail.index.plus(1), until.index)
                .of_records(tail.next_offset, records)
        } else {
            let detail = format!(
                "frame {} ends the segment, but the next one begins after another state: {} expected, {} found",
                tail.index,
                describe(until),
                describe(&tail)
            );
            self.finding(Kind::EndMismatch, at_byte, detail).of_frames(tail.index, tail.index)
        };
        self.add(finding);
    }

    /// All damage from the break on is one tail that was never proved durable.
    fn unsynced_tail(&mut self, first: &Break, content_end: u64) {
        let is_behind = |finding: &Finding| finding.is_damage() && finding.at_byte >= first.at_byte;
        let mut by_kind: BTreeMap<Kind, usize> = BTreeMap::new();
        let mut reason = None;
        self.walked.findings.retain(|finding| {
            if is_behind(finding) && finding.kind != Kind::BadRecords {
                *by_kind.entry(finding.kind).or_default() += 1;
                reason.get_or_insert_with(|| finding.clone());
                return false;
            }
            true
        });
        let Some(reason) = reason else { return };
        let kinds: Vec<_> = by_kind.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
        let detail = format!(
            "the last frames are not whole and no later frame calls them committed ({}): {}",
            kinds.join(", "),
            reason.detail
        );
        let finding = Finding { kind: Kind::UnsyncedTail, ..reason };
        let whole = Finding::new(Kind::UnsyncedTail, &self.file, first.at_byte, detail).until(content_end);
        self.walked.findings.push(Finding {
            last_good_timestamp_ns: finding.last_good_timestamp_ns,
            last_good_timestamp: finding.last_good_timestamp,
            first_offset: finding.first_offset,
            record_count: finding.record_count,
            ..whole.of_frames(first.index, first.last_seen)
        });
    }
}

fn describe(tail: &Tail) -> String {
    format!(
        "term {}, next offset {}, last timestamp {}, chain {:#010x}",
        tail.term, tail.next_offset, tail.last_timestamp, tail.chain
    )
}
