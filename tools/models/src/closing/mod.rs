//! Closed timestamps: the promises of an idle leader, the floor of its successor, and what a restart forgets.
//!
//! **Protocol.** C1 to C7 of one shard. A leader that has committed an entry of its own term promises (C, i): no
//! record stamped up to C ever commits above index i. A replica accepts promises of its current term, once that term
//! is on its disk; a quorum, the leader last, makes the promise a fact, which is published. A new leader assigns
//! nothing before it knows its floor, the largest promise in a quorum's answers, each given with the new term on
//! disk; a restarted replica answers `forgotten`, which counts as `latest + 4 eps_max`.
//!
//! **Network.** Promises, acceptances, floor answers and publications stay under way: each may arrive at any later
//! moment, in any order, again, or never. Only what can change nothing any more is dropped.
//!
//! **Clocks.** True time goes in ticks; an honest `latest` is up to two uncertainties ahead of it, `earliest` at any
//! distance behind it. Where a floor depends on a reading, the smallest honest one is taken: a larger one only
//! raises the floor. A lying leader's promises are up to two uncertainties further ahead; acceptors hold them
//! against their own clocks, as the poison guard says.
//!
//! **Bounds.** Three replicas and five, up to three terms, two appends, two promises, one restart, one read; each
//! size in `tests` goes far in one or two of these. Clocks are off by up to one tick; in the largest sizes they show
//! only the ends of their bound, and with five replicas they are exact.
//!
//! **Promises.** I2, I5, and I6 for one shard: what a read at T found is all there ever is up to T.
//!
//! **Left out.** Raft itself (see `raft`): an entry is on disk once copied, an election that fails leaves no trace, a
//! leader counts the followers that are still in its term. Membership changes, learners, the numbered changes of the
//! set of idle shards, splits, the poison guard on entries, lying acceptors.
//!
//! **Not among the mutants.** To accept a promise before its term is on disk breaks nothing here, with three replicas
//! or with five: electing voters have the new term on disk, and a restart is answered by `forgotten`. The rule stands
//! as a second line. To answer a floor question so breaks I5, but only from five replicas on.

mod model;
mod rules;
mod state;
mod steps;
#[cfg(test)]
mod tests;

pub use model::{Closing, Mutant};
pub use state::State;
