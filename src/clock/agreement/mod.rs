//! Whether this node's clock agrees with the others': what their messages prove, a vote, and what follows from it.
//!
//! Knows nothing of messages' bytes, of shards or of what a fence does; reads no clock: every call brings a `Reading`.
//! Everything a peer states about true time is kept as a bound of one quantity, *true time minus this node's monotonic
//! clock*. Honest bounds all contain it, whatever the delay was and however this node's own midpoint moved meanwhile, so
//! they may be intersected; only the monotonic clock's drift widens them. Invariants: an honest node is outvoted only if a
//! majority of the cluster's clocks is wrong; what a node stated before this one had reason to doubt itself decides
//! nothing about that doubt.

mod doubt;
mod evidence;
mod offset;
mod peer;
mod state;
#[cfg(test)]
mod tests;
mod vote;

pub use doubt::{Doubt, DoubtStanding};
pub use offset::{Answer, Offsets, Span};
pub use peer::PeerStanding;
pub use state::{Agreement, AgreementOptions, AgreementStatus};
pub use vote::{Ballot, Claim, Standing, Verdict, Vote};
