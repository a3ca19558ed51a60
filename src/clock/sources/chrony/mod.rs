//! chronyd, asked for its tracking report over its command port on this machine.
//!
//! Datagrams rather than `chronyc`: no process to start beside a running node, no text to parse, a deadline by nature. The
//! protocol is spoken from its layout; no code of chrony's is linked. Knows nothing of the clock that takes the samples.

mod packet;
mod source;
#[cfg(test)]
pub(super) mod tests;
mod tracking;

pub use source::Chrony;
