//! Changes of who replicates the shard.
//!
//! Membership entries are stamped like batches, after the floor (TIME.md, rule 1); the end of a joint configuration
//! too: an entry without a time of its own would lose a promise.

use super::replica::Shard;
use super::request::Refusal;
use crate::clock::Reading;
use crate::codec::{FrameHeader, FrameKind, checksum};
use crate::consensus::{self, MembershipChange, encode_membership_change};
use crate::types::Index;

impl Shard {
    /// Proposes a change, as leader; gives the index whose commitment puts it into force. Refused while an earlier
    /// change is under way.
    pub fn change_membership(&mut self, change: &MembershipChange, now: &Reading) -> Result<Index, Refusal> {
        self.observe(now);
        self.drain();
        self.may_lead(now)?;
        let body = encode_membership_change(change);
        let header = FrameHeader {
            body_crc: checksum(&[&body]),
            body_len: body.len() as u32,
            ..self.stamp(FrameKind::Membership, 1, now)?
        };
        match self.group.propose_membership(change, header.encode()) {
            Ok(_) => {
                self.note_assigned(header.last_timestamp());
                self.drain();
                Ok(header.index)
            }
            Err(consensus::Error::MembershipRefused { reason }) => Err(Refusal::Membership { reason }),
            Err(_) => Err(self.refuse_proposal()),
        }
    }
}
