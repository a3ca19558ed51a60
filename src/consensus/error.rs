//! What the group refuses, and what stops it.

use super::{MessageKind, ReadError};
use crate::types::{Index, ReplicaId, Term};

/// Why a call had no effect, or why the group has stopped (see [`Error::is_fatal`]).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("this replica does not lead")]
    NotLeader { leader: Option<ReplicaId> },
    #[error("leadership is being handed to replica {to}")]
    Transferring { to: ReplicaId },
    /// Nothing was appended. Worth trying again once the change before it, or the log up to the election,
    /// is applied and durable here.
    #[error("membership change refused: {reason}")]
    MembershipRefused { reason: String },
    #[error("membership entry cannot be applied: {reason}")]
    InvalidMembership { reason: String },
    #[error("options refused: {reason}")]
    InvalidOptions { reason: String },
    #[error("{kind:?} message from replica {from} refused: {reason}")]
    InvalidMessage { from: ReplicaId, kind: MessageKind, reason: &'static str },
    /// Harmless: replicas that left, or have not yet been heard of here, still answer for a while.
    #[error("replica {from} is not part of this group")]
    UnknownPeer { from: ReplicaId },
    /// This replica once held entries that its log no longer has. It must not vote or answer again:
    /// it is repaired from its peers, or removed and added again under a new id.
    #[error("entry {needed} was acknowledged here, but the log ends at {last}")]
    Forgotten { needed: Index, last: Index },
    /// This replica once held another entry there: its disk is an older one, or not its own. The same holds as for `Forgotten`.
    #[error(
        "entry {index} was acknowledged here in term {expected}, but the log holds one of term {found} in its place"
    )]
    Diverged { index: Index, expected: Term, found: Term },
    #[error("the log could not be read: {0}")]
    Unreadable(#[from] ReadError),
    /// The last `Ready` was not written to the log before the next call.
    #[error("the log ends at {found}, but entries up to {expected} were handed over for writing")]
    Unwritten { expected: Index, found: Index },
}

impl Error {
    /// Whether the group has stopped for good: it takes nothing in and lets nothing out any more.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Forgotten { .. } | Self::Diverged { .. } | Self::Unreadable(_) | Self::Unwritten { .. }
        )
    }
}
