//! Appends across changes of leader: what an acknowledgement, a refusal and a silence mean.
//!
//! **Protocol.** A producer sends one batch at a time under a sequence, and sends it again under the same sequence
//! while it has no answer it can build on. A leader answers from its own log whether it holds the batch, else takes
//! it in. It acknowledges when the entry is committed, of that very term, and so synced by a quorum. It says
//! *failed* only when another entry was committed in the batch's place; when leadership was lost, it says *unknown*.
//! A batch has failed if all its attempts have; if any attempt is unanswered or unknown, so is the batch.
//!
//! **Network.** Requests arrive late, in any order, at any replica, or never, each at most once: a retry is a request
//! of its own, and may overtake. Answers may be lost: the producer times out.
//!
//! **Bounds.** Three replicas and five, three terms, two batches or two attempts, one power cut; see `tests`.
//!
//! **Promises.** No acknowledged batch is lost, none stands twice, what failed never turns up, replicas agree. That an
//! overwritten batch is no proof of failure shows from five replicas on: a third one may hold it and be elected.
//!
//! **Left out.** Time (see `order`): what is committed is released. Raft itself (see `raft`); a leader counts the
//! followers that are still in its term. Several batches in flight, epochs, the bound of what is remembered.

mod model;
mod rules;
mod state;
mod steps;
#[cfg(test)]
mod tests;

pub use model::{Appends, Mutant};
pub use state::State;
