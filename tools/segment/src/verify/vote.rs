//! The vote file: two votes, of which the newer valid one counts, and perhaps a synced mark.

use std::path::Path;

use timberline::log::{SyncedMark, VOTE_FILE_BYTES, VOTE_SLOT_BYTES, VOTES_BYTES, VoteSlot, names};
use timberline::segment::SegmentIdentity;
use timberline::types::Index;

use crate::finding::{Finding, Kind};

/// The slot that counts, of a file in which one does.
pub fn newest_vote(bytes: &[u8]) -> Option<VoteSlot> {
    let (votes, _) = split(bytes)?;
    let slots = || votes.chunks(VOTE_SLOT_BYTES as usize).filter_map(VoteSlot::decode);
    let is_whole = slots().all(|slot| slot.rest_is_zero);
    slots().max_by_key(|slot| slot.sequence).filter(|_| is_whole)
}

/// The slots of votes, and that of the synced mark, which may be missing; `None` of a file of another size.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_whole = [VOTES_BYTES, VOTE_FILE_BYTES].contains(&(bytes.len() as u64));
    is_whole.then(|| bytes.split_at(VOTES_BYTES as usize))
}

/// Checks the vote in `folder`, of the replica with that identity, whose log ends at `last`.
pub(super) fn check(
    folder: &Path,
    vote: Option<&[u8]>,
    identity: Option<&SegmentIdentity>,
    last: Option<Index>,
) -> Vec<Finding> {
    let file = names::vote(folder).display().to_string();
    let finding = |kind, at_byte, detail: String| Finding::new(kind, &file, at_byte, detail);
    let Some(bytes) = vote else {
        return vec![finding(Kind::VoteMissing, 0, "a log without a vote".to_owned())];
    };
    let Some((votes, mark)) = split(bytes) else {
        let detail = format!("the vote file has {} bytes, {VOTE_FILE_BYTES} were due", bytes.len());
        return vec![finding(Kind::VoteDamaged, bytes.len() as u64, detail)];
    };
    let slots: Vec<_> = votes.chunks(VOTE_SLOT_BYTES as usize).map(VoteSlot::decode).collect();
    let newest = slots.iter().flatten().max_by_key(|slot| slot.sequence);
    let Some(newest) = newest else {
        let detail = "neither slot of the vote can be proved".to_owned();
        return vec![finding(Kind::VoteDamaged, 0, detail).until(VOTES_BYTES)];
    };
    let mut findings = Vec::new();
    for (place, slot) in slots.iter().enumerate() {
        let at_byte = place as u64 * VOTE_SLOT_BYTES;
        let end = at_byte + VOTE_SLOT_BYTES;
        let is_blank = bytes[at_byte as usize..end as usize].iter().all(|byte| *byte == 0);
        match slot {
            Some(slot) if !slot.rest_is_zero => {
                let detail = "a byte of a proved slot that no field takes is not zero".to_owned();
                findings.push(finding(Kind::VoteDamaged, at_byte, detail).until(end));
            }
            // The first vote ever leaves the other slot as it was made.
            None if !is_blank || newest.sequence > 1 => {
                let detail = format!("slot {place} of the vote cannot be proved");
                findings.push(finding(Kind::VoteSlotDamaged, at_byte, detail).until(end));
            }
            _ => {}
        }
    }
    if mark.iter().any(|byte| *byte != 0) && SyncedMark::decode(mark).is_none() {
        let detail = "the synced mark cannot be proved".to_owned();
        findings.push(finding(Kind::SyncedMarkDamaged, VOTES_BYTES, detail).until(VOTE_FILE_BYTES));
    }
    if let Some(identity) = identity
        && (newest.shard, newest.replica) != (identity.shard.0, identity.replica.0)
    {
        let detail = format!(
            "it is the vote of replica {} of shard {}, the segments are of replica {} of shard {}",
            newest.replica, newest.shard, identity.replica, identity.shard
        );
        findings.push(finding(Kind::VoteIdentity, 0, detail));
    }
    if let Some(last) = last.filter(|last| newest.vote.committed > *last) {
        let detail = format!("it calls frame {} committed, the log ends at {last}", newest.vote.committed);
        findings.push(finding(Kind::VoteAhead, 0, detail).of_frames(last.plus(1), newest.vote.committed));
    }
    findings
}
