//! What is fuzzed, and where inputs come from. Knows nothing of libFuzzer: `tests/foreign_bytes.rs` of the package runs
//! the same functions for a bounded while.

pub mod seeds;
pub mod targets;
