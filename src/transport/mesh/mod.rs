//! One connection to each peer node, kept up: dialled from both sides, proved by certificate and hello, and
//! carrying two ordered streams of messages each way.
//!
//! Knows nothing of what messages mean. Invariants: at most one connection to a peer is in use; it belongs to the
//! peer's newest boot seen; what waits for a peer is bounded.

mod backoff;
mod connection;
mod hello;
mod links;
mod peer;
mod queue;

#[cfg(test)]
mod tests;

pub use links::{Mesh, PeerStatus};
