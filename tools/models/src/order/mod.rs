//! Assign and expose with bounded clocks: why one true-time order spans shards that never talk to each other.
//!
//! **Protocol.** A shard's owner stamps an append `max(now.latest, last + 1)`; an append of n records takes n
//! timestamps. Anybody, client or reader, sees it only where `now.earliest` is past its last timestamp. A merged
//! read at T asks each shard, which answers once `now.earliest > T` and all it stamped up to T is visible.
//!
//! **Clocks.** True time goes in ticks. Each look at a clock gives any interval that contains true time and is at
//! most two uncertainties wide, whatever an earlier look gave: clocks may even go back inside their bound.
//!
//! **Clients.** Whatever anybody has seen, everybody may know: an append comes after all that was acknowledged,
//! and after all that was read, before it was sent. That includes every closed loop of a client that appends to
//! one shard after an acknowledgement or an early read of the other, and clients that talk past the system.
//!
//! **Bounds.** Two shards, three appends, of one or two timestamps each, an uncertainty of one tick, a few ticks.
//!
//! **Promises.** I3, also for readers; I4; no stamp before its send; merged reads at one time agree.
//!
//! **Left out.** Replication (an append commits at some later moment, in its shard's order), leader changes (see
//! `closing`), fencing and the poison guard: every clock here is inside its bound.

mod clock;
mod model;
mod rules;
mod state;
#[cfg(test)]
mod tests;

pub use model::{Mutant, Order};
pub use state::State;
