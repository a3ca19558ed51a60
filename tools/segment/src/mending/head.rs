//! A damaged head, made again from what else is known: the frames before it, the peers' heads, the folder's other heads.
//!
//! Invariant: of several heads that could have stood there, the one is taken that the damaged bytes themselves prove, by
//! their checksum or by being the same but for it; only without such a proof the first one, and the audit says so.

use std::ops::Range;

use bytes::Bytes;
use timberline::codec::ShardState;
use timberline::segment::{SegmentHead, SegmentIdentity};

use super::peers::Peers;

const HEAD_CRC: Range<usize> = 8..12;

/// A head made again.
pub(super) struct Rebuilt {
    pub(super) head: SegmentHead,
    pub(super) bytes: Bytes,
    /// Whether the damaged bytes prove it.
    pub(super) is_proved: bool,
    /// Whose head lent the membership.
    pub(super) from: String,
}

/// What is known of the place where a head is due.
pub(super) struct Due<'a> {
    pub(super) identity: &'a SegmentIdentity,
    /// The number of the segment before, 0 if there is none.
    pub(super) previous: u64,
    /// The state that the frames before it give, if there are any: all but the membership.
    pub(super) state: Option<&'a ShardState>,
    /// The bytes that stand there.
    pub(super) damaged: &'a [u8],
    pub(super) begins_after: timberline::types::Index,
}

impl Due<'_> {
    pub(super) fn rebuild(&self, peers: &Peers<'_>) -> Option<Rebuilt> {
        let mut candidates = Vec::new();
        for (segment, head) in peers.heads_after(self.begins_after) {
            let is_ours = (&head.identity.cluster, head.identity.shard)
                == (&self.identity.cluster, self.identity.shard);
            let agrees = self.state.is_none_or(|state| {
                let (applied, membership) = (head.state.applied, head.state.membership.clone());
                ShardState { applied, membership, ..state.clone() } == head.state
            });
            if is_ours && agrees {
                candidates.push((head.state.clone(), head.begins_log, segment.path.display().to_string()));
            }
        }
        if let Some(state) = self.state {
            candidates.push((state.clone(), false, "the head before it".to_owned()));
        }
        let mut rebuilt: Vec<Rebuilt> = candidates
            .into_iter()
            .map(|(state, begins_log, from)| self.encode(state, begins_log && self.previous == 0, from))
            .collect();
        let best = rebuilt.iter().position(|rebuilt| rebuilt.is_proved).unwrap_or(0);
        if rebuilt.is_empty() { None } else { Some(rebuilt.swap_remove(best)) }
    }

    fn encode(&self, state: ShardState, begins_log: bool, from: String) -> Rebuilt {
        let (identity, previous) = (self.identity.clone(), self.previous);
        let file_bytes = self.damaged.len() as u64;
        let head = SegmentHead { identity, state, begins_log, previous, file_bytes };
        let bytes = Bytes::from(head.encode());
        let is_proved = self.damaged.get(..bytes.len()).is_some_and(|damaged| {
            let is_same_but_crc = damaged[..HEAD_CRC.start] == bytes[..HEAD_CRC.start]
                && damaged[HEAD_CRC.end..] == bytes[HEAD_CRC.end..];
            damaged[HEAD_CRC] == bytes[HEAD_CRC] || is_same_but_crc
        });
        Rebuilt { head, bytes, is_proved, from }
    }
}
