//! Timberline's small protocols as models: every state that can be reached at a small size is visited, and the
//! promises hold in each. Every model has mutants, its rules with one left out or bent, and each mutant is found.
//!
//! `order` assigns and exposes timestamps, `closing` promises that a time is past, `appends` retries across
//! changes of leader. Knows nothing of bytes, sockets or threads; of the program it shares the vocabulary.

pub mod appends;
pub mod checking;
pub mod closing;
pub mod order;
pub mod raft;
