//! All shards in one order: a k-way merge by `(timestamp, shard)` under closed timestamps.
//!
//! Knows nothing of streams, of bytes or of time: records and closed timestamps go in, records come out.
//! Invariants: what comes out is a contiguous slice of the canonical order; nothing comes out while a
//! shard could still deliver something before it; a shard's buffer is bounded, and a full one is told to
//! pause without ever holding back another.

mod sorter;
#[cfg(test)]
mod tests;

pub use sorter::{Flow, Merge, Place, Popped};
