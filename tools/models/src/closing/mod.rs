//! Closed timestamps: the promises of an idle leader, the floor of its successor, and what a restart forgets.
//!
//! **Protocol.** C1 to C7 of one shard with three replicas. A leader that has committed an entry of its own term
//! promises (C, i): no record stamped up to C ever commits above index i. A replica accepts promises of its current
//! term, once that term is on its disk; two of three make the promise a fact, which is published. A new leader
//! assigns nothing before it knows its floor, the largest promise in two answers that were given with the new term
//! on disk; a restarted replica answers `forgotten`, which counts as `latest + 4 eps_max`.
//!
//! **Network.** Promises, acceptances, floor answers and publications are never taken from the network: each may
//! arrive any number of times, at any later moment, in any order, or never. An answer that can no longer change
//! anything is dropped, since its receiver knows its floor or leads no more.
//!
//! **Clocks.** True time goes in ticks; an honest `latest` is up to two uncertainties ahead of it, `earliest` at any
//! distance behind it. Where a floor depends on a reading, the smallest honest one is taken: a larger one only raises the
//! floor. A lying leader's promises are up to two uncertainties further ahead; acceptors hold theirs against their
//! own clock, as the poison guard says.
//!
//! **Bounds.** `tests` has the sizes: up to three terms, two appends of one or two records, two promises, one restart.
//!
//! **Promises.** I2, I5, and I6 for one shard: what a read at T found stays all there ever is up to T.
//!
//! **Left out.** Raft itself (see `raft`): a log entry is on disk once copied. Membership changes, learners, numbered
//! changes of the set of idle shards, splits, the poison guard on entries, several shards, lying acceptors.

mod model;
mod rules;
mod state;
mod steps;
#[cfg(test)]
mod tests;

pub use model::{Closing, Mutant};
pub use state::State;
