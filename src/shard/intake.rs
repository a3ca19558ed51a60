//! Entries that come from a peer: each is proved before raft sees it, and turned into its frame after.
//!
//! Knows nothing of roles. Invariant: what becomes a frame of the log has a header and a body that agree with
//! their checksums and with the entry that carried them, and follows the frame before it.

use bytes::Bytes;

use super::error::{Error, StepRefusal};
use super::guard::EntryGuard;
use crate::clock::Reading;
use crate::codec::{self, Compression, Frame, FrameHeader, FrameKind, ShardState};
use crate::consensus::{LogEntry, Manifest, Message};
use crate::types::{BatchId, Index, Timestamp};

/// Proves every entry of a message: headers and bodies against their checksums, frames against entries.
pub(super) fn prove(message: &Message) -> Result<(), StepRefusal> {
    let mut expected = message.index;
    for entry in &message.entries {
        expected = expected.plus(1);
        agree(entry.index, "index", expected.0, entry.index.0)?;
        if entry.context.is_empty() {
            agree(entry.index, "data length", 0, entry.data.len() as u64)?;
            agree(entry.index, "membership", 0, entry.membership.into())?;
            continue;
        }
        let frame = Frame::decode(entry.context.clone(), entry.data.clone())
            .map_err(|reason| StepRefusal::Unproven { index: entry.index, reason })?;
        prove_header(entry, &frame.header)?;
    }
    Ok(())
}

/// Proves that a manifest holds the state of a shard at the index it claims.
pub(super) fn prove_manifest(message: &Message) -> Result<(), StepRefusal> {
    let Some(manifest) = &message.manifest else { return Ok(()) };
    let index = manifest.index;
    let state = state_of(manifest).map_err(|reason| StepRefusal::Manifest { index, reason })?;
    agree(index, "state's index", index.0, state.index.0)?;
    agree(index, "state's term", manifest.term.0, state.term.0)?;
    agree(index, "first index kept", state.start.0.min(index.0 + 1), state.start.0)
}

/// The state with which a log begins that was reset to a manifest.
pub(super) fn state_of(manifest: &Manifest) -> Result<ShardState, codec::Error> {
    let state = ShardState::decode(&manifest.shard_state)?;
    // The membership is the sender's of now: that of any later entry up to `applied` is part of it.
    let applied = manifest.membership_index.max(manifest.index);
    Ok(ShardState { applied, membership: manifest.membership.clone(), ..state })
}

fn prove_header(entry: &LogEntry, header: &FrameHeader) -> Result<(), StepRefusal> {
    let is_membership = header.kind == FrameKind::Membership;
    agree(entry.index, "frame index", entry.index.0, header.index.0)?;
    agree(entry.index, "frame term", entry.term.0, header.term.0)?;
    agree(entry.index, "membership", is_membership.into(), entry.membership.into())?;
    // Raft's own entries travel without a header, so one that claims to be such is forged.
    agree(entry.index, "leader start", 0, (header.kind == FrameKind::LeaderStart).into())?;
    if header.kind == FrameKind::Trim {
        agree(entry.index, "first index kept", header.start.0.min(header.index.0), header.start.0)?;
        agree(entry.index, "record count", 0, header.record_count.into())?;
    }
    let count = u64::from(header.record_count);
    let room = u64::MAX - header.first_offset.0.max(header.first_timestamp.0);
    agree(entry.index, "record count", count.min(room), count)
}

fn agree(index: Index, field: &'static str, expected: u64, found: u64) -> Result<(), StepRefusal> {
    if expected == found { Ok(()) } else { Err(StepRefusal::Disagrees { index, field, expected, found }) }
}

/// Whether a message carries an uncommitted entry too far ahead of this replica's clock. What lies at or below
/// `committed`, or what the message itself says is committed, is never judged.
pub(super) fn is_poisoned(message: &Message, committed: Index, guard: EntryGuard, now: &Reading) -> bool {
    let committed = committed.max(message.commit);
    let uncommitted = message.entries.iter().filter(|entry| entry.index > committed);
    let mut stamps = uncommitted.filter_map(|entry| FrameHeader::decode(&entry.context).ok());
    stamps.any(|header| !guard.admits(header.last_timestamp(), now))
}

/// The frame of an entry that follows `tail`. An entry that raft itself made becomes a leader-start frame, the
/// same on every replica, because it follows from the log alone.
pub(super) fn frame_of(entry: LogEntry, tail: &ShardState) -> Result<Frame, Error> {
    if entry.context.is_empty() {
        return Ok(Frame::new(leader_start(&entry, tail), Bytes::new()));
    }
    let index = entry.index;
    // Checksums were proved at the door, or made here.
    let header = FrameHeader::decode(&entry.context).map_err(|reason| Error::Frame { index, reason })?;
    follows(&header, &entry, tail)?;
    Ok(Frame { header, header_bytes: entry.context, body: entry.data })
}

fn leader_start(entry: &LogEntry, tail: &ShardState) -> FrameHeader {
    FrameHeader {
        kind: FrameKind::LeaderStart,
        compression: Compression::None,
        body_crc: 0,
        body_len: 0,
        record_count: 0,
        term: entry.term,
        index: entry.index,
        first_offset: tail.next_offset,
        first_timestamp: tail.last_timestamp,
        uncertainty_ns: 0,
        committed: Index(0),
        batch: BatchId::default(),
        chain: tail.chain,
        start: Index(0),
    }
}

fn follows(header: &FrameHeader, entry: &LogEntry, tail: &ShardState) -> Result<(), Error> {
    let index = entry.index;
    let broken = |field, expected, found| Err(Error::Broken { index, field, expected, found });
    if header.index != entry.index {
        return broken("frame index", entry.index.0, header.index.0);
    }
    if header.term != entry.term {
        return broken("frame term", entry.term.0, header.term.0);
    }
    if header.index != tail.index.plus(1) {
        return broken("index", tail.index.0 + 1, header.index.0);
    }
    if header.chain != tail.chain {
        return broken("chain", tail.chain.into(), header.chain.into());
    }
    if header.first_offset != tail.next_offset {
        return broken("first offset", tail.next_offset.0, header.first_offset.0);
    }
    if header.first_timestamp <= tail.last_timestamp || header.last_timestamp() == Timestamp::MAX {
        return broken("first timestamp", tail.last_timestamp.next().0, header.first_timestamp.0);
    }
    Ok(())
}
