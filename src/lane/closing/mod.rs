//! Closed timestamps between node pairs: one small message per tick closes the past of every shard that a
//! node leads (TIME rules C2 to C4).
//!
//! Knows nothing of logs or sockets. The sender's side numbers the changes of the set of led shards; the
//! receiver applies them in sequence only, or asks for the whole set. A shard is *open* while it changes: it is promised,
//! offered and published one by one. One that rests *stands*, beside all others that rest alike, in a `shard::Standing`: of
//! thousands of resting shards a tick moves two times and touches none. Invariants: a publication names only
//! shards whose promise a quorum accepted; what a receiver holds at sequence n is what the sender held at n.

mod acceptor;
mod cohort;
mod peer_stream;
mod promiser;
#[cfg(test)]
mod tests;

pub(super) use acceptor::{Acceptor, Applied};
pub(super) use promiser::{Led, Promiser};
